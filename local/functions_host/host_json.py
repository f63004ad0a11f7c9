"""host.json: the few settings that this stand-in follows, with the defaults of the real host.

Logging, tracing and health settings are ignored. Defaults are those of the storage queue extension 5.x
(QueuesOptions) and of the Functions host 4.x.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.functions_host.errors import StartError

DEFAULT_FUNCTION_TIMEOUT = 30 * 60.0  # seconds; Flex Consumption, Premium and Dedicated
_OVERRIDE = "AzureFunctionsJobHost"
_TIME_SPAN = re.compile(r"(?:(\d+)\.)?(\d{1,2}):(\d{1,2})(?::(\d{1,2})(\.\d{1,7})?)?")


@dataclass(frozen=True)
class QueueSettings:
    """extensions.queues. Times in seconds."""

    batch_size: int = 16
    new_batch_threshold: int = 8
    max_polling_interval: float = 60.0
    visibility_timeout: float = 0.0  # how long a failed message stays hidden before it is tried again
    max_dequeue_count: int = 5
    base64: bool = True


@dataclass(frozen=True)
class HostSettings:
    """What the stand-in takes from host.json. `function_timeout` in seconds, None for no limit."""

    route_prefix: str = "api"
    queues: QueueSettings = field(default_factory=QueueSettings)
    function_timeout: float | None = DEFAULT_FUNCTION_TIMEOUT


def read_host_settings(path: Path, environment: Mapping[str, str] | None = None) -> HostSettings:
    """Read host.json; raises StartError naming the setting that is wrong.

    environment: app settings, of which AzureFunctionsJobHost__extensions__queues__batchSize, for one, goes before the
    file's value, as in the real host; None: those of this process.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StartError(f"host.json cannot be read ({path}): {error.strerror}.") from error
    except ValueError as error:
        raise StartError(f"{path} is no valid JSON: {error}.") from error
    if not isinstance(document, dict) or document.get("version") != "2.0":
        raise StartError(f'{path} must be a JSON object with "version": "2.0".')
    _override(document, os.environ if environment is None else environment)
    try:
        extensions = _section(document, "extensions")
        return HostSettings(
            route_prefix=_text(_section(extensions, "http"), "routePrefix", "api").strip("/"),
            queues=_queue_settings(_section(extensions, "queues")),
            function_timeout=_function_timeout(document),
        )
    except ValueError as error:
        raise StartError(f"{path}: {error}") from error


def _override(document: dict[str, Any], environment: Mapping[str, str]) -> None:
    for name, text in environment.items():
        prefix, *path = name.split("__")
        if prefix != _OVERRIDE or not path:
            continue
        section: Any = document
        for key in path[:-1]:
            section = section.setdefault(key, {}) if isinstance(section, dict) else None
        if isinstance(section, dict):
            section[path[-1]] = int(text) if text.strip().isdecimal() else text


def parse_time_span(text: str) -> float:
    """Seconds of a .NET TimeSpan: `hh:mm`, `hh:mm:ss`, `d.hh:mm:ss`, each with an optional fraction of a second.

    Raises ValueError.
    """
    match = _TIME_SPAN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no time span like 00:05:00.")
    days, hours, minutes, seconds, fraction = match.groups()
    if int(hours) > 23 or int(minutes) > 59 or int(seconds or 0) > 59:
        raise ValueError(f"{text!r} is no time span: hours go to 23, minutes and seconds to 59.")
    whole = ((int(days or 0) * 24 + int(hours)) * 60 + int(minutes)) * 60 + int(seconds or 0)
    return whole + float(fraction or 0)


def _queue_settings(section: dict[str, Any]) -> QueueSettings:
    batch_size = _whole(section, "batchSize", 16, 1, 32)
    encoding = _text(section, "messageEncoding", "base64").lower()
    if encoding not in ("base64", "none"):
        raise ValueError(f'extensions.queues.messageEncoding must be "base64" or "none", not {encoding!r}.')
    polling = _seconds(section, "maxPollingInterval", 60.0)
    if polling < 0.1:
        raise ValueError("extensions.queues.maxPollingInterval must be at least 00:00:00.100.")
    return QueueSettings(
        batch_size=batch_size,
        new_batch_threshold=_whole(section, "newBatchThreshold", batch_size // 2, 0, 10_000),
        max_polling_interval=polling,
        visibility_timeout=_seconds(section, "visibilityTimeout", 0.0),
        max_dequeue_count=_whole(section, "maxDequeueCount", 5, 1, 10_000),
        base64=encoding == "base64",
    )


def _function_timeout(document: dict[str, Any]) -> float | None:
    text = _text(document, "functionTimeout", "")
    if not text:
        return DEFAULT_FUNCTION_TIMEOUT
    if text.strip() in ("-1", "-00:00:01"):
        return None
    try:
        return parse_time_span(text)
    except ValueError as error:
        raise ValueError(f"functionTimeout: {error}") from error


def _section(parent: dict[str, Any], name: str) -> dict[str, Any]:
    value = parent.get(name, {})
    if not isinstance(value, dict):
        raise ValueError(f"{name} must be an object.")
    return value


def _text(section: dict[str, Any], name: str, default: str) -> str:
    value = section.get(name, default)
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a string, not {value!r}.")
    return value


def _whole(section: dict[str, Any], name: str, default: int, lowest: int, highest: int) -> int:
    value = section.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
        raise ValueError(f"extensions.queues.{name} must be a whole number from {lowest} to {highest}, not {value!r}.")
    return value


def _seconds(section: dict[str, Any], name: str, default: float) -> float:
    value = section.get(name)
    if value is None:
        return default
    if not isinstance(value, str):
        raise ValueError(f"extensions.queues.{name} must be a time span like 00:00:01, not {value!r}.")
    try:
        return parse_time_span(value)
    except ValueError as error:
        raise ValueError(f"extensions.queues.{name}: {error}") from error
