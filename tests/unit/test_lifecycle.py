"""The lifecycle: what may follow what, and how children roll up."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastic_jobs.domain.lifecycle import ACTIVE, MOVES, TERMINAL, Level, Lifecycle, roll_up, sources, states


def test_every_state_of_azure_is_used_on_some_level() -> None:
    assert set().union(*(states(level) for level in Level)) == set(Lifecycle)


@pytest.mark.parametrize("level", list(Level))
def test_nothing_leaves_an_end_state(level: Level) -> None:
    assert not TERMINAL & set(MOVES[level]) - {None}


@pytest.mark.parametrize("level", list(Level))
def test_every_active_state_leads_to_an_end(level: Level) -> None:
    reached = set(TERMINAL & states(level))
    while True:
        more = {s for s, followers in MOVES[level].items() if s is not None and followers & reached} - reached
        if not more:
            break
        reached |= more
    assert reached == states(level)


@pytest.mark.parametrize("level", list(Level))
def test_sources_are_the_moves_read_backwards(level: Level) -> None:
    for to in Lifecycle:
        assert sources(level, to) == {s for s in Lifecycle if to in MOVES[level].get(s, ())}


ends = st.dictionaries(st.sampled_from(sorted(TERMINAL)), st.integers(min_value=0, max_value=3))


@given(ends, st.booleans())
def test_roll_up_takes_the_worst(children: dict[Lifecycle, int], cancel_requested: bool) -> None:
    present = {state for state, count in children.items() if count}
    order = [Lifecycle.CANCELED, Lifecycle.FAILED, Lifecycle.TIMED_OUT]
    worst = next((state for state in order if state in present), None)
    if cancel_requested:
        worst = Lifecycle.CANCELED
    if worst is None:
        skipped = present & {Lifecycle.SKIPPED, Lifecycle.SUCCEEDED_WITH_SKIPPED}
        worst = Lifecycle.SUCCEEDED_WITH_SKIPPED if skipped else Lifecycle.SUCCEEDED
    assert roll_up(Counter(children), cancel_requested=cancel_requested) is worst


@given(st.sampled_from(sorted(ACTIVE)), ends)
def test_roll_up_refuses_active_children(active: Lifecycle, others: dict[Lifecycle, int]) -> None:
    with pytest.raises(ValueError, match=active.value):
        roll_up({**others, active: 1}, cancel_requested=False)


def test_roll_up_of_no_children_is_success() -> None:
    assert roll_up({}, cancel_requested=False) is Lifecycle.SUCCEEDED
