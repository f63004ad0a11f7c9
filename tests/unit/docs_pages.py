"""The pages of the documentation, taken apart: code blocks, inline code, headings and links, each with its line.

A parser of CommonMark finds them (it comes with rich), so that a block in a list or a quotation is not missed.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[2]
FILES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
_MARKDOWN = MarkdownIt("commonmark").enable("table")
_NOT_IN_ANCHORS = re.compile(r"[^\w\- ]")


@dataclass(frozen=True)
class Code:
    """A block, or a piece within a sentence. ``line`` is that of its first line of code.

    ``kind``: the first word behind the fence; empty for indented blocks, fences that say nothing, and inline code.
    """

    page: str
    line: int
    kind: str
    text: str

    @property
    def where(self) -> str:
        return f"{self.page}, line {self.line}"


@dataclass(frozen=True)
class Link:
    """A link as it is written: ``deploy.md#capacity``."""

    page: str
    line: int
    target: str


class Page:
    """One Markdown file. ``name`` is its path from the project's folder on."""

    def __init__(self, file: Path) -> None:
        self.file, self.name = file, file.relative_to(ROOT).as_posix()

    @cached_property
    def _tokens(self) -> list[Token]:
        return _MARKDOWN.parse(self.file.read_text(encoding="utf-8"))

    @cached_property
    def blocks(self) -> tuple[Code, ...]:
        """All code blocks, fenced and indented."""
        found = []
        for token in self._tokens:
            if token.type in {"fence", "code_block"}:
                fenced = token.type == "fence"
                kind = token.info.split()[0] if fenced and token.info.split() else ""
                found.append(Code(self.name, _line(token) + fenced, kind, token.content))
        return tuple(found)

    @cached_property
    def inline(self) -> tuple[Code, ...]:
        """All code within sentences, headings and tables."""
        return tuple(
            Code(self.name, line, "", child.content) for line, child in self._children() if child.type == "code_inline"
        )

    @cached_property
    def links(self) -> tuple[Link, ...]:
        """All links, also those around pictures."""
        return tuple(
            Link(self.name, line, unquote(str(child.attrs["href"])))
            for line, child in self._children()
            if child.type == "link_open"
        )

    @cached_property
    def anchors(self) -> frozenset[str]:
        """What links may name behind ``#``: headings as GitHub makes anchors of them."""
        found: list[str] = []
        seen: Counter[str] = Counter()
        for heading, content in pairwise(self._tokens):
            if heading.type == "heading_open":
                words = "".join(child.content for child in content.children or ())
                anchor = _NOT_IN_ANCHORS.sub("", words.strip().lower()).replace(" ", "-")
                again = seen[anchor]
                found.append(f"{anchor}-{again}" if again else anchor)
                seen[anchor] += 1
        return frozenset(found)

    def _children(self) -> list[tuple[int, Token]]:
        """What stands within sentences, with its line."""
        found = []
        for token in self._tokens:
            line = _line(token)
            for child in token.children or ():
                found.append((line, child))
                line += child.type in {"softbreak", "hardbreak"}
        return found


def _line(token: Token) -> int:
    return (token.map[0] if token.map else 0) + 1


PAGES = {page.name: page for page in map(Page, FILES)}
