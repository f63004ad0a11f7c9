"""What the demo puts on the screen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

_COLOURS = {
    "Succeeded": "green",
    "SucceededWithSkipped": "green",
    "Failed": "red",
    "TimedOut": "red",
    "Canceled": "yellow",
    "Skipped": "yellow",
}


class Screen:
    """Numbered steps, statements, tables and progress bars."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        if not self.console.is_terminal:
            self.console.width = 120  # a log file has no width of its own
        self._step = 0

    def step(self, title: str) -> None:
        self._step += 1
        self.console.print(f"\n[bold cyan]{self._step}.[/] [bold]{title}[/]")

    def say(self, line: str) -> None:
        self.console.print(Padding(Text(line), (0, 0, 0, 3), expand=False))

    def sql(self, where: str, statement: str) -> None:
        self.console.print(f"   [dim]{where:>9}[/]  ", statement, sep="", markup=True, soft_wrap=False)

    def lifecycle(self, state: str) -> str:
        """A state in its colour."""
        colour = _COLOURS.get(state)
        return f"[{colour}]{state}[/]" if colour else state

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """A table of the rows; columns in which nothing stands are left out."""
        rows = list(rows)
        kept = [place for place in range(len(columns)) if any(row[place] not in (None, "") for row in rows)]
        columns = [columns[place] for place in kept]
        rows = [[row[place] for place in kept] for row in rows]
        table = Table(title=title, title_justify="left", title_style="bold", header_style="dim", box=SIMPLE)
        for column in columns:
            # Sentences wrap between words; names and states stay in one piece.
            table.add_column(column, no_wrap=column != "Last message")
        for row in rows:
            table.add_row(*("" if cell is None else str(cell) for cell in row))
        self.console.print(table)

    def progress(self) -> Progress:
        """Bars that show how many targets of each step have ended."""
        return Progress(
            TextColumn("   {task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            console=self.console,
        )


def short_time(value: Any) -> str:
    """``2026-11-23T04:05:06.789Z`` -> ``04:05:06``, empty for None."""
    return "" if not value else str(value)[11:19]
