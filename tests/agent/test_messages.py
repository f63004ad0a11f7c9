"""Messages as they come from the queue: ours, forged, garbage."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastic_jobs.agent.messages import Alarm, Message, WakeStep, WakeTarget, decode, encode

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.uuids().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["step", "target", "due", "x"]), inner),
    max_leaves=6,
)


@pytest.mark.parametrize(
    "message", [WakeStep(uuid4()), WakeTarget(uuid4()), Alarm(datetime(2026, 11, 23, 12, tzinfo=UTC))]
)
def test_what_was_encoded_comes_back(message: Message) -> None:
    assert decode(encode(message)) == message


@given(st.text())
def test_no_text_raises(body: str) -> None:
    assert decode(body) is None or encode(decode(body) or WakeStep(UUID(int=0)))


@given(json_values)
def test_no_json_raises(value: object) -> None:
    import json

    decode(json.dumps(value))


@pytest.mark.parametrize(
    "body",
    [
        "",
        "\x00",
        "null",
        "[]",
        '"step"',
        "5",
        "1e999",
        "{}",
        '{"step": null}',
        '{"step": 5}',
        '{"step": {"step": "x"}}',
        '{"step": "not an id"}',
        '{"step": "\\ud800"}',
        '{"id": "c5c0a5b5-6f2b-4a3f-9f51-31d1dd2c1a5e"}',
        '{"step": "c5c0a5b5-6f2b-4a3f-9f51-31d1dd2c1a5e", "target": "c5c0a5b5-6f2b-4a3f-9f51-31d1dd2c1a5e"}',
        '{"due": 5}',
        '{"due": "tomorrow"}',
        '{"due": "2026-11-23T12:00:00"}',
        '{"target":' + "9" * 5000 + "}",
    ],
)
def test_what_is_none_of_ours_is_nothing(body: str) -> None:
    assert decode(body) is None


def test_deeply_nested_json_is_nothing() -> None:
    assert decode("[" * 48_000) is None
