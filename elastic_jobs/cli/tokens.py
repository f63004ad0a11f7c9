"""Tokens: from a context, or from Entra ID at the moment they are needed."""

from __future__ import annotations

import base64
import binascii
import json
import logging
import re
import time
from collections.abc import Callable
from typing import Any

from elastic_jobs.cli.contexts import Context
from elastic_jobs.cli.errors import NoAccess, UsageError, first_line

LOCAL_AUDIENCE = "elastic-jobs"
"""What an endpoint in local mode names as its audience."""
_RENEW_SECONDS = 300
"""A kept token that ends this soon is not sent again; another one is asked for."""
_TOKEN = re.compile(r"[\x21-\x7e]+")
_OWN_APP = re.compile(r"api://\S+|[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


def token_source(context: Context) -> Callable[[], str]:
    """Where the tokens of a context come from; asked before each request.

    Raises:
        NoAccess: the context has no way to sign in.
    """
    if context.token:
        token = context.token.strip()
        if not _TOKEN.fullmatch(token):
            raise NoAccess(f"The token of '{context.name}' cannot be one: it holds blanks or odd characters.")
        return lambda: token
    if context.scope:
        return entra_source(context.scope, context.tenant)
    raise NoAccess(f"The context '{context.name}' has no way to sign in; make it anew with 'elastic-jobs login'.")


def entra_source(scope: str, tenant: str | None) -> Callable[[], str]:
    """Tokens of Entra ID, as whoever is signed in on this machine; nothing is stored beyond this process."""
    # Its import takes most of a second, which the other contexts need not wait for.
    from azure.core.credentials import AccessToken
    from azure.core.exceptions import ClientAuthenticationError
    from azure.identity import CredentialUnavailableError, DefaultAzureCredential

    # It logs each way that it tries; what matters is in the error.
    logging.getLogger("azure").setLevel(logging.CRITICAL)
    credential = DefaultAzureCredential()
    held: AccessToken | None = None

    def get() -> str:
        nonlocal held
        # The credential of 'az login' keeps no token: it would run 'az', which takes a second, for each request.
        if held is not None and held.expires_on - time.time() > _RENEW_SECONDS:
            return held.token
        try:
            held = credential.get_token(scope, tenant_id=tenant) if tenant else credential.get_token(scope)
        except (ClientAuthenticationError, CredentialUnavailableError) as error:
            raise NoAccess(
                f"Entra ID gives no token for {scope}: {first_line(error)[:300]} Sign in with 'az login'"
                f"{f' --tenant {tenant}' if tenant else ''}, or set AZURE_CLIENT_ID, AZURE_TENANT_ID and a secret."
            ) from error
        return held.token

    return get


def scope_for(audiences: list[str]) -> str:
    """The scope of the app whose audience an endpoint names.

    Only an app's own identifier is taken from an endpoint: else it could ask for a token of Azure itself and get it.

    Raises:
        UsageError: it names no such audience.
    """
    for audience in audiences:
        if _OWN_APP.fullmatch(audience):
            return f"{audience.rstrip('/')}/.default"
    raise UsageError(
        f"The endpoint names the audience {', '.join(audiences) or '(none)'}, for which no token is asked; name the "
        "scope of its app registration with --scope api://.../.default."
    )


def claims_of(token: str) -> dict[str, Any]:
    """What a token says about itself, unverified: for showing who one is. Empty when it cannot be read."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        found = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
