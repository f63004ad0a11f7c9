"""Watching: what is asked, what happens while the API is away, and how it looks."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from elastic_jobs.cli.client import Client
from elastic_jobs.cli.errors import ApiError, ExitCode, Unreachable
from elastic_jobs.cli.progress import Bars, Lines, shares
from elastic_jobs.cli.runs import exit_code
from elastic_jobs.cli.watch import PATIENCE, Snapshot, StepState, Watch
from elastic_jobs.domain.lifecycle import TERMINAL, Lifecycle
from tests.cli.wire import Reply, ScriptedServer, refusal


class Time:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def run(lifecycle: str) -> Reply:
    return Reply(body={"name": "run1", "properties": {"lifecycle": lifecycle}})


def progress(lifecycle: str, **targets: int) -> Reply:
    step = {"stepId": 1, "stepName": "step1", "lifecycle": lifecycle, "targets": targets}
    return Reply(body={"value": [step]})


def watching(scripted: ScriptedServer) -> tuple[Watch, Time, list[str]]:
    time = Time()
    said: list[str] = []
    client = Client(scripted.url, lambda: "t", sleep=time.sleep)
    return Watch(client, "job1", "run1", say=said.append, monotonic=time.monotonic, sleep=time.sleep), time, said


def test_a_run_is_asked_for_until_it_ends(scripted: ScriptedServer) -> None:
    scripted.answer(
        *(run("InProgress"), progress("WaitingForChildJobExecutions", InProgress=2)),
        *(run("Failed"), progress("Failed", Failed=1, Succeeded=1)),
    )
    watch, time, said = watching(scripted)
    first, last = watch.snapshots()
    assert (first.steps[0].total, first.steps[0].ended) == (2, 0)
    assert (last.lifecycle, last.steps[0].ended, last.has_ended) == (Lifecycle.FAILED, 2, True)
    assert (len(time.pauses), said) == (1, [])


def test_questions_become_rarer(scripted: ScriptedServer) -> None:
    scripted.answer(*([run("InProgress"), progress("InProgress")] * 40), run("Succeeded"), progress("Succeeded"))
    watch, time, _ = watching(scripted)
    assert len(list(watch.snapshots())) == 41
    assert time.pauses == sorted(time.pauses)
    assert max(time.pauses) == 3.0


def test_an_api_that_is_away_for_a_while_is_waited_for(scripted: ScriptedServer) -> None:
    scripted.answer(
        Reply(hang_up=True),
        *([refusal(503, "ServiceUnavailable", "Away.")] * 4),
        run("Succeeded"),
        progress("Succeeded"),
    )
    watch, _, said = watching(scripted)
    (only,) = watch.snapshots()
    assert only.lifecycle is Lifecycle.SUCCEEDED
    assert len(said) == 2
    assert "The run goes on without us" in said[0]
    assert said[1] == "The API answers again."


def test_an_api_that_stays_away_is_given_up(scripted: ScriptedServer) -> None:
    scripted.answer(Reply(hang_up=True))
    watch, time, _ = watching(scripted)
    with pytest.raises(Unreachable, match="watch it again later"):
        list(watch.snapshots())
    assert time.now > PATIENCE


def test_a_run_that_is_gone_is_not_waited_for(scripted: ScriptedServer) -> None:
    scripted.answer(refusal(404, "ResourceNotFound", "It was deleted."))
    watch, time, _ = watching(scripted)
    with pytest.raises(ApiError, match="deleted"):
        list(watch.snapshots())
    assert time.pauses == []


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_every_end_has_an_exit_code(state: Lifecycle) -> None:
    wanted = {"Failed": 1, "TimedOut": 3, "Canceled": 3}.get(state.value, 0)
    assert exit_code(state) == ExitCode(wanted)


@given(
    st.dictionaries(st.sampled_from(sorted(TERMINAL - {Lifecycle.SUCCEEDED_WITH_SKIPPED})), st.integers(1, 10**6)),
    st.integers(0, 10**6),
    st.integers(10, 60),
)
def test_a_bar_shows_every_state_and_is_full_only_at_the_end(
    ended: dict[Lifecycle, int], waiting: int, width: int
) -> None:
    found = shares(ended, sum(ended.values()) + waiting, width)
    assert set(found) == set(ended)
    assert all(length >= 1 for length in found.values())
    assert sum(found.values()) <= width
    if ended and not waiting:
        assert sum(found.values()) == width


def snapshot(*steps: StepState, seconds: float = 1.0) -> Snapshot:
    found: dict[str, Any] = {"properties": {"lifecycle": "InProgress"}}
    return Snapshot(run=found, steps=steps, seconds=seconds)


def step(number: int, lifecycle: Lifecycle, name: str = "step", **targets: int) -> StepState:
    counts = {Lifecycle(state): count for state, count in targets.items()}
    return StepState(number=number, name=name, lifecycle=lifecycle, targets=counts)


WAITING = Lifecycle.WAITING_FOR_CHILD_JOB_EXECUTIONS


def test_lines_tell_what_changed_and_not_too_often() -> None:
    stream, time = io.StringIO(), Time()
    lines = Lines(Console(file=stream, width=200), monotonic=time.monotonic)
    states = [
        step(1, Lifecycle.CREATED),
        step(1, Lifecycle.IN_PROGRESS),
        step(1, WAITING, Created=3),
        step(1, WAITING, Created=2, Succeeded=1),
        step(1, WAITING, Created=2, Succeeded=1),
        step(1, Lifecycle.FAILED, Succeeded=2, Failed=1),
        step(1, Lifecycle.FAILED, Succeeded=2, Failed=1),
    ]
    for state in states:
        lines.show(snapshot(state, seconds=time.now))
        time.now += 3
    assert stream.getvalue().splitlines() == [
        "    3.0 s  step 1 step: finding its databases",
        "    9.0 s  step 1 step: running, 1 of 3 targets ended (1 succeeded, 2 waiting)",
        "     15 s  step 1 step: Failed, 3 of 3 targets ended (2 succeeded, 1 failed)",
    ]


@pytest.mark.parametrize("width", [20, 40, 80, 140, 300])
def test_bars_keep_within_the_terminal(width: int) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=width, height=24, force_terminal=True, color_system=None)
    picture = Bars(console, "a job with a long name  run 12345678").picture(
        snapshot(
            step(1, Lifecycle.SUCCEEDED, Succeeded=500),
            step(
                2, WAITING, "日本の長い名前" * 9, Succeeded=499, Failed=1, InProgress=100, WaitingForRetry=7, Created=9
            ),
            step(3, Lifecycle.CREATED, "evil\x1b[2Jname"),
        )
    )
    console.print(picture)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 5
    assert max(map(cell_len, lines)) <= width
    assert "\x1b" not in stream.getvalue()


def test_more_steps_than_lines_show_those_that_run() -> None:
    console = Console(file=io.StringIO(), width=80, height=12, force_terminal=True, color_system=None)
    steps = [step(n, Lifecycle.SUCCEEDED, Succeeded=1) for n in range(1, 30)] + [step(30, WAITING, Created=5)]
    console.print(Bars(console, "job").picture(snapshot(*steps, step(31, Lifecycle.CREATED))))
    shown = console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO from above
    assert " 30 " in shown
    assert " 31 " in shown
    assert len(shown.splitlines()) <= 10


def test_a_terminal_without_lines_gets_plain_bars() -> None:
    raw = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    console = Console(file=raw, width=80, height=24, force_terminal=True, color_system=None)
    console.print(Bars(console, "job").picture(snapshot(step(1, WAITING, Created=1, Succeeded=1))))
    raw.flush()
    assert b"####" in raw.buffer.getvalue()
