"""What the command prints: tables for people, JSON and YAML for programs.

On a terminal tables have colours and fit its width: optional columns go first, then long texts are cut. Elsewhere
they are plain text of any width. Texts of others never reach the terminal as control sequences.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, TextIO

import yaml
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from elastic_jobs.domain.lifecycle import ACTIVE, Lifecycle

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_GAP = 2
_NARROWEST = 20
Row = dict[str, Any]


class Format(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    optional: the larger, the earlier it is left out where there is no room. short: as many characters are shown on a
    terminal, where people read; elsewhere the whole value is. flexible: a long text, which is cut to the room there is.
    """

    title: str
    value: Callable[[Row], Any]
    optional: int = 0
    right: bool = False
    short: int | None = None
    flexible: bool = False


STYLES = {
    Lifecycle.SUCCEEDED: "green",
    Lifecycle.SUCCEEDED_WITH_SKIPPED: "yellow",
    Lifecycle.SKIPPED: "yellow",
    Lifecycle.FAILED: "red",
    Lifecycle.TIMED_OUT: "red",
    Lifecycle.CANCELED: "magenta",
    **dict.fromkeys(ACTIVE, "cyan"),
}
_STYLE_OF_WORD = {state.value: style for state, style in STYLES.items()} | {
    "ok": "green",
    "warning": "yellow",
    "failed": "red",
    "skipped": "dim",
    "problem": "red",
}


def safe(text: str) -> str:
    """A text of others with its control characters made visible."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found.group()):02x}", text.replace("\r\n", "\n"))


def cell(value: Any) -> str:
    """A value as one line of text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(cell(each) for each in value)
    return " ".join(safe(str(value)).split())


def moment(value: str | None) -> str:
    """An instant of the API, to the second; always UTC, and saying so. The year 1 and the year 9999 mean none."""
    if not value or value.startswith(("0001-", "9999-")):
        return ""
    return f"{value[:10]} {value[11:19]}Z"


def styled(text: str) -> Text:
    """A text in the colour of the state that it names."""
    return Text(text, style=_STYLE_OF_WORD.get(text, ""))


def make_console(stream: TextIO) -> Console:
    """A console that keeps what it is told as it is: no markup, no emoji, no highlighting."""
    return Console(file=stream, markup=False, emoji=False, highlight=False, soft_wrap=True)


class Printer:
    """Prints to standard output."""

    def __init__(self, form: Format, stream: TextIO | None = None) -> None:
        self.form = form
        self._stream = stream or sys.stdout
        self.console = make_console(self._stream)

    def value(self, value: Any) -> bool:
        """Print a value for programs; False when people are to read a table instead."""
        if self.form is Format.JSON:
            self._stream.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
        elif self.form is Format.YAML:
            yaml.safe_dump(value, self._stream, sort_keys=False, allow_unicode=True, width=100)
        return self.form is not Format.TABLE

    def rows(self, rows: Iterable[Row], columns: Sequence[Column]) -> None:
        """Print a list: as it came for programs, with these columns for people."""
        found = list(rows)
        if self.value(found):
            return
        cells = [[cell(column.value(row)) for column in columns] for row in found]
        # A column without a single value says nothing.
        used = [n for n, column in enumerate(columns) if not column.optional or any(row[n] for row in cells)]
        columns, cells = [columns[n] for n in used], [[row[n] for n in used] for row in cells]
        if self.console.is_terminal:
            self._rich(
                columns, [[text[: column.short] for column, text in zip(columns, row, strict=True)] for row in cells]
            )
        else:
            self._plain(columns, cells)

    def fields(self, value: Row, fields: Iterable[tuple[str, Any]]) -> None:
        """Print one thing: as it came for programs, as a list of its properties for people."""
        if self.value(value):
            return
        shown = [(title, text) for title, each in fields if (text := _block(each))]
        width = max((cell_len(title) for title, _ in shown), default=0) + _GAP
        for title, text in shown:
            first, *more = text.split("\n")
            line = Text(title.ljust(width), style="bold")
            line.append_text(styled(first))
            self.console.print(line)
            for each in more:
                self.console.print(Text(" " * width + each))

    def line(self, text: str | Text = "") -> None:
        """Print a line for people."""
        self.console.print(text)

    def hanging(self, label: Text, text: Text) -> None:
        """Print a text behind a label; on a terminal it is wrapped between words and stays beside the label."""
        if not self.console.is_terminal:
            self.line(Text.assemble(label, text))
            return
        beside = label
        for line in text.wrap(self.console, max(_NARROWEST, self.console.width - label.cell_len)) or [Text()]:
            line.rstrip()
            self.console.print(Text.assemble(beside, line))
            beside = Text(" " * label.cell_len)

    def _plain(self, columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> None:
        lines = [[column.title for column in columns], *cells]
        widths = [max(cell_len(line[n]) for line in lines) for n in range(len(columns))]
        for line in lines:
            padded = (
                " " * (width - cell_len(text)) + text if column.right else text + " " * (width - cell_len(text))
                for column, width, text in zip(columns, widths, line, strict=True)
            )
            self._stream.write((" " * _GAP).join(padded).rstrip() + "\n")

    def _rich(self, columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> None:
        widths = fitting(columns, cells, self.console.width)
        table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")
        for n, width in widths.items():
            justify: Literal["left", "right"] = "right" if columns[n].right else "left"
            table.add_column(columns[n].title, justify=justify, no_wrap=True, overflow="ellipsis", max_width=width)
        for row in cells:
            table.add_row(*(styled(row[n]) for n in widths))
        self.console.print(table, soft_wrap=False)


def fitting(columns: Sequence[Column], cells: Sequence[Sequence[str]], width: int) -> dict[int, int]:
    """The columns shown in a terminal of this width, and how wide each is.

    The most optional ones are left out until the others fit; a flexible one fits when ``_NARROWEST`` cells of it do.
    """
    natural = [
        max([cell_len(column.title), *(cell_len(row[n]) for row in cells)], default=0)
        for n, column in enumerate(columns)
    ]
    kept = {
        n: min(natural[n], max(_NARROWEST, cell_len(column.title))) if column.flexible else natural[n]
        for n, column in enumerate(columns)
    }

    def room() -> int:
        return width - sum(kept.values()) - _GAP * (len(kept) - 1)

    while room() < 0 and any(columns[n].optional for n in kept):
        del kept[max(kept, key=lambda n: columns[n].optional)]
    for n in kept:
        if columns[n].flexible:
            kept[n] += max(0, min(room(), natural[n] - kept[n]))
    return kept


def _block(value: Any) -> str:
    """A value as text that keeps its lines."""
    if isinstance(value, str):
        return safe(value).rstrip()
    if isinstance(value, dict):
        return "\n".join(f"{key}={cell(each)}" for key, each in value.items())
    return cell(value)
