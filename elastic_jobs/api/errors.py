"""The one place where an exception becomes an answer.

Every answer that is not a success is ``{"error": {"code", "message"}}`` with the codes that Microsoft documents for
``Microsoft.Sql`` job agents. Nothing of an unexpected error is told but the id under which it stands in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException

from elastic_jobs.errors import (
    ConflictError,
    ElasticJobsError,
    InvalidDefinitionError,
    JobDatabaseUnavailableError,
    NotFoundError,
    ServerNotAllowedError,
    SettingsError,
)

_log = logging.getLogger(__name__)

FAILED_OPERATION = "ElasticJobsOperationFailed"
_TYPE = "Microsoft.Sql/servers/jobAgents"
_TYPE_OF_KIND = {
    "credential": f"{_TYPE}/credentials",
    "target group": f"{_TYPE}/targetGroups",
    "job": f"{_TYPE}/jobs",
    "step": f"{_TYPE}/jobs/steps",
    "version": f"{_TYPE}/jobs/versions",
    "execution": f"{_TYPE}/jobs/executions",
    "step execution": f"{_TYPE}/jobs/executions/steps",
    "target execution": f"{_TYPE}/jobs/executions/steps/targets",
    "private endpoint": f"{_TYPE}/privateEndpoints",
}
_STATUS_OF_CODE = {
    "PropertyChangeUnsupported": 404,  # as documented
    "JobCredentialPermissionError": 403,
    "ElasticJobAgentOperationUnavailable": 409,
    "OperationInterrupted": 409,
    "CannotCancelOperation": 409,
    "OperationCancelled": 409,
}
"""Documented statuses of the codes that do not go with 400."""
_CODE_OF_STATUS = {
    400: "InvalidResourceRequestBody",
    404: "ResourceNotFound",
    405: "HttpMethodNotAllowed",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
}
_FIRST_ERRORS = 3
_SOON = {"Retry-After": "5"}
"""Seconds."""
_NO_JSON = "The request body is no JSON that can be read; send one JSON object in UTF-8, without deep nesting."


class ApiError(Exception):
    """An answer that is not a success, said by the API itself."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.headers = status, code, dict(headers or {})


@dataclass(frozen=True, kw_only=True)
class ErrorAnswer:
    """What goes over the wire."""

    status: int
    code: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, Any]:
        return {"error": {"code": self.code, "message": self.message}}


def to_answer(error: BaseException, request_id: str) -> ErrorAnswer:
    """The answer for an exception. What nobody foresaw is logged with its trace under the request's id."""
    if isinstance(error, ApiError):
        return ErrorAnswer(status=error.status, code=error.code, message=str(error), headers=error.headers)
    if isinstance(error, RequestValidationError):
        return _of_validation(error.errors())
    if isinstance(error, HTTPException):
        return ErrorAnswer(
            status=error.status_code,
            code=_CODE_OF_STATUS.get(error.status_code, "RequestFailed"),
            message=_http_message(error),
            headers=error.headers or {},
        )
    if isinstance(error, ElasticJobsError):
        return _of_product(error, request_id)
    if isinstance(error, PoolTimeoutError):
        return _unavailable(error, request_id)
    _log.error("Request %s failed unexpectedly.", request_id, exc_info=error)
    return ErrorAnswer(
        status=500,
        code="InternalServerError",
        message=f"An unexpected error occurred. It is in the log of the app under request id {request_id}.",
    )


def _of_product(error: ElasticJobsError, request_id: str) -> ErrorAnswer:
    if isinstance(error, NotFoundError):
        return _not_found(error)
    if isinstance(error, (InvalidDefinitionError, ConflictError)):
        return ErrorAnswer(status=_STATUS_OF_CODE.get(error.code, 400), code=error.code, message=str(error))
    if isinstance(error, ServerNotAllowedError):
        return ErrorAnswer(status=400, code=FAILED_OPERATION, message=str(error))
    if isinstance(error, JobDatabaseUnavailableError):
        return _unavailable(error, request_id)
    if isinstance(error, SettingsError):
        _log.error("Request %s: %s", request_id, error)
        return ErrorAnswer(
            status=503,
            code="ServiceUnavailable",
            message=f"The settings of the deployment are wrong; its log says how, under request id {request_id}.",
        )
    _log.error("Request %s: %s", request_id, error)
    if error.passing:
        return ErrorAnswer(status=503, code="ServiceUnavailable", message=str(error), headers=_SOON)
    return ErrorAnswer(status=400, code=FAILED_OPERATION, message=str(error))


def _not_found(error: NotFoundError) -> ErrorAnswer:
    if error.kind == "agent":
        name = f" '{error.name}'" if error.name else ""
        return ErrorAnswer(
            status=404,
            code="JobAgentNotFound",
            message=f"The job agent{name} does not exist in the specified logical server. Create it first.",
        )
    if error.kind == "operation":
        return ErrorAnswer(
            status=404,
            code="OperationIdNotFound",
            message=f"The operation with Id '{error.name}' does not exist, or ended more than a day ago.",
        )
    kind = _TYPE_OF_KIND.get(error.kind, error.kind)
    return ErrorAnswer(
        status=404,
        code="ResourceNotFound",
        message=f"The requested resource of type '{kind}' with name '{error.name}' was not found.",
    )


def _unavailable(error: Exception, request_id: str) -> ErrorAnswer:
    # The driver's text may name hosts and files; it is for the log.
    _log.warning("Request %s: %s", request_id, error)
    full = isinstance(error, JobDatabaseUnavailableError) and error.full
    return ErrorAnswer(
        status=503,
        code="ServiceUnavailable",
        message="The job database is full: it can be read, but nothing can be saved until somebody makes room."
        if full
        else "The job database does not answer. Try again in a moment.",
        headers=_SOON,
    )


def _http_message(error: HTTPException) -> str:
    if error.status_code == 404:
        return "There is no such resource; check the path."
    if error.status_code == 405:
        return "This resource does not have this method."
    if error.status_code == 400:  # the framework's one reason: it could not parse the body
        return _NO_JSON
    return str(error.detail)


def _of_validation(errors: Sequence[Any]) -> ErrorAnswer:
    """What is wrong with a request. The values themselves are left out: one of them may be a password."""
    code = "InvalidResourceRequestBody"
    if any(error.get("type") == "json_invalid" for error in errors):
        return ErrorAnswer(status=400, code=code, message=_NO_JSON)
    said = []
    for error in errors:
        place = [str(part) for part in error.get("loc", ())]
        if place and place[0] != "body":
            code = "InvalidParameterValue"
        text = str(error.get("msg", "is not valid")).removeprefix("Value error, ")
        where = ".".join(place[1:]) or "the request body"
        said.append(f"{where}: {text}")
    more = f" (and {len(said) - _FIRST_ERRORS} more)" if len(said) > _FIRST_ERRORS else ""
    return ErrorAnswer(
        status=400, code=code, message=f"The request is not valid. {'; '.join(said[:_FIRST_ERRORS])}{more}."
    )
