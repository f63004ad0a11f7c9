"""What the functions of an app are bound to: triggers and outputs as plain data, with settings filled in."""

import inspect
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from local.functions_host.converters import accepts
from local.functions_host.errors import StartError

AZURITE_DEFAULT = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"
    "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
    "QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1;"
)
RETURN = "$return"
_SETTING = re.compile(r"%([^%\s]+)%")
_QUEUE_NAME = re.compile(r"[a-z0-9](?:-?[a-z0-9])*")


@dataclass(frozen=True)
class HttpTrigger:
    """`route` is a template without the prefix; `methods` in capitals, None for any."""

    argument: str
    route: str
    methods: frozenset[str] | None


@dataclass(frozen=True)
class QueueTrigger:
    argument: str
    queue: str
    connection: str  # a connection string


@dataclass(frozen=True)
class TimerTrigger:
    argument: str
    schedule: str
    run_on_startup: bool
    use_monitor: bool


@dataclass(frozen=True)
class QueueOutput:
    """`argument` is "$return" or the name of an Out parameter."""

    argument: str
    queue: str
    connection: str


@dataclass(frozen=True)
class BoundFunction:
    """One function of the app and everything needed to call it."""

    name: str
    call: Callable[..., Any]
    is_async: bool
    trigger: HttpTrigger | QueueTrigger | TimerTrigger
    outputs: tuple[QueueOutput, ...]
    wants_context: bool
    directory: str


def bind_function(
    name: str, call: Callable[..., Any], bindings: list[dict[str, Any]], environment: Mapping[str, str], directory: str
) -> BoundFunction:
    """Turn one function's bindings (as in function.json) into data.

    Raises StartError for a binding that the stand-in does not know, a setting that is missing, or parameters that do
    not fit, as the Python worker refuses them.
    """
    trigger: HttpTrigger | QueueTrigger | TimerTrigger | None = None
    outputs: list[QueueOutput] = []
    trigger_kind = ""
    for binding in bindings:
        kind = str(binding.get("type"))
        trigger_kind = kind if kind.endswith("Trigger") else trigger_kind
        if kind == "httpTrigger":
            trigger = _http_trigger(binding)
        elif kind == "queueTrigger":
            trigger = QueueTrigger(str(binding["name"]), *_queue(name, binding, environment))
        elif kind == "timerTrigger":
            trigger = _timer_trigger(name, binding, environment)
        elif kind == "queue":
            outputs.append(QueueOutput(str(binding["name"]), *_queue(name, binding, environment)))
        elif kind != "http":  # the answer of an HTTP function needs no data of its own
            raise StartError(
                f"Function {name} uses a {kind} binding, which the local host does not support: it knows httpTrigger, "
                f"queueTrigger, timerTrigger, http and queue."
            )
    if trigger is None:
        raise StartError(f"Function {name} has no trigger.")
    wants_context = _check_parameters(name, call, trigger.argument, outputs)
    _check_annotation(name, call, trigger.argument, trigger_kind)
    return BoundFunction(
        name, call, inspect.iscoroutinefunction(call), trigger, tuple(outputs), wants_context, directory
    )


def substitute(text: str, environment: Mapping[str, str], what: str) -> str:
    """Replace each %NAME% by the setting of that name; raises StartError naming the one that is not set."""

    def value(match: re.Match[str]) -> str:
        found = environment.get(match.group(1))
        if found is None:
            raise StartError(f"{what}: %{match.group(1)}% does not resolve to a value; set {match.group(1)}.")
        return found

    return _SETTING.sub(value, text)


def connection_string(name: str, environment: Mapping[str, str], what: str) -> str:
    """The storage connection string behind a binding's `connection`, looked up as the host does.

    The name with the prefix AzureWebJobs comes first, then the plain name; an empty name is AzureWebJobsStorage.
    """
    candidates = [f"AzureWebJobs{name}", name] if name else ["AzureWebJobsStorage"]
    for candidate in candidates:
        text = environment.get(candidate)
        if text:
            return AZURITE_DEFAULT if text.strip().lower() == "usedevelopmentstorage=true" else text
        if any(key.startswith(f"{candidate}__") for key in environment):
            raise StartError(
                f"{what}: the connection {candidate} names an identity, and the local host takes connection strings "
                f"only; set {candidate} to one."
            )
    raise StartError(f"{what}: the storage connection {candidates[-1]} is not set.")


def _http_trigger(binding: dict[str, Any]) -> HttpTrigger:
    methods = binding.get("methods")
    names = frozenset(str(method).upper() for method in methods) if methods else None
    return HttpTrigger(str(binding["name"]), str(binding.get("route") or ""), names)


def _timer_trigger(name: str, binding: dict[str, Any], environment: Mapping[str, str]) -> TimerTrigger:
    schedule = substitute(str(binding["schedule"]), environment, f"The schedule of function {name}")
    monitored = binding.get("useMonitor") is not False  # unset means yes
    return TimerTrigger(str(binding["name"]), schedule, bool(binding.get("runOnStartup")), monitored)


def _queue(name: str, binding: dict[str, Any], environment: Mapping[str, str]) -> tuple[str, str]:
    queue = substitute(str(binding["queueName"]), environment, f"The queue name of function {name}").lower()
    if not 3 <= len(queue) <= 63 or _QUEUE_NAME.fullmatch(queue) is None:
        raise StartError(
            f"Function {name}: {queue!r} is no queue name: 3 to 63 lower-case letters, digits and single dashes."
        )
    connection = connection_string(str(binding.get("connection") or ""), environment, f"Function {name}, queue {queue}")
    return queue, connection


def _check_parameters(name: str, call: Callable[..., Any], trigger: str, outputs: list[QueueOutput]) -> bool:
    """True when the function takes `context`. The worker insists on exactly the bound names."""
    parameters = set(inspect.signature(call).parameters)
    wants_context = "context" in parameters
    parameters.discard("context")
    bound = {trigger} | {output.argument for output in outputs if output.argument != RETURN}
    missing, unbound = ", ".join(sorted(bound - parameters)), ", ".join(sorted(parameters - bound))
    if missing:
        raise StartError(f"Function {name} is bound to {missing} but takes no such parameter.")
    if unbound:
        raise StartError(f"Function {name} takes {unbound}, which no binding fills.")
    return wants_context


def _check_annotation(name: str, call: Callable[..., Any], argument: str, kind: str) -> None:
    """The worker refuses a trigger's parameter of a type that it does not make."""
    try:
        annotation = typing.get_type_hints(call).get(argument)
    except NameError as error:
        raise StartError(f"Function {name}: its annotations cannot be read ({error}).") from error
    if isinstance(annotation, type) and annotation is not Any and not accepts(kind, annotation):
        raise StartError(f"Function {name}: the parameter {argument} of a {kind} cannot be {annotation.__name__}.")
