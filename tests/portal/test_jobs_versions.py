from __future__ import annotations

import time
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from elastic_jobs.domain.model import Output, Step, StepDefinition
from elastic_jobs.domain.retry import RetryPolicy
from elastic_jobs.portal.versions import (
    CONTEXT,
    MOST_LINES,
    Change,
    ScriptChange,
    SettingChange,
    compare,
    compare_scripts,
    seconds,
)

UID = uuid4()


def step(name: str = "step1", *, step_id: int = 1, uid: UUID = UID, **values: Any) -> Step:
    content = {"command": "SELECT 1", "target_group_name": "group1"} | values
    return Step(
        job_id=UUID(int=1),
        job_version=1,
        step_id=step_id,
        uid=uid,
        target_group_id=UUID(int=2),
        definition=StepDefinition(name=name, **content),
    )


def shown(change: ScriptChange) -> list[str]:
    marks = {Change.SAME: " ", Change.ADDED: "+", Change.REMOVED: "-"}
    return [f"{marks[line.change]}{line.text}" for hunk in change.hunks for line in hunk.lines]


def text(*lines: object) -> str:
    return "".join(f"{line}\n" for line in lines)


def test_a_changed_line_between_its_surroundings_with_numbers_of_both_sides() -> None:
    before, after = text(*range(1, 21)), text(*range(1, 10), "ten", "ten and a half", *range(11, 21))
    change = compare_scripts(before, after)
    assert shown(change) == [" 7", " 8", " 9", "-10", "+ten", "+ten and a half", " 11", " 12", " 13"]
    (hunk,) = change.hunks
    assert hunk.skipped == 6
    assert [(line.before, line.after) for line in hunk.lines[2:7]] == [
        (9, 9),
        (10, None),
        (None, 10),
        (None, 11),
        (11, 12),
    ]
    assert (change.added, change.removed, change.cut) == (2, 1, 0)


def test_changes_far_apart_are_two_hunks_and_near_ones_are_one() -> None:
    lines = [str(number) for number in range(1, 41)]
    far = lines.copy()
    far[4], far[30] = "five", "thirty-one"
    first, second = compare_scripts(text(*lines), text(*far)).hunks
    assert (first.skipped, second.skipped) == (1, 30 - CONTEXT - (4 + CONTEXT + 1))
    near = lines.copy()
    near[4], near[4 + 2 * CONTEXT + 1] = "five", "twelve"
    (one,) = compare_scripts(text(*lines), text(*near)).hunks
    assert [line.before for line in one.lines if line.before] == list(range(2, 16))


def test_the_same_script_is_no_change_and_other_line_ends_are_said_to_be_that() -> None:
    assert not compare_scripts("a\nb", "a\nb").is_change
    change = compare_scripts("a\nb", "a\r\nb\r\n")
    assert change.is_change
    assert (change.only_ends, change.hunks) == (True, ())


def test_very_different_long_scripts_are_quick_and_cut() -> None:
    before = text(*(f"GO -- {number % 7}" for number in range(9000)))
    after = text(*(f"go -- {number % 5}" for number in range(9000)))
    began = time.monotonic()
    change = compare_scripts(before, after)
    assert time.monotonic() - began < 5
    assert len(shown(change)) == MOST_LINES
    assert (change.added, change.removed, change.cut) == (9000, 9000, 18000 - MOST_LINES)


def test_long_lines_are_cut_by_characters() -> None:
    change = compare_scripts("", text("x" * 100_000, "y" * 100_000))
    assert [len(line) for line in shown(change)] == [100_001]
    assert change.cut == 1


@given(st.lists(st.sampled_from("abcd")), st.lists(st.sampled_from("abcd")))
def test_both_scripts_can_be_read_off_their_difference(before: list[str], after: list[str]) -> None:
    change = compare_scripts(text(*before), text(*after))
    old, new = dict(enumerate(before, 1)), dict(enumerate(after, 1))
    told = [line for hunk in change.hunks for line in hunk.lines]
    assert all(line.before is None or old[line.before] == line.text for line in told)
    assert all(line.after is None or new[line.after] == line.text for line in told)
    gone = {line.before for line in told if line.change is Change.REMOVED}
    come = {line.after for line in told if line.change is Change.ADDED}
    kept = [line for number, line in old.items() if number not in gone]
    assert kept == [line for number, line in new.items() if number not in come]
    shown_lines = sum(line.change is not Change.ADDED for line in told)
    assert sum(hunk.skipped for hunk in change.hunks) + shown_lines <= len(before)


def test_settings_that_differ_by_their_names() -> None:
    output = Output(server_name="s", database_name="d", table_name="t", credential_name="writer")
    before = step(retry=RetryPolicy(attempts=3), timeout_seconds=90)
    after = step(output=output, max_parallelism=4, retry=RetryPolicy(attempts=5), timeout_seconds=90)
    (change,) = compare([before], [after])
    assert change.change is Change.CHANGED
    assert not change.script.is_change
    assert change.settings == (
        SettingChange(name="Retries", before="3", after="5"),
        SettingChange(name="Databases at once per elastic pool", before="no limit", after="4"),
        SettingChange(name="Output database", before=None, after="s / d"),
        SettingChange(name="Output table", before=None, after="dbo.t"),
        SettingChange(name="Output credential", before=None, after="writer"),
    )


def test_a_renamed_and_moved_step_is_one_change() -> None:
    other = uuid4()
    before = [step("a"), step("b", step_id=2, uid=other)]
    after = [step("b", step_id=1, uid=other), step("c", step_id=2)]
    first, second = compare(before, after)
    assert (first.name, first.change) == ("b", Change.CHANGED)
    assert first.settings == (SettingChange(name="Place", before="2", after="1"),)
    assert {change.name for change in second.settings} == {"Place", "Name"}


def test_added_removed_and_untouched_steps() -> None:
    added, removed = uuid4(), uuid4()
    before = [step("a"), step("old", step_id=2, uid=removed)]
    after = [step("a"), step("new", step_id=2, uid=added, command="SELECT 2\nSELECT 3")]
    assert [(change.name, change.change) for change in compare(before, after)] == [
        ("a", Change.SAME),
        ("new", Change.ADDED),
        ("old", Change.REMOVED),
    ]
    new = compare(before, after)[1]
    assert shown(new.script) == ["+SELECT 2", "+SELECT 3"]
    assert SettingChange(name="Target group", before=None, after="group1") in new.settings


def test_many_large_changes_share_the_lines_of_a_page() -> None:
    uids = [uuid4() for _ in range(5)]
    large = text(*range(900))
    after = [step(f"s{n}", step_id=n, uid=uid, command=large) for n, uid in enumerate(uids, 1)]
    assert [len(shown(change.script)) for change in compare([], after)] == [900, 100, 50, 50, 50]
    assert [change.script.cut for change in compare([], after)] == [0, 800, 850, 850, 850]


def test_the_same_version_twice() -> None:
    steps = [step("a")]
    assert [change.change for change in compare(steps, [replace(steps[0], job_version=7)])] == [Change.SAME]


def test_seconds_as_people_read_them() -> None:
    assert [seconds(value) for value in (0, 59, 90, 43200, 90061)] == [
        "0 s",
        "59 s",
        "90 s (1 min 30 s)",
        "43200 s (12 h)",
        "90061 s (1 d 1 h)",
    ]
