"""How a run under way is shown: live bars on a terminal, a line for each change elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Self

from rich.cells import cell_len, set_cell_size
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from elastic_jobs.cli.output import STYLES, safe
from elastic_jobs.cli.runs import duration
from elastic_jobs.cli.watch import Snapshot, StepState
from elastic_jobs.domain.lifecycle import TERMINAL, Lifecycle

WORDS: Mapping[Lifecycle, str] = {
    Lifecycle.SUCCEEDED: "succeeded",
    Lifecycle.FAILED: "failed",
    Lifecycle.TIMED_OUT: "timed out",
    Lifecycle.CANCELED: "canceled",
    Lifecycle.SKIPPED: "skipped",
    Lifecycle.IN_PROGRESS: "running",
    Lifecycle.WAITING_FOR_RETRY: "to retry",
    Lifecycle.CREATED: "waiting",
}
"""States of targets as people read them, in the order in which they are told."""
_STATES: Mapping[Lifecycle, str] = {
    Lifecycle.CREATED: "waiting",
    Lifecycle.IN_PROGRESS: "finding its databases",
    Lifecycle.WAITING_FOR_RETRY: "waiting to ask for its databases again",
    Lifecycle.WAITING_FOR_CHILD_JOB_EXECUTIONS: "running",
}
_BAR = (Lifecycle.SUCCEEDED, Lifecycle.SKIPPED, Lifecycle.CANCELED, Lifecycle.TIMED_OUT, Lifecycle.FAILED)
_LONGEST_NAME, _SHORTEST_BAR, _LONGEST_BAR, _INDENT = 28, 10, 60, 4
LINE_SECONDS = 5.0
"""Where there is no terminal, a line comes at most this often, and whenever a step ends."""


def counts(targets: Mapping[Lifecycle, int]) -> str:
    """290 succeeded, 22 failed, 16 running."""
    return ", ".join(f"{targets[state]} {word}" for state, word in WORDS.items() if targets.get(state))


def target_count(count: int) -> str:
    """1 target, 2 targets."""
    return f"{count} target{'' if count == 1 else 's'}"


def state_word(step: StepState) -> str:
    """What a step does, for people."""
    return _STATES.get(step.lifecycle, step.lifecycle.value)


def shares(parts: Mapping[Lifecycle, int], total: int, width: int) -> dict[Lifecycle, int]:
    """How many of ``width`` characters each part gets. What is there at all gets one, so that one failure shows."""
    if not total or not width:
        return {}
    given = {state: max(1, parts[state] * width // total) for state in _BAR if parts.get(state)}
    while sum(given.values()) > width:
        widest = max(given, key=lambda state: given[state])
        given[widest] -= 1
    if sum(parts.get(state, 0) for state in _BAR) == total and given:
        given[max(given, key=lambda state: given[state])] += width - sum(given.values())
    return given


class Bars:
    """Bars that move, on a terminal."""

    def __init__(self, console: Console, title: str) -> None:
        self._console, self._title = console, title
        self._live = Live(console=console, refresh_per_second=8, transient=True)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.__exit__(None, None, None)

    def show(self, snapshot: Snapshot) -> None:
        self._live.update(self.picture(snapshot), refresh=True)

    def say(self, sentence: str) -> None:
        self._console.print(Text(safe(sentence), style="yellow"))

    def picture(self, snapshot: Snapshot) -> Group:
        """The run's line, and one or two lines for each step; as many steps as the terminal has room for."""
        width = self._console.width
        head = _line(Text.assemble((self._title, "bold"), f"  {duration(snapshot.seconds)}"))
        names = min(_LONGEST_NAME, width // 3, max((cell_len(safe(step.name)) for step in snapshot.steps), default=0))
        lines = [head]
        for step in self._window(snapshot.steps):
            lines.extend(self._step(step, names, width))
        return Group(*lines)

    def _window(self, steps: tuple[StepState, ...]) -> tuple[StepState, ...]:
        room = max(1, (self._console.height - 3) // 2)
        if len(steps) <= room:
            return steps
        active = next((n for n, step in enumerate(steps) if step.lifecycle not in TERMINAL), len(steps) - 1)
        begin = max(0, min(active - 1, len(steps) - room))
        return steps[begin : begin + room]

    def _step(self, step: StepState, names: int, width: int) -> list[Text]:
        label = f"{step.number:>3} {_sized(safe(step.name), names)}  "
        tally = [
            (f"{step.targets[state]} {word}  ", STYLES.get(state, ""))
            for state, word in WORDS.items()
            if step.targets.get(state)
        ]
        if step.lifecycle in TERMINAL:
            state = (f"{step.lifecycle.value}  ", STYLES[step.lifecycle])
            return [_line(Text.assemble(label, state, *(tally if len(tally) > 1 else [target_count(step.total)])))]
        if not step.total:
            return [_line(Text.assemble(label, (state_word(step), "dim")))]
        part = f"  {step.ended:>{len(str(step.total))}}/{step.total}"
        room = min(_LONGEST_BAR, max(_SHORTEST_BAR, width - cell_len(label) - len(part) - 1))
        return [
            _line(Text.assemble(label, self._bar(step, room), part)),
            _line(Text.assemble(" " * _INDENT, *tally)),
        ]

    def _bar(self, step: StepState, width: int) -> Text:
        full, empty = ("━", "─") if self._console.encoding.lower().startswith("utf") else ("#", "-")
        bar = Text()
        given = shares(step.targets, step.total, width)
        for state, length in given.items():
            bar.append(full * length, style=STYLES[state])
        bar.append(empty * (width - sum(given.values())), style="dim")
        return bar


class Lines:
    """Lines with the time since the beginning, where there is no terminal."""

    def __init__(self, console: Console, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._console, self._monotonic = console, monotonic
        self._told: dict[int, tuple[str, float]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, snapshot: Snapshot) -> None:
        now = self._monotonic()
        for step in snapshot.steps:
            ended = step.lifecycle in TERMINAL
            if step.lifecycle is Lifecycle.CREATED:
                continue
            text = self._text(step)
            before, when = self._told.get(step.number, ("", -LINE_SECONDS))
            if text != before and (ended or now - when >= LINE_SECONDS):
                self._told[step.number] = (text, now)
                self._console.print(Text(f"{duration(snapshot.seconds):>9}  {text}"))

    def say(self, sentence: str) -> None:
        self._console.print(Text(safe(sentence)))

    def _text(self, step: StepState) -> str:
        name = f"step {step.number} {safe(step.name)}: {state_word(step)}"
        if not step.total:
            return name
        return f"{name}, {step.ended} of {target_count(step.total)} ended ({counts(step.targets)})"


class Silence:
    """Nothing but what goes wrong."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, snapshot: Snapshot) -> None:
        del snapshot

    def say(self, sentence: str) -> None:
        self._console.print(Text(safe(sentence)))


def _sized(text: str, width: int) -> str:
    """A text of exactly this many cells; what is longer ends with an ellipsis."""
    return set_cell_size(text, width - 1) + "…" if cell_len(text) > width else set_cell_size(text, width)


def _line(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text
