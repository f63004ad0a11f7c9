"""Errors of many targets become a few groups."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from elastic_jobs.domain.error_groups import LONGEST_SHAPE, Failure, group, shape_of
from elastic_jobs.domain.lifecycle import Lifecycle


def failure(message: str, number: int | None = 208, lifecycle: Lifecycle = Lifecycle.FAILED) -> Failure:
    return Failure(
        target_execution_id="t",
        step_name="s",
        server_name="server",
        database_name="d",
        lifecycle=lifecycle,
        error_number=number,
        message=message,
    )


def test_messages_that_differ_in_names_and_numbers_are_one_group() -> None:
    found = group(
        [
            failure("Msg 2627, line 3: Cannot insert duplicate key in object 'dbo.a'. The value is (12).", 2627),
            failure("Invalid object name 'orders1'."),
            failure('Invalid object name "x" of 3fa85f64-5717-4562-b3fc-2c963f66afa6 on [s].', 208),
            failure("Invalid object name 'orders22'.", lifecycle=Lifecycle.TIMED_OUT),
            failure("Invalid object name 'orders3'. Retry 1 of 3 begins after 1.5 s.", None),
            failure("Invalid object name 'orders3'.", None),
        ]
    )
    assert [(each.error_number, each.count) for each in found] == [(208, 2), (None, 2), (2627, 1), (208, 1)]
    assert found[0].shape == "Invalid object name '...'."
    assert found[0].example.message == "Invalid object name 'orders1'."
    assert found[0].lifecycles == {Lifecycle.FAILED: 1, Lifecycle.TIMED_OUT: 1}
    assert found[2].shape == "Msg #, line #: Cannot insert duplicate key in object '...'. The value is (#)."
    assert found[3].shape == 'Invalid object name "..." of <id> on [...].'


def test_nothing_failed() -> None:
    assert group([]) == []


@given(st.text(max_size=5000))
def test_a_shape_is_short_and_its_own_shape(message: str) -> None:
    shape = shape_of(message)
    assert len(shape) <= LONGEST_SHAPE
    if len(shape) < LONGEST_SHAPE:
        assert shape_of(shape) == shape


@given(st.lists(st.sampled_from(["a 'x'", "a 'y'", "b 1", "b 2", "c"]), max_size=50))
def test_no_failure_is_lost(messages: list[str]) -> None:
    found = group(failure(message) for message in messages)
    assert sum(each.count for each in found) == len(messages)
    assert [each.count for each in found] == sorted((each.count for each in found), reverse=True)
