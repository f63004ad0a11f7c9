"""The errors that people meet. Each is a sentence: what, which object, what to do. One mapper turns them into HTTP."""

from __future__ import annotations

from http import HTTPStatus


class ElasticJobsError(Exception):
    """Base of all errors that the product raises on purpose. ``str(error)`` is the sentence to show.

    passing: nothing is wrong with what was asked; a service beside the job database does not answer at the moment.
    """

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


class SettingsError(ElasticJobsError):
    """A setting is missing or wrong; the app does not start."""


class NotFoundError(ElasticJobsError):
    """A named object does not exist.

    kind: one of agent, credential, target group, job, step, version, execution, step execution, target execution,
    private endpoint, operation.
    """

    def __init__(self, kind: str, name: str, hint: str = "") -> None:
        super().__init__(f"There is no {kind} '{name}'." + (f" {hint}" if hint else ""))
        self.kind, self.name = kind, name


class InvalidDefinitionError(ElasticJobsError):
    """A definition cannot be saved as it is.

    code: the documented error code of the management API, e.g. ``InvalidResourceRequestBody``.
    """

    def __init__(self, message: str, code: str = "ElasticJobsOperationFailed") -> None:
        super().__init__(message)
        self.code = code


class ConflictError(ElasticJobsError):
    """The object is in a state that does not allow this, or something else changed it at the same time."""

    def __init__(self, message: str, code: str = "ElasticJobsOperationFailed") -> None:
        super().__init__(message)
        self.code = code


class JobDatabaseUnavailableError(ElasticJobsError):
    """The job database cannot be reached or does not answer in time.

    nothing_changed: the transaction was certainly rolled back, and the same one may work a moment later.
    full: it can be read, but has no room for what was to be saved.
    """

    def __init__(self, message: str, *, nothing_changed: bool = False, full: bool = False) -> None:
        super().__init__(message)
        self.nothing_changed, self.full = nothing_changed, full


class CredentialError(ElasticJobsError):
    """A credential cannot be sealed, opened or found in its store."""


class ServerNotAllowedError(ElasticJobsError):
    """A credential or identity may not be sent to this server."""


def is_away(status: int) -> bool:
    """Whether a service that answers with this HTTP status is away or overloaded, rather than of another mind."""
    return status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
