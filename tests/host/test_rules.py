"""The host's pure rules: schedules, routes, host.json, messages, bindings."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from azure.functions.meta import Datum
from hypothesis import given
from hypothesis import strategies as st

from local.functions_host.bindings import QueueTrigger, bind_function, connection_string, substitute
from local.functions_host.errors import StartError
from local.functions_host.host_json import HostSettings, QueueSettings, parse_time_span, read_host_settings
from local.functions_host.options import read_settings
from local.functions_host.queue_listener import PollingDelay
from local.functions_host.queue_messages import decode_text, encode_body, output_bodies
from local.functions_host.routing import Router
from local.functions_host.schedules import is_monitored, parse_schedule

NOON = datetime(2026, 3, 2, 12, 0, 0, tzinfo=UTC)  # a Monday


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*/10 * * * * *", "2026-03-02T12:00:10+00:00"),
        ("0 */5 * * * *", "2026-03-02T12:05:00+00:00"),
        ("30 0 9 * * 1-5", "2026-03-03T09:00:30+00:00"),
        ("0 0 0 1 * *", "2026-04-01T00:00:00+00:00"),
        ("0 0 0 13 * 5", "2026-03-13T00:00:00+00:00"),  # Friday the 13th: both must fit
        ("5 * * * *", "2026-03-02T12:05:00+00:00"),
        ("00:30:00", "2026-03-02T12:30:00+00:00"),
    ],
)
def test_schedules_give_the_next_tick(text: str, expected: str) -> None:
    assert parse_schedule(text, "f").next_after(NOON).isoformat() == expected


@pytest.mark.parametrize("text", ["", "* * *", "61 * * * * *", "0 0 0 L * *", "00:00:00", "24:00:00", "x:y"])
def test_wrong_schedules_are_refused_by_name(text: str) -> None:
    with pytest.raises(StartError, match="function nightly"):
        parse_schedule(text, "nightly")


def test_only_schedules_of_a_minute_and_more_keep_their_status() -> None:
    assert is_monitored(parse_schedule("0 * * * * *", "f"), NOON)
    assert not is_monitored(parse_schedule("*/30 * * * * *", "f"), NOON)


ROUTER = Router(
    "api",
    [
        ("{*rest}", None, "rest"),
        ("items/{id}", None, "any"),
        ("items/{id:int}", None, "int"),
        ("items/new", frozenset({"GET"}), "new"),
        ("opt/{a}/{b?}", None, "opt"),
        ("{flag:bool}/{key:guid}", None, "typed"),
    ],
)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/api/items/new", ("new", {})),
        ("POST", "/api/items/new", ("any", {"id": "new"})),
        ("GET", "/API/Items/-5", ("int", {"id": "-5"})),
        ("GET", "/api/items/a%20b/", ("any", {"id": "a b"})),
        ("GET", "/api/opt/1", ("opt", {"a": "1"})),
        ("GET", "/api/opt/1/2", ("opt", {"a": "1", "b": "2"})),
        ("GET", "/api/opt/1/2/3", ("rest", {"rest": "opt/1/2/3"})),
        (
            "GET",
            "/api/True/0f8fad5b-d9cb-469f-a165-70867728950e",
            ("typed", {"flag": "True", "key": "0f8fad5b-d9cb-469f-a165-70867728950e"}),
        ),
        ("GET", "/api", ("rest", {"rest": ""})),
        ("GET", "/other", None),
        ("GET", "/admin/host/status", None),
    ],
)
def test_routes(method: str, path: str, expected: tuple[str, dict[str, str]] | None) -> None:
    assert ROUTER.find(method, path) == expected


def test_the_hosts_own_paths_never_reach_a_catch_all() -> None:
    router = Router("", [("{*rest}", None, "rest")])
    assert router.find("GET", "/admin/functions") is None
    assert router.find("GET", "/runtime/webhooks") is None
    assert router.find("GET", "/administrators") == ("rest", {"rest": "administrators"})


@pytest.mark.parametrize("template", ["a/{x:regex(.*)}", "{*rest}/more", "a{x}", "{x:date}"])
def test_routes_that_are_not_understood_are_refused(template: str) -> None:
    with pytest.raises(StartError, match="Route"):
        Router("", [(template, None, "x")])


def read(tmp_path: Path, document: Any, environment: Mapping[str, str] | None = None) -> HostSettings:
    path = tmp_path / "host.json"
    path.write_text(json.dumps(document))
    return read_host_settings(path, environment or {})


def test_host_json_defaults_are_the_hosts(tmp_path: Path) -> None:
    assert read(tmp_path, {"version": "2.0"}) == HostSettings("api", QueueSettings(16, 8, 60.0, 0.0, 5, True), 1800.0)
    queues = {
        "batchSize": 32,
        "maxPollingInterval": "00:00:01",
        "visibilityTimeout": "00:00:30",
        "messageEncoding": "none",
    }
    extensions = {"queues": queues, "http": {"routePrefix": ""}}
    settings = read(tmp_path, {"version": "2.0", "functionTimeout": "-1", "extensions": extensions})
    assert settings == HostSettings("", QueueSettings(32, 16, 1.0, 30.0, 5, False), None)


def test_app_settings_go_before_host_json(tmp_path: Path) -> None:
    environment = {
        "AzureFunctionsJobHost__extensions__queues__maxPollingInterval": "00:00:01",
        "AzureFunctionsJobHost__extensions__queues__batchSize": "4",
        "AzureFunctionsJobHost__functionTimeout": "00:10:00",
    }
    settings = read(tmp_path, queue_settings(maxPollingInterval="00:00:30"), environment)
    assert settings.queues == QueueSettings(4, 2, 1.0)
    assert settings.function_timeout == 600.0


def queue_settings(**settings: Any) -> dict[str, Any]:
    return {"version": "2.0", "extensions": {"queues": settings}}


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({}, '"version": "2.0"'),
        ({"version": "2.0", "functionTimeout": "5m"}, "functionTimeout: '5m' is no time span"),
        ({"version": "2.0", "functionTimeout": 300}, "functionTimeout must be a string"),
        ({"version": "2.0", "extensions": []}, "extensions must be an object"),
        (queue_settings(messageEncoding="utf8"), 'must be "base64" or "none"'),
        (queue_settings(maxDequeueCount=0), "maxDequeueCount must be a whole number"),
        (queue_settings(maxPollingInterval=5), "maxPollingInterval must be a time span"),
        (queue_settings(maxPollingInterval="00:00:00"), "at least 00:00:00.100"),
    ],
)
def test_wrong_host_settings_are_named(tmp_path: Path, document: Any, sentence: str) -> None:
    with pytest.raises(StartError, match=sentence):
        read(tmp_path, document)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(StartError, match="cannot be read"):
        read_host_settings(tmp_path / "none.json")
    with pytest.raises(StartError, match="is no valid JSON"):
        read_host_settings(tmp_path / "broken.json")
    with pytest.raises(StartError, match="cannot be read"):
        read_settings(tmp_path / "none.json")
    with pytest.raises(StartError, match="is no valid JSON"):
        read_settings(tmp_path / "broken.json")
    (tmp_path / "local.settings.json").write_text('{"IsEncrypted": false, "Values": {"A": "b"}}')
    assert read_settings(tmp_path / "local.settings.json") == {"A": "b"}


@pytest.mark.parametrize(
    ("text", "seconds"), [("00:00:01", 1.0), ("01:30", 5400.0), ("1.02:03:04", 93784.0), ("00:00:00.2500000", 0.25)]
)
def test_time_spans(text: str, seconds: float) -> None:
    assert parse_time_span(text) == seconds


@given(st.text() | st.binary())
def test_bodies_survive_base64(body: str | bytes) -> None:
    decoded = decode_text(encode_body(body, True), True)
    assert decoded in (body, body.decode("utf-8") if isinstance(body, bytes) and isinstance(decoded, str) else body)


def test_a_body_that_is_no_base64_or_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="not base64"):
        decode_text("ab!c", True)
    assert len(encode_body("x" * 49152, True)) == 65536
    with pytest.raises(ValueError, match="has 65540 bytes when encoded, and 65536 is the most"):
        encode_body("x" * 49153, True)


@pytest.mark.parametrize(
    ("text", "bodies"),
    [
        ("plain", ["plain"]),
        ('["a", {"b": 1}, 2, null]', ["a", '{\n  "b": 1\n}', "2", "null"]),
        ("[x", ["[x"]),
        ('{"ä":{}}', ['{\n  "ä": {}\n}']),
        ("{open", ["{open"]),
        ("", [""]),
        ("[]", []),
    ],
)
def test_output_strings_become_messages(text: str, bodies: list[str]) -> None:
    assert output_bodies(Datum(text, "string")) == bodies


def test_the_polling_delay_doubles_to_its_maximum_and_starts_again() -> None:
    delay = PollingDelay(1.0, jitter=lambda: 0.5)
    assert [round(delay.next(), 3) for _ in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    delay.reset()
    assert round(delay.next(), 3) == 0.1


STORAGE = {
    "AzureWebJobsStorage": "first",
    "AzureWebJobsOther": "second",
    "Third": "third",
    "Fourth__queueServiceUri": "x",
}


def test_connections_are_looked_up_as_the_host_does() -> None:
    assert connection_string("", STORAGE, "f") == "first"
    assert connection_string("Other", STORAGE, "f") == "second"
    assert connection_string("Third", STORAGE, "f") == "third"
    assert "127.0.0.1:10001" in connection_string("", {"AzureWebJobsStorage": "UseDevelopmentStorage=true"}, "f")
    with pytest.raises(StartError, match="Function f: the storage connection Fifth is not set"):
        connection_string("Fifth", STORAGE, "Function f")
    with pytest.raises(StartError, match="Fourth names an identity"):
        connection_string("Fourth", STORAGE, "f")


def test_settings_in_percent_signs_are_filled_in() -> None:
    assert substitute("%A%-x-%B%", {"A": "1", "B": "2"}, "f") == "1-x-2"
    assert substitute("100% sure", {}, "f") == "100% sure"
    with pytest.raises(StartError, match="f: %C% does not resolve to a value; set C"):
        substitute("%C%", {}, "f")


TRIGGER = {"type": "queueTrigger", "name": "msg", "queueName": "Work", "connection": ""}


def bind(call: Any, *bindings: dict[str, Any]) -> Any:
    return bind_function("f", call, list(bindings), STORAGE, "/app")


def test_functions_are_bound_to_exactly_their_parameters() -> None:
    async def good(msg: Any, context: Any) -> None: ...

    def too_few() -> None: ...

    def too_many(msg: Any, other: Any) -> None: ...

    def wrong_type(msg: str) -> None: ...

    bound = bind(good, TRIGGER)
    assert bound.trigger == QueueTrigger("msg", "work", "first")
    assert bound.wants_context
    assert bound.is_async
    with pytest.raises(StartError, match="is bound to msg but takes no such parameter"):
        bind(too_few, TRIGGER)
    with pytest.raises(StartError, match="takes other, which no binding fills"):
        bind(too_many, TRIGGER)
    with pytest.raises(StartError, match="the parameter msg of a queueTrigger cannot be str"):
        bind(wrong_type, TRIGGER)
    with pytest.raises(StartError, match="'no_name' is no queue name"):
        bind(good, TRIGGER | {"queueName": "no_name"})
    with pytest.raises(StartError, match="Function f uses a serviceBus binding"):
        bind(good, TRIGGER, {"type": "serviceBus", "name": "x"})
    with pytest.raises(StartError, match="Function f has no trigger"):
        bind(good)
