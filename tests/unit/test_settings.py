"""Settings: each wrong one stops the start with a sentence that names it."""

from __future__ import annotations

import base64

import pytest

from elastic_jobs.errors import SettingsError
from elastic_jobs.settings import Settings

GOOD = {
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
    "JOB_DATABASE_URL": "sqlite:////tmp/jobs.db",
    "AGENT_SUBSCRIPTION_ID": "11111111-1111-1111-1111-111111111111",
    "AGENT_RESOURCE_GROUP": "rg",
    "AGENT_SERVER_NAME": "jobserver",
    "AGENT_DATABASE_NAME": "JobDatabase",
    "AGENT_LOCATION": "westeurope",
    "AUTH_MODE": "local",
    "LOCAL_AUTH_KEY": "k" * 32,
    "CREDENTIAL_KEY": base64.b64encode(b"k" * 32).decode(),
}


def test_good_settings_are_read_with_their_defaults() -> None:
    settings = Settings.from_env(GOOD)
    assert settings.instance_concurrency == 128
    assert settings.sql_server_suffix == ".database.windows.net"
    assert settings.allowed_target_servers == ()


def test_lists_and_addresses_are_read() -> None:
    more = {
        "ALLOWED_TARGET_SERVERS": " S1.database.windows.net , *.example.net ",
        "TARGET_SERVER_ADDRESSES": '{"S1.database.windows.net": "127.0.0.1,1433"}',
    }
    settings = Settings.from_env({**GOOD, **more})
    assert settings.allowed_target_servers == ("s1.database.windows.net", "*.example.net")
    assert settings.target_server_addresses == {"s1.database.windows.net": "127.0.0.1,1433"}


@pytest.mark.parametrize("name", sorted(set(GOOD) - {"AzureWebJobsStorage"}))
def test_a_missing_setting_is_named(name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Settings.from_env({key: value for key, value in GOOD.items() if key != name})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AzureWebJobsStorage", ""),
        ("AGENT_SUBSCRIPTION_ID", "not-a-guid"),
        ("AUTH_MODE", "none"),
        ("LOCAL_AUTH_KEY", "short"),
        ("CREDENTIAL_KEY", "not base64!"),
        ("CREDENTIAL_KEY", base64.b64encode(b"short").decode()),
        ("CREDENTIAL_KEY", "@Microsoft.KeyVault(SecretUri=https://v/secrets/s)"),
        ("SQL_SERVER_SUFFIX", "database.windows.net"),
        ("ALLOWED_TARGET_SERVERS", "s1;Encrypt=no"),
        ("ALLOWED_TARGET_SERVERS", "*"),
        ("TARGET_SERVER_ADDRESSES", "[]"),
        ("TARGET_SERVER_ADDRESSES", "{"),
        ("TARGET_SERVER_ADDRESSES", '{"s": 1}'),
        ("TRUST_TARGET_CERTIFICATES", "yes"),
        ("INSTANCE_CONCURRENCY", "0"),
        ("INSTANCE_CONCURRENCY", "many"),
        ("MAXIMUM_CAPACITY", "99"),
        ("LEASE_SECONDS", "5"),
        ("HEARTBEAT_SECONDS", "-1"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Settings.from_env({**GOOD, name: value})


def test_no_error_quotes_a_secret() -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_env({**GOOD, "LOCAL_AUTH_KEY": "canary-secret"})
    assert "canary-secret" not in str(refused.value)
