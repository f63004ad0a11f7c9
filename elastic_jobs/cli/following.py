"""A run followed to its end: progress while it runs, Ctrl-C, then the summary and the exit code."""

from __future__ import annotations

import re
from typing import Any

import typer
from rich.text import Text

from elastic_jobs.cli.errors import ExitCode
from elastic_jobs.cli.output import STYLES, cell, safe, styled
from elastic_jobs.cli.progress import Bars, Lines, Silence, counts, target_count
from elastic_jobs.cli.runs import duration, exit_code, run_path, seconds_of, shown
from elastic_jobs.cli.session import Session
from elastic_jobs.cli.watch import Display, Snapshot, StepState, Watch
from elastic_jobs.domain.lifecycle import Lifecycle

_VARYING = re.compile(r"'\.\.\.'|\"\.\.\.\"|\[\.\.\.\]|<id>|#")
_NUMBER = re.compile(r"\s*\(Msg [#\d]+\)$")
SHORT_ID = 8
"""Characters of an id that are enough to name a run again."""
_GROUPS = 10
"""Groups of errors in a summary; all of them are in ``execution errors``."""


def follow(session: Session, job: str, execution: str, *, cancel_on_interrupt: bool = False) -> Snapshot:
    """Show the run until it ends; its last state.

    Ctrl-C leaves the run alone and says how to cancel it; with ``cancel_on_interrupt`` it cancels the run, and a second
    Ctrl-C leaves.

    Raises:
        typer.Exit: 130, somebody left.
    """
    display = _display(session, job, execution)
    last: list[Snapshot] = []

    def watch() -> None:
        for snapshot in Watch(session.client, job, execution, say=display.say).snapshots():
            last[:] = [snapshot]
            display.show(snapshot)

    with display:
        try:
            watch()
        except KeyboardInterrupt:
            if not cancel_on_interrupt:
                _left(display, job, execution)
            display.say("Canceling. Ctrl-C again leaves without waiting for it.")
            try:
                session.client.post(f"{run_path(job, execution)}/cancel")
                watch()
            except KeyboardInterrupt:
                _left(display, job, execution)
    return last[-1]


def finish(session: Session, job: str, execution: str, snapshot: Snapshot) -> None:
    """Print the summary of a run that has ended, and leave with its exit code."""
    summarize(session, job, execution, snapshot)
    raise typer.Exit(exit_code(snapshot.lifecycle))


def summarize(session: Session, job: str, execution: str, snapshot: Snapshot) -> None:
    """How a run ended: its steps, its groups of errors with the biggest first, and what can be done now."""
    out = session.printer
    groups = list(session.client.pages(f"{run_path(job, execution)}/errors"))
    if out.value({**snapshot.run, "steps": [_step_value(each) for each in snapshot.steps], "errorGroups": groups}):
        return
    took = seconds_of(snapshot.run)
    state = (snapshot.lifecycle.value, STYLES[snapshot.lifecycle])
    after = f" after {duration(took)}" if took is not None else ""
    run = execution[:SHORT_ID] if out.console.is_terminal else execution
    out.hanging(Text(), Text.assemble((safe(job), "bold"), f"  run {run}  ", state, after))
    for step in snapshot.steps:
        many = f": {counts(step.targets)}" if step.total else ""
        name = f"{step.number:>3} {safe(step.name)}  "
        out.hanging(Text(name), Text.assemble(styled(step.lifecycle.value), f"  {target_count(step.total)}", many))
    said = snapshot.run["properties"].get("lastMessage")
    if said and not groups and snapshot.lifecycle is not Lifecycle.SUCCEEDED:
        out.hanging(Text("    "), Text(cell(said)))
    print_groups(session, groups[:_GROUPS], len(groups))
    if snapshot.lifecycle in {Lifecycle.FAILED, Lifecycle.TIMED_OUT, Lifecycle.CANCELED}:
        name = f"{shown(job)} {execution[:SHORT_ID]}"
        out.line()
        out.line(f"What was said:      elastic-jobs execution logs {name} --failed")
        out.line(f"Run the rest again: elastic-jobs execution rerun {name} --failed -w")


def print_groups(session: Session, groups: list[dict[str, Any]], total: int) -> None:
    """Groups of errors for people: how many targets, which error, and one of them as an example."""
    out = session.printer
    if not groups:
        return
    out.line()
    out.line(Text("Errors, the biggest group first", style="bold"))
    width = max(len(str(group["targets"])) for group in groups)
    for group in groups:
        number, message = group.get("errorNumber"), _without_number(cell(group["message"]))
        count = f"{group['targets']:>{width + 2}} target{'s' if group['targets'] != 1 else ' '}  "
        out.hanging(Text(count, "red"), Text(f"error {number}: {message}" if number else message))
        example = group["example"]
        place = f"{example.get('serverName', '')}/{example.get('databaseName', '')}"
        text = f"such as {safe(place)}, step {safe(example['stepName'])}"
        # Where names were taken out of the message, one of them helps.
        more = f": {_without_number(cell(example['message']))}" if _VARYING.search(message) else ""
        out.hanging(Text(" " * len(count)), Text(text + more, "dim"))
    if total > len(groups):
        out.line(f"... and {total - len(groups)} more groups: elastic-jobs execution errors")


def _without_number(message: str) -> str:
    """A message without what stands beside it anyway: that a command failed, and the number."""
    return _NUMBER.sub("", message.removeprefix("Command failed: "))


def _step_value(step: StepState) -> dict[str, Any]:
    return {
        "stepId": step.number,
        "stepName": step.name,
        "lifecycle": step.lifecycle.value,
        "targets": {state.value: count for state, count in step.targets.items()},
    }


def _display(session: Session, job: str, execution: str) -> Display:
    if session.quiet:
        return Silence(session.err)
    if session.err.is_terminal:
        return Bars(session.err, f"{safe(job)}  run {execution[:SHORT_ID]}")
    return Lines(session.err)


def _left(display: Display, job: str, execution: str) -> None:
    name = f"{shown(job)} {execution[:SHORT_ID]}"
    display.say(
        f"The run goes on. Watch it again: elastic-jobs execution watch {name}\n"
        f"Cancel it: elastic-jobs execution cancel {name}"
    )
    raise typer.Exit(ExitCode.INTERRUPTED)
