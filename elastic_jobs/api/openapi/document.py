"""Completes the document that FastAPI makes: answers, errors with their codes, examples, roles, the bearer token."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Set
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import TypeAdapter

from elastic_jobs.api.openapi import examples
from elastic_jobs.api.openapi.answers import ErrorAnswer, OperationAccepted
from elastic_jobs.api.openapi.catalogue import CATALOGUE, Entry
from elastic_jobs.api.openapi.words import ABOUT, ERROR_MESSAGES, PARAMETERS, STATUSES, TAGS
from elastic_jobs.api.paths import API_VERSION, API_VERSION_FORMAT, ARM_PREFIX, SERVER_PREFIX, SHORT_PREFIX

_NAMES_IN_PATH = re.compile(r"\{(\w+)\}")
_REFERENCE = "#/components/schemas/{model}"
_JSON = "application/json"
_METHODS = ("get", "put", "post", "patch", "delete")
_TOKEN_CODES = ("AuthenticationFailed", "InvalidAuthenticationToken", "ExpiredAuthenticationToken")
_SERVER_CODES = ("SubscriptionDoesNotHaveServer", "ServerNotInSubscriptionResourceGroup")
_VERSION_CODES = ("MissingApiVersionParameter", "InvalidApiVersionParameter")
_ALWAYS: Mapping[int, tuple[str, ...]] = {
    408: ("RequestTimeout",),
    413: ("RequestEntityTooLarge",),
    415: ("UnsupportedMediaType",),
    429: ("SubscriptionTooManyRequests",),
    500: ("InternalServerError",),
    503: ("ServiceUnavailable",),
}
_LOCATION = {"Location": {"description": "The URL of the execution.", "schema": {"type": "string"}}}
_POLLING = {
    "Location": {"description": "Answers with the result.", "schema": {"type": "string"}},
    "Azure-AsyncOperation": {"description": "Answers with the state; agents only.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds until the next poll.", "schema": {"type": "integer"}},
}
_STARTS = frozenset({"start_job", "put_execution", "rerun_execution"})


def handler_of(operation_id: str) -> str:
    """The name of the handler behind an operation id: ``short_get_job`` and ``arm_get_job`` are the same."""
    return operation_id.partition("_")[2]


def build(app: FastAPI) -> dict[str, Any]:
    """The whole document.

    Raises:
        KeyError: a route has no entry in the catalogue.
    """
    document = get_openapi(title=app.title, version=app.version, description=ABOUT, routes=app.routes, tags=TAGS)
    shapes, definitions = _shapes()
    schemas: dict[str, Any] = document.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas.update(definitions)
    document["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
    roles = roles_of(app)
    for path, methods in document["paths"].items():
        for method in _METHODS:
            if method in methods:
                _complete(path, methods[method], shapes, roles[methods[method]["operationId"]])
    return document


def roles_of(app: FastAPI) -> dict[str, str | None]:
    """The role that opens each operation, by operation id; None where no token is needed."""
    found: dict[str, str | None] = {}
    for route in iter_route_contexts(app.routes):
        if isinstance(route.original_route, APIRoute):
            known: Any = route  # it has what its route has
            roles = (getattr(each.dependency, "required_role", None) for each in known.dependencies)
            found[known.unique_id] = next((str(role) for role in roles if role is not None), None)
    return found


def _complete(path: str, operation: dict[str, Any], shapes: Mapping[str, Any], role: str | None) -> None:
    entry = CATALOGUE[handler_of(operation["operationId"])]
    operation["responses"] = {
        str(status): answer
        for status, answer in sorted({**_answers(path, operation, entry, shapes), **_errors(path, entry, role)}.items())
    }
    parameters = operation.get("parameters", [])
    parameters += _address_parameters(path, {parameter["name"] for parameter in parameters})
    for parameter in parameters:
        _describe_parameter(parameter)
    if parameters:
        operation["parameters"] = parameters
    body = operation.get("requestBody")
    if body is not None and entry.sends is not None:
        body["content"][_JSON]["example"] = entry.sends
    if role is None:
        operation["security"] = []
    else:
        operation["security"] = [{"bearer": []}]
        operation["x-required-role"] = role
        told = operation.get("description", "").rstrip()
        operation["description"] = f"{told}\n\nRole: **{role}**.".strip()


def _answers(
    path: str, operation: Mapping[str, Any], entry: Entry, shapes: Mapping[str, Any]
) -> dict[int, dict[str, Any]]:
    name = handler_of(operation["operationId"])
    under_arm = path.startswith(ARM_PREFIX)
    found: dict[int, dict[str, Any]] = {}
    wanted = entry.arm_answers if under_arm and entry.arm_answers is not None else entry.answers
    for status, model in wanted.items():
        answer: dict[str, Any] = {"description": STATUSES[status]}
        if model is not None:
            example = examples.OPERATION_ACCEPTED if model is OperationAccepted else entry.gives
            content = {"schema": shapes[_key(model)], **({} if example is None else {"example": example})}
            answer["content"] = {_JSON: content}
        if status == 202:
            answer["headers"] = _POLLING
        elif name in _STARTS:
            answer["headers"] = _LOCATION
        found[status] = answer
    return found


def _errors(path: str, entry: Entry, role: str | None) -> dict[int, dict[str, Any]]:
    codes: dict[int, list[str]] = {status: list(found) for status, found in entry.errors.items()}

    def add(status: int, more: Iterable[str]) -> None:
        known = codes.setdefault(status, [])
        known.extend(code for code in more if code not in known)

    if path.startswith((ARM_PREFIX, SHORT_PREFIX)) and entry is not CATALOGUE["list_audit"]:
        # The first PUT of an agent finds none, and says so only when the name does not fit.
        add(404, () if entry is CATALOGUE["put_agent"] else ("JobAgentNotFound",))
    if path.startswith(SERVER_PREFIX):
        add(404, _SERVER_CODES)
    if "/providers" in path and "OperationIdNotFound" not in codes.get(404, ()):
        add(400, _VERSION_CODES)
    if role is not None:
        add(401, _TOKEN_CODES)
        add(403, ("JobCredentialPermissionError",) if role == "CredentialAdmin" else ("AuthorizationFailed",))
    for status, always in _ALWAYS.items():
        add(status, always)
    return {status: _error(status, found) for status, found in codes.items() if found}


def _error(status: int, codes: Iterable[str]) -> dict[str, Any]:
    told = {
        code: {"value": {"error": {"code": code, "message": ERROR_MESSAGES.get(code, STATUSES[status])}}}
        for code in codes
    }
    return {
        "description": f"{STATUSES[status]} Codes: {', '.join(told)}.",
        "content": {_JSON: {"schema": {"$ref": _REFERENCE.format(model="ErrorAnswer")}, "examples": told}},
    }


def _address_parameters(path: str, declared: Set[str]) -> list[dict[str, Any]]:
    """What a path needs and its handler does not declare; see ``paths.server_address``."""
    names = [name for name in _NAMES_IN_PATH.findall(path) if name not in declared]
    found = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "title": _titled(name)}}
        for name in names
    ]
    if path.startswith(SERVER_PREFIX) and names and API_VERSION not in declared:
        found.append({"name": API_VERSION, "in": "query", "description": API_VERSION_FORMAT})
    return found


def _titled(name: str) -> str:
    return name.replace("_", " ").title()


def _describe_parameter(parameter: dict[str, Any]) -> None:
    known = PARAMETERS.get(parameter["name"])
    if known is not None:
        parameter.setdefault("description", known.description)
        parameter["example"] = known.example
    if parameter["name"] == API_VERSION:
        parameter["required"] = True
        parameter["schema"] = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}(-preview)?$"}


def _key(model: Any) -> str:
    return str(model)


def _shapes() -> tuple[dict[str, Any], dict[str, Any]]:
    """The schema of each answer (a reference, mostly) by its model, and the definitions that they refer to."""
    models = {_key(ErrorAnswer): ErrorAnswer}
    for entry in CATALOGUE.values():
        for answers in (entry.answers, entry.arm_answers or {}):
            models |= {_key(model): model for model in answers.values() if model is not None}
    found, outer = TypeAdapter.json_schemas(
        [(key, "serialization", TypeAdapter(model)) for key, model in models.items()], ref_template=_REFERENCE
    )
    definitions: dict[str, Any] = outer.get("$defs", {})
    return {key: _without_null(schema) for (key, _), schema in found.items()}, _without_null(definitions)


def _without_null(schema: Any) -> Any:
    """Properties of answers are absent where there is nothing to say, never ``null``."""
    if isinstance(schema, list):
        return [_without_null(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: _without_null(value) for key, value in schema.items() if not (key == "default" and value is None)}
    choices = kept.get("anyOf")
    if isinstance(choices, list) and {"type": "null"} in choices:
        others = [choice for choice in choices if choice != {"type": "null"}]
        del kept["anyOf"]
        kept |= others[0] if len(others) == 1 else {"anyOf": others}
    return kept
