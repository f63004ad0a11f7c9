"""What a caller may do: each route names the role that opens it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request

from elastic_jobs.api.auth.callers import Caller, Role, unauthorized
from elastic_jobs.api.errors import ApiError


def caller_of(request: Request) -> Caller:
    """The caller whom the middleware authenticated.

    Raises:
        ApiError: 401, it did not.
    """
    caller = getattr(request.state, "caller", None)
    if not isinstance(caller, Caller):
        raise unauthorized("AuthenticationFailed", "Authentication failed.")
    return caller


def require(role: Role, *, denied_code: str = "AuthorizationFailed") -> Callable[[Request], Awaitable[None]]:
    """A dependency that lets only callers with this role pass; 403 names the role that is missing."""

    async def check(request: Request) -> None:
        caller = caller_of(request)
        if not caller.may(role):
            raise ApiError(403, denied_code, f"The caller '{caller.name}' needs the role {role} for this.")

    check.required_role = role  # type: ignore[attr-defined]  # for the test that no route is left open
    return check


def check_any_role(caller: Caller) -> None:
    """Refuse a caller to whom nobody gave a role: such a caller comes to no route at all.

    Raises:
        ApiError: 403, naming the roles that there are.
    """
    if not caller.roles:
        raise ApiError(
            403,
            "AuthorizationFailed",
            f"The caller '{caller.name}' has no role in this deployment. Reading needs the role {Role.READER}; "
            f"the others are {Role.OPERATOR}, {Role.CONTRIBUTOR} and {Role.CREDENTIAL_ADMIN}.",
        )
