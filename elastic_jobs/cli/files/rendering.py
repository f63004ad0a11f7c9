"""A plan as people read it: each change with what differs, scripts line by line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import unified_diff
from enum import StrEnum
from typing import Any

from elastic_jobs.cli.files.model import GroupDefinition, JobDefinition, by_key, describe, key, same_step
from elastic_jobs.cli.files.plan import Action, GroupChange, Plan, action_of, kind_of, name_of
from elastic_jobs.cli.files.writing import job_content
from elastic_jobs.domain.model import StepDefinition
from elastic_jobs.domain.targets import Member, MembershipType

_INDENT = "    "
_CONTEXT = 2


class Mark(StrEnum):
    """What stands before a line, and decides its colour."""

    ADDED = "+"
    REMOVED = "-"
    CHANGED = "~"
    SAME = " "
    PROBLEM = "!"


STYLES = {
    Mark.ADDED: "green",
    Mark.REMOVED: "red",
    Mark.CHANGED: "yellow",
    Mark.SAME: "",
    Mark.PROBLEM: "bold red",
}
_MARK_OF = {Action.CREATE: Mark.ADDED, Action.CHANGE: Mark.CHANGED, Action.DELETE: Mark.REMOVED}
Line = tuple[Mark, str]
"""A mark for the colour, and the whole line."""


def lines_of(plan: Plan) -> Iterator[Line]:
    """The plan, line by line; its last line counts the changes."""
    for change in plan.changes:
        mark = _MARK_OF[action_of(change)]
        yield mark, f"{mark} {kind_of(change)} {name_of(change)}"
        if isinstance(change, GroupChange):
            yield from _group_lines(change)
        elif change.after is not None:
            yield from _job_lines(change.before, change.after)
    for name in plan.kept:
        yield Mark.SAME, f"  {name} is not in the files and stays (--prune would delete it)"
    for problem in plan.problems:
        yield Mark.PROBLEM, f"! {problem}"
    yield Mark.SAME, summary(plan)


def summary(plan: Plan) -> str:
    """``Plan: 1 to create, 2 to change, 0 to delete.``"""
    if not plan.changes:
        return "Plan: no changes."
    counts = ", ".join(f"{plan.count(action)} to {action}" for action in Action)
    return f"Plan: {counts}."


def _marked(mark: Mark, text: str, depth: int = 1) -> Line:
    return mark, f"{_INDENT * depth}{mark} {text}".rstrip()


def _group_lines(change: GroupChange) -> Iterator[Line]:
    before = _members(change.before)
    after = _members(change.after)
    for text in before:
        if text not in after:
            yield _marked(Mark.REMOVED, text)
    for text in after:
        if text not in before:
            yield _marked(Mark.ADDED, text)


def _members(group: GroupDefinition | None) -> list[str]:
    return [] if group is None else [_member(member) for member in group.members]


def _member(member: Member) -> str:
    excluded = "exclude " if member.membership_type is MembershipType.EXCLUDE else ""
    credential = member.refresh_credential_name
    return excluded + describe(member) + (f" as {credential}" if credential else "")


def _job_lines(before: JobDefinition | None, after: JobDefinition) -> Iterator[Line]:
    plain = {"schedule.enabled": "false"} if before is None else _flat(_head(before))
    yield from _differences(plain, _flat(_head(after)), 1, new=before is None)
    known = {} if before is None else by_key(before.steps)
    wanted = by_key(after.steps)
    for name, step in known.items():
        if name not in wanted:
            yield _marked(Mark.REMOVED, f"step {step.name}")
    old_order = [name for name in known if name in wanted]
    new_order = [key(step.name) for step in after.steps if key(step.name) in known]
    for place, step in enumerate(after.steps, 1):
        old = known.get(key(step.name))
        if old is None:
            yield from _step_lines(None, step, place)
        elif not same_step(old, step):
            yield from _step_lines(old, step, place)
    if old_order != new_order:
        yield _marked(Mark.CHANGED, "order of the steps: " + ", ".join(step.name for step in after.steps))


def _step_lines(old: StepDefinition | None, step: StepDefinition, place: int) -> Iterator[Line]:
    new = old is None
    yield _marked(Mark.ADDED if new else Mark.CHANGED, f"step {step.name} (step {place})")
    before, after = ({} if old is None else _flat(_step(old))), _flat(_step(step))
    yield from _differences(before, after, 2, new=new)
    yield from _script_lines("" if old is None else old.command, step.command, new=new)


def _script_lines(before: str, after: str, *, new: bool) -> Iterator[Line]:
    if before == after:
        return
    if new:
        for line in after.split("\n"):
            yield _marked(Mark.ADDED, "| " + _visible(line, lone=False), 2)
        return
    # Only where line ends differ are they shown: otherwise each line of a script from Windows would show one.
    lone = before.replace("\r", "") == after.replace("\r", "")
    old = [_visible(line, lone=lone) for line in before.split("\n")]
    lines = [_visible(line, lone=lone) for line in after.split("\n")]
    found = list(unified_diff(old, lines, lineterm="", n=_CONTEXT))[2:]
    if not found:
        yield _marked(Mark.CHANGED, "script: its line ends differ", 2)
    for line in found:
        if line.startswith("@@"):
            yield _marked(Mark.SAME, f"script {line}", 2)
        else:
            yield _marked(Mark(line[:1]), "| " + line[1:], 2)


def _visible(line: str, *, lone: bool) -> str:
    return line.replace("\r", "\\r") if lone else line.removesuffix("\r")


def _differences(before: Mapping[str, str], after: Mapping[str, str], depth: int, *, new: bool) -> Iterator[Line]:
    for name in dict.fromkeys([*before, *after]):
        old, value = before.get(name), after.get(name)
        if old == value:
            continue
        if new or old is None:
            yield _marked(Mark.ADDED, f"{name}: {value}", depth)
        elif value is None:
            yield _marked(Mark.REMOVED, f"{name}: {old}", depth)
        else:
            yield _marked(Mark.CHANGED, f"{name}: {old} -> {value}", depth)


def _head(job: JobDefinition) -> dict[str, Any]:
    content = job_content(job)
    return {name: content[name] for name in ("description", "schedule") if name in content}


def _step(step: StepDefinition) -> dict[str, Any]:
    (content,) = job_content(JobDefinition(name="", steps=(step,)))["steps"]
    return {name: value for name, value in content.items() if name not in {"name", "sql"}}


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested keys as ``schedule.enabled``, and values as a file has them."""
    found: dict[str, str] = {}
    for name, value in content.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            found[prefix + name] = text.replace("\n", "\\n")
    return found
