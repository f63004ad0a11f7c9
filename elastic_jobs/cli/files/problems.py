"""What is wrong with files: each problem with its file and line, and all of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from elastic_jobs.cli.errors import UsageError


@dataclass(frozen=True, order=True)
class Problem:
    """One problem. ``file``: from the folder on, with ``/``; ``line``: from 1, or 0 for the file as a whole."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}" if self.line else f"{self.file}: {self.reason}"


class BrokenFilesError(UsageError):
    """The folder cannot be read as definitions; nothing was changed."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        count = len(self.problems)
        head = f"{count} {'problem' if count == 1 else 'problems'} in the files; nothing was changed."
        super().__init__("\n".join([head, *map(str, self.problems)]))


def did_you_mean(given: str, known: Sequence[str]) -> str:
    """A clause with the nearest known word, or with all of them."""
    folded = {word.lower(): word for word in known}
    near = get_close_matches(given.lower(), list(folded), n=1)
    return f"did you mean '{folded[near[0]]}'?" if near else f"known are {', '.join(known)}."
