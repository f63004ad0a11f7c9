"""Retry delays: the documented ones, and the rule for any policy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastic_jobs.domain.retry import RetryPolicy


def test_the_defaults_give_the_documented_delays() -> None:
    policy = RetryPolicy()
    delays = [policy.delay(k).total_seconds() for k in range(1, policy.attempts + 1)]
    assert delays == [1, 2, 4, 8, 16, 32, 64, 120, 120, 120]


policies = st.builds(
    RetryPolicy,
    attempts=st.integers(0, 50),
    initial_interval_seconds=st.integers(0, 1000),
    maximum_interval_seconds=st.integers(1000, 100_000),
    backoff_multiplier=st.floats(1, 1000),
)


@given(policies, st.integers(1, 100_000))
def test_delays_never_shrink_and_never_exceed_the_maximum(policy: RetryPolicy, retry: int) -> None:
    first, second = policy.delay(retry).total_seconds(), policy.delay(retry + 1).total_seconds()
    assert policy.initial_interval_seconds <= first <= second <= policy.maximum_interval_seconds


@given(policies)
def test_there_are_exactly_as_many_retries_as_the_policy_says(policy: RetryPolicy) -> None:
    failures = 1
    while policy.may_retry(failures):
        failures += 1
    assert failures - 1 == policy.attempts


def test_retries_are_counted_from_one() -> None:
    with pytest.raises(ValueError, match="counted from 1"):
        RetryPolicy().delay(0)
