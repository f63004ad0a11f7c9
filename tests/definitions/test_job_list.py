from __future__ import annotations

from elastic_jobs.domain.lifecycle import Lifecycle
from elastic_jobs.jobdb.definitions import jobs, steps
from elastic_jobs.jobdb.job_list import JobLine, list_job_lines, list_version_lines
from tests.definitions.conftest import Hand


def lines(hand: Hand, *, limit: int = 100, name_part: str = "", after: str | None = None) -> list[JobLine]:
    with hand.database.read() as connection:
        return list_job_lines(connection, limit=limit, name_part=name_part, after=after)


def test_a_job_with_its_last_run(hand: Hand) -> None:
    job = hand.job("nightly", description="d")
    hand.job("never")
    hand.step(job="nightly")
    hand.execution(job, Lifecycle.FAILED)
    hand.later(minutes=1)
    newest = hand.execution(job, Lifecycle.IN_PROGRESS)
    never, nightly = lines(hand)
    assert (never.name, never.steps, never.last) == ("never", 0, None)
    assert (nightly.name, nightly.description, nightly.version, nightly.steps) == ("nightly", "d", 1, 1)
    assert nightly.last is not None
    assert (nightly.last.execution_id, nightly.last.lifecycle) == (newest, Lifecycle.IN_PROGRESS)
    assert (nightly.last.create_time, nightly.last.end_time) == (hand.now, None)


def test_pages_in_the_order_of_names(hand: Hand) -> None:
    for name in ("c", "a", "B"):
        hand.job(name)
    assert [line.name for line in lines(hand, limit=2)] == ["a", "B"]
    assert [line.name for line in lines(hand, after="B")] == ["c"]


def test_a_deleted_job_is_not_listed(hand: Hand) -> None:
    hand.job("gone")
    with hand.database.write() as connection:
        jobs.delete_job(connection, hand.edit, "gone", force=False)
    assert lines(hand) == []


def test_a_part_of_the_name_is_plain_text_in_any_case(hand: Hand) -> None:
    for name in ("Nightly_rebuild", "nightlyXrebuild", "a[1]", "a1", "til~de"):
        hand.job(name)
    assert [line.name for line in lines(hand, name_part="nightly_")] == ["Nightly_rebuild"]
    assert [line.name for line in lines(hand, name_part="[1]")] == ["a[1]"]
    assert [line.name for line in lines(hand, name_part="%")] == []
    assert [line.name for line in lines(hand, name_part="l~d")] == ["til~de"]


def test_versions_newest_first_with_who_made_them(hand: Hand) -> None:
    job = hand.job("a_b")
    hand.job("aXb")
    hand.later(minutes=1)
    hand.step("one", job="a_b")
    hand.later(minutes=1)
    hand.step("two", job="a_b")
    hand.later(minutes=1)
    with hand.database.write() as connection:
        steps.delete_step(connection, hand.edit, "a_b", "one")
    with hand.database.read() as connection:
        found = list_version_lines(connection, job.id, job.name, limit=10)
        older = list_version_lines(connection, job.id, job.name, limit=1, before=3)
    assert [(line.version, line.steps, line.caller) for line in found] == [
        (3, 1, "alice"),
        (2, 2, "alice"),
        (1, 1, "alice"),
        (0, 0, "alice"),
    ]
    assert found[0].create_time == hand.now
    assert [line.version for line in older] == [2]
