"""What changed between two versions of a job: steps, settings, and the lines of scripts. Pure; reads nothing.

Steps are matched by the id that they keep over versions, so that a renamed or moved step is one change, not two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum
from itertools import pairwise

from elastic_jobs.domain.model import Step

CONTEXT = 3
"""Unchanged lines that are shown before and after a change."""
MOST_LINES = 1000
"""Lines of differences that are shown on a page; more help nobody."""
LEAST_LINES = 50
"""Lines that are shown of a script when those before it took all of the page."""
MOST_CHARACTERS = 120_000
"""Characters of them, for scripts whose lines are long."""
_LARGE = 1000
"""Lines from which those that occur everywhere (blank ones, ``GO``) no longer take part in the search for anchors."""
_MOST_PAIRS = 4_000_000
"""Lines of one script times lines of the other, beyond which no common lines are looked for: seconds of work."""


class Change(StrEnum):
    """What happened to a step, a setting or a line."""

    SAME = "same"
    CHANGED = "changed"
    ADDED = "added"
    REMOVED = "removed"


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of a difference. The numbers count from 1 in the older and the newer script; None: it is not in there."""

    change: Change
    text: str
    before: int | None
    after: int | None


@dataclass(frozen=True, kw_only=True)
class Hunk:
    """Lines that belong together. ``skipped``: unchanged lines left out in front of them."""

    skipped: int
    lines: tuple[Line, ...]


@dataclass(frozen=True, kw_only=True)
class ScriptChange:
    """The difference of two scripts. No hunks: they are the same.

    only_ends: the lines are the same, but how they end (CRLF or LF), or whether the last one ends, is not.
    cut: lines of the difference that are not shown because there are too many.
    """

    added: int = 0
    removed: int = 0
    hunks: tuple[Hunk, ...] = ()
    only_ends: bool = False
    cut: int = 0

    @property
    def is_change(self) -> bool:
        return bool(self.hunks) or self.only_ends


@dataclass(frozen=True, kw_only=True)
class SettingChange:
    """A setting of a step that differs; None: it was not there."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True, kw_only=True)
class StepChange:
    """What happened to one step. ``name``: the newer one. ``step_id``: the newer place, of a removed step its last."""

    change: Change
    name: str
    step_id: int
    settings: tuple[SettingChange, ...] = ()
    script: ScriptChange = ScriptChange()


def compare(before: Sequence[Step], after: Sequence[Step]) -> list[StepChange]:
    """The steps of the newer version in their order, each with what changed, and then those that were removed."""
    older = {step.uid: step for step in before}
    newer = {step.uid for step in after}
    pairs: list[tuple[Step | None, Step | None]] = [(older.get(step.uid), step) for step in after]
    pairs += [(step, None) for step in before if step.uid not in newer]
    found: list[StepChange] = []
    left = MOST_LINES
    for pair in pairs:
        found.append(_compared(pair, most_lines=max(LEAST_LINES, left)))
        left -= sum(len(hunk.lines) for hunk in found[-1].script.hunks)
    return found


def settings_of(step: Step) -> list[tuple[str, str | None]]:
    """Name and value of each setting of a step, as they are shown to people; None: it has no such setting."""
    definition, output = step.definition, step.definition.output
    retry = definition.retry
    parallel = definition.max_parallelism
    place = None if output is None else f"{output.server_name} / {output.database_name}"
    return [
        ("Place", str(step.step_id)),
        ("Name", definition.name),
        ("Target group", definition.target_group_name),
        ("Credential", definition.credential_name),
        ("Timeout", seconds(definition.timeout_seconds)),
        ("Retries", str(retry.attempts)),
        ("First retry after", seconds(retry.initial_interval_seconds)),
        ("Longest wait between retries", seconds(retry.maximum_interval_seconds)),
        ("Each wait times", f"{retry.backoff_multiplier:g}"),
        ("Databases at once per elastic pool", "no limit" if parallel is None else str(parallel)),
        ("Output database", place),
        ("Output table", None if output is None else f"{output.schema_name}.{output.table_name}"),
        ("Output credential", None if output is None else output.credential_name),
        ("Output subscription", None if output is None or not output.subscription_id else str(output.subscription_id)),
        ("Output resource group", None if output is None else output.resource_group_name),
    ]


def seconds(value: int) -> str:
    """``90 s (1 min 30 s)``: the number as it is set, and what people read."""
    parts = []
    left = value
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return f"{value} s" if value < 60 else f"{value} s ({' '.join(parts[:2])})"


def compare_scripts(before: str, after: str, *, most_lines: int = MOST_LINES) -> ScriptChange:
    """The difference of two scripts by lines, of which at most so many are kept."""
    if before == after:
        return ScriptChange()
    old, new = before.splitlines(), after.splitlines()
    if old == new:
        return ScriptChange(only_ends=True)
    lines = _lines(old, new)
    added = sum(line.change is Change.ADDED for line in lines)
    removed = sum(line.change is Change.REMOVED for line in lines)
    hunks, cut = _bounded(_hunks(lines), most_lines)
    return ScriptChange(added=added, removed=removed, hunks=hunks, cut=cut)


def _compared(pair: tuple[Step | None, Step | None], *, most_lines: int) -> StepChange:
    """What happened to a step, by how it was and how it is; None: that version is without it."""
    sides = [{} if step is None else dict(settings_of(step)) for step in pair]
    old, new = sides
    settings = tuple(
        SettingChange(name=name, before=old.get(name), after=new.get(name))
        for name in new or old
        if old.get(name) != new.get(name)
    )
    before, after = ("" if step is None else step.definition.command for step in pair)
    script = compare_scripts(before, after, most_lines=most_lines)
    if pair[0] is None:
        change = Change.ADDED
    elif pair[1] is None:
        change = Change.REMOVED
    else:
        change = Change.CHANGED if settings or script.is_change else Change.SAME
    shown = next(step for step in reversed(pair) if step is not None)
    return StepChange(
        change=change, name=shown.definition.name, step_id=shown.step_id, settings=settings, script=script
    )


def _lines(old: list[str], new: list[str]) -> list[Line]:
    """All lines of both scripts in the order in which a reader follows the change."""
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    found = [_same(text, n, n) for n, text in enumerate(old[:head], 1)]
    middle_old, middle_new = old[head : len(old) - tail], new[head : len(new) - tail]
    for tag, i1, i2, j1, j2 in _operations(middle_old, middle_new):
        if tag == "equal":
            found += [
                _same(middle_old[i], head + i + 1, head + j + 1)
                for i, j in zip(range(i1, i2), range(j1, j2), strict=True)
            ]
            continue
        found += [
            Line(change=Change.REMOVED, text=middle_old[i], before=head + i + 1, after=None) for i in range(i1, i2)
        ]
        found += [Line(change=Change.ADDED, text=middle_new[j], before=None, after=head + j + 1) for j in range(j1, j2)]
    for place in range(tail, 0, -1):
        found.append(_same(old[-place], len(old) - place + 1, len(new) - place + 1))
    return found


def _operations(old: list[str], new: list[str]) -> Sequence[tuple[str, int, int, int, int]]:
    if len(old) * len(new) > _MOST_PAIRS:
        return [("replace", 0, len(old), 0, len(new))]
    return SequenceMatcher(None, old, new, autojunk=max(len(old), len(new)) > _LARGE).get_opcodes()


def _same(text: str, before: int, after: int) -> Line:
    return Line(change=Change.SAME, text=text, before=before, after=after)


def _hunks(lines: list[Line]) -> list[Hunk]:
    """The changed lines with their surroundings; two changes whose surroundings touch are one hunk."""
    changed = [place for place, line in enumerate(lines) if line.change is not Change.SAME]
    starts = [changed[0], *(later for earlier, later in pairwise(changed) if later - earlier > 2 * CONTEXT + 1)]
    ends = [*(earlier for earlier, later in pairwise(changed) if later - earlier > 2 * CONTEXT + 1), changed[-1]]
    hunks: list[Hunk] = []
    shown = 0
    for start, end in zip(starts, ends, strict=True):
        first, last = max(0, start - CONTEXT), min(len(lines), end + CONTEXT + 1)
        hunks.append(Hunk(skipped=first - shown, lines=tuple(lines[first:last])))
        shown = last
    return hunks


def _bounded(hunks: list[Hunk], most_lines: int) -> tuple[tuple[Hunk, ...], int]:
    """As many lines as a page takes, and how many are left out."""
    kept: list[Hunk] = []
    lines = characters = cut = 0
    for hunk in hunks:
        fitting: list[Line] = []
        for line in hunk.lines:
            lines, characters = lines + 1, characters + len(line.text)
            if lines <= most_lines and (characters <= MOST_CHARACTERS or lines == 1):
                fitting.append(line)
        cut += len(hunk.lines) - len(fitting)
        if fitting:
            kept.append(Hunk(skipped=hunk.skipped, lines=tuple(fitting)))
    return tuple(kept), cut
