"""Settings of authentication: nothing starts open, and local mode does not start in Azure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from elastic_jobs.api.auth import EntraAuthenticator, authenticator_for
from elastic_jobs.errors import SettingsError
from tests.api import support
from tests.api.entra import AUDIENCE, TENANT


def test_what_entra_mode_needs() -> None:
    good = {"AUTH_MODE": "entra", "ENTRA_TENANT_ID": TENANT, "ENTRA_AUDIENCE": AUDIENCE}
    assert isinstance(authenticator_for(support.settings(**good)), EntraAuthenticator)
    chosen = support.settings(**good, ENTRA_AUTHORITY="https://login.microsoftonline.com/")
    assert chosen.entra_authority == "https://login.microsoftonline.com", "Bicep writes it with a slash"
    chosen = support.settings(**good)
    assert chosen.entra_authority == "https://login.microsoftonline.com"
    assert chosen.entra_audience == (AUDIENCE,)
    for name, value in (
        ("ENTRA_TENANT_ID", ""),
        ("ENTRA_TENANT_ID", "common"),
        ("ENTRA_TENANT_ID", "contoso.onmicrosoft.com"),
        ("ENTRA_AUDIENCE", " , "),
        ("ENTRA_AUDIENCE", f"{AUDIENCE},https://management.azure.com/"),
        ("ENTRA_AUDIENCE", "https://management.core.windows.net"),
        ("ENTRA_AUTHORITY", "http://login.microsoftonline.com"),
        ("ENTRA_AUTHORITY", "login.microsoftonline.com"),
        ("ENTRA_AUTHORITY", "https://login.microsoftonline.com/common"),
        ("ENTRA_AUTHORITY", "https://user@login.microsoftonline.com"),
        ("ENTRA_AUTHORITY", "http://127.0.0.1.example.com"),
    ):
        with pytest.raises(SettingsError, match=name):
            support.settings(**good | {name: value})


def test_an_authenticator_without_its_settings_is_not_made() -> None:
    good = support.settings(AUTH_MODE="entra", ENTRA_TENANT_ID=TENANT, ENTRA_AUDIENCE=AUDIENCE)
    for bad in (replace(good, entra_tenant_id=None), replace(good, entra_audience=())):
        with pytest.raises(SettingsError, match="ENTRA_TENANT_ID and ENTRA_AUDIENCE"):
            authenticator_for(bad)


@pytest.mark.parametrize("mark", ["WEBSITE_INSTANCE_ID", "WEBSITE_SITE_NAME", "CONTAINER_APP_NAME"])
def test_local_mode_does_not_start_in_azure(mark: str) -> None:
    with pytest.raises(SettingsError, match=f"AUTH_MODE is local, but {mark} says"):
        support.settings(**{mark: "my-app"})
    assert support.settings(**{mark: ""}).auth_mode == "local"
