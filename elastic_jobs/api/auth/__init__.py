"""Who calls, and what the caller may do. Every path is closed unless it says which role opens it."""

from __future__ import annotations

from elastic_jobs.api.auth.callers import (
    Authenticator,
    Caller,
    Role,
    bearer_token,
    described,
    invalid_token,
    roles_of,
    unauthorized,
)
from elastic_jobs.api.auth.entra import EntraAuthenticator
from elastic_jobs.api.auth.guards import caller_of, check_any_role, require
from elastic_jobs.api.auth.local import LOCAL_AUDIENCE, LocalAuthenticator
from elastic_jobs.errors import SettingsError
from elastic_jobs.settings import Settings

__all__ = [
    "LOCAL_AUDIENCE",
    "Authenticator",
    "Caller",
    "EntraAuthenticator",
    "LocalAuthenticator",
    "Role",
    "authenticator_for",
    "bearer_token",
    "caller_of",
    "check_any_role",
    "described",
    "invalid_token",
    "require",
    "roles_of",
    "unauthorized",
]


def authenticator_for(settings: Settings) -> Authenticator:
    """The way of authentication that the settings name.

    Raises:
        SettingsError: they name none that is known, or not all that it needs; the API does not start open.
    """
    if settings.auth_mode == "local":
        return LocalAuthenticator(settings.local_auth_key)
    if settings.auth_mode == "entra":
        return EntraAuthenticator.from_settings(settings)
    raise SettingsError(f"AUTH_MODE is '{settings.auth_mode}', which this version does not know.")
