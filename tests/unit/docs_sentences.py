"""Sentences of the product that the documentation quotes: are they still said?

A sentence is a text of the code; what is filled in when it is said may be anything, and stands in the documentation as
an example or as ``...``. A quotation that ends with ``...`` may leave off the rest.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.unit.docs_pages import ROOT

_FILLED_IN = "\0"
_LOGGED = re.compile(r"%(?:[sdr]|\.\d+f)")
_LEAST = 12
"""Characters that must be the sentence's own; texts with fewer would fit anything."""
_WORDS = r"[Uu]ser|database|server|output table|in|on|ODBC Driver 18 for SQL Server|Msg"
NAMES = rf"(?:\.\.\.|https://|\b(?:{_WORDS})\b|\d|[ '()])*?"
"""What a quotation may write where something is filled in: ``user '...'``."""
ANYTHING = r".*?"
"""What an example has there."""


def is_said(quotation: str, *folders: str, filled: str = NAMES) -> bool:
    """Whether the code in these folders and below says it. Blanks and line ends are alike."""
    quotation = " ".join(quotation.split())
    begin = _begin(quotation)
    files = [file for folder in folders for file in _files(folder)]
    # A literal may be broken within its beginning: whoever is not found by it is looked for everywhere.
    likely = [file for file in files if begin in _source(file)]
    return any(
        _fits(quotation, sentence, filled) for some in (likely, files) for file in some for sentence in _said(file)
    )


def _begin(quotation: str) -> str:
    """The first words that are nobody's name, by which most files can be left out."""
    fixed = re.split(r"\.\.\.|['\"(]|\d+", quotation)
    return " ".join(max(fixed, key=len).split()[:2])


def _fits(quotation: str, sentence: str, filled: str) -> bool:
    if quotation == sentence:
        return True
    parts = sentence.split(_FILLED_IN)
    missing = next((number for number, part in enumerate(parts) if part not in quotation), len(parts) - 1)
    own = sum(map(len, parts[:missing]))
    if own + len(parts[missing]) < _LEAST or parts[missing][: max(0, _LEAST - own)] not in quotation:
        return False
    if re.fullmatch(filled.join(map(re.escape, parts)), quotation):
        return True
    # Cut off behind any of its words.
    ends = [0, *(found.end() for found in re.finditer(r"\S+", parts[missing]))]
    cut = ([*parts[:missing], parts[missing][:end]] for end in ends if own + end >= _LEAST)
    begun = quotation.removesuffix("...")
    return quotation != begun and any(
        re.fullmatch(filled.join(map(re.escape, shown)), text) for shown in cut for text in (begun, begun.rstrip())
    )


@cache
def _files(folder: str) -> tuple[Path, ...]:
    """Code, pages and shell scripts; not the emulator, whose sentences are SQL Server's."""
    endings = {".py", ".sh", ".html"}
    found = (file for file in sorted((ROOT / folder).rglob("*.*")) if file.suffix in endings)
    return tuple(file for file in found if "sqlserver" not in file.parts and "migrations" not in file.parts)


@cache
def _source(file: Path) -> str:
    return file.read_text(encoding="utf-8")


@cache
def _said(file: Path) -> tuple[str, ...]:
    """All texts of a file, with a mark where something is filled in."""
    if file.suffix == ".py":
        found = set(_texts(ast.parse(_source(file))))
    else:
        found = set(re.findall(r'echo "([^"]*)"' if file.suffix == ".sh" else r'"([^"<>]*)"', _source(file)))
    return tuple(" ".join(each.split()) for each in found)


def _texts(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.JoinedStr):
        text = ""
        for part in node.values:
            text += str(part.value) if isinstance(part, ast.Constant) else _FILLED_IN
            if isinstance(part, ast.FormattedValue):
                yield from _texts(part.value)
        yield text
        return
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            yield _LOGGED.sub(_FILLED_IN, node.value)
        return
    for child in ast.iter_child_nodes(node):
        yield from _texts(child)
