"""To which servers one credential or identity may be sent, beside what the whole deployment allows."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from elastic_jobs.domain.targets import ServerNames

_PATTERN = re.compile(r"(\*\.)?[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
MOST_PATTERNS = 500
"""More servers than an estate names one by one; beyond it ``*.suffix`` is what is meant."""


@dataclass(frozen=True)
class ServerScope:
    """A list of servers. ``patterns``: canonical names; ``*.`` in front stands for exactly one label.

    None in the place of a scope means: no list of its own, so that the deployment's list alone counts. A scope never
    widens that list, because both must allow a server.
    """

    patterns: tuple[str, ...]

    def allows(self, canonical_server: str) -> bool:
        """Whether a server, by its canonical name, is on the list."""
        return canonical_server in self.patterns or f"*.{canonical_server.partition('.')[2]}" in self.patterns

    def text(self) -> str:
        """As it is stored: each pattern between two commas, so that SQL finds one with LIKE."""
        return ",".join(["", *self.patterns, ""])

    @classmethod
    def from_text(cls, text: str | None) -> ServerScope | None:
        """Read what ``text`` wrote; None for None."""
        return None if text is None else cls(tuple(part for part in text.split(",") if part))


def parse_scope(patterns: Iterable[str], names: ServerNames) -> ServerScope | None:
    """The scope that a caller wrote: server names (a short one is completed) or ``*.suffix``; None when empty.

    Raises:
        ValueError: a sentence that names the pattern that is none.
    """
    found: dict[str, None] = {}
    for given in patterns:
        text = given.strip().lower()
        if not _PATTERN.fullmatch(text) or text.rpartition(".")[2].isdigit():
            raise ValueError(
                f"'{given[:253]}' is no server name and no '*.' with a suffix; write for example *.example.net."
            )
        found[text if text.startswith("*.") else names.canonical(text)] = None
    if len(found) > MOST_PATTERNS:
        raise ValueError(
            f"{len(found)} servers are listed; at most {MOST_PATTERNS} are allowed. Use '*.' and a suffix."
        )
    return ServerScope(tuple(sorted(found))) if found else None
