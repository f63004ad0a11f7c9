"""The app settings of a deployment: the code takes them, and knows each of them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from elastic_jobs.settings import HOST_SETTINGS, Settings
from tests.infra.bicep import INFRA, ROOT, Evaluator, body, template

CLIENT = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
PARAMETERS: dict[str, Any] = {
    "appClientId": CLIENT,
    "storageName": "stone",
    "vaultUri": "https://kv-one.vault.azure.net/",
    "privateEndpointSubnetId": (
        "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/rg-one/providers/Microsoft.Network"
        "/virtualNetworks/vnet-one/subnets/endpoints"
    ),
    "connectionString": "InstrumentationKey=00000000-0000-0000-0000-000000000000;IngestionEndpoint=https://one/",
    "agentResourceGroup": "rg-one",
    "agentServerName": "sql-one",
    "agentLocation": "westeurope",
    "agentName": "",
    "databaseHost": "fog-one.database.windows.net",
    "databaseName": "JobDatabase",
    "capacity": 400,
    "instanceConcurrency": 64,
    "tickSchedule": "*/10 * * * * *",
    "historyDays": 45,
    "allowedTargetServers": ["one.database.windows.net", "*.example.net"],
    "clientId": CLIENT,
    "audience": "api://66666666-7777-8888-9999-000000000000/elastic-jobs-one",
}

READ_BY_OTHERS = {
    "AzureWebJobsStorage__credential": "the Functions host",
    "AzureWebJobsStorage__clientId": "the Functions host",
    "AzureWebJobsStorage__blobServiceUri": "the Functions host",
    "AzureFunctionsJobHost__extensions__queues__newBatchThreshold": "the Functions host, over host.json",
    "AzureFunctionsWebHost__hostid": "the Functions host, in a container",
    "AZURE_CLIENT_ID": "azure-identity: which identity DefaultAzureCredential takes",
}
"""Settings that no code of ours reads, and who does. Flex Consumption takes no FUNCTIONS_WORKER_RUNTIME: the runtime is
a property of the app there."""


def deployed() -> dict[str, str]:
    settings = template("app/settings.bicep")
    assert set(PARAMETERS) == set(settings.part("parameters"))
    value: dict[str, str] = Evaluator(settings, PARAMETERS).value(settings.part("outputs")["settings"]["value"])
    return value


def known() -> set[str]:
    """Names that some file of the product reads, as a literal text."""
    files = [*(ROOT / "elastic_jobs").rglob("*.py"), ROOT / "function_app.py"]
    return {name for file in files for name in re.findall(r'"(\w+)"', file.read_text(encoding="utf-8"))}


def test_the_code_takes_the_settings_of_a_deployment() -> None:
    in_azure = {**deployed(), "WEBSITE_SITE_NAME": "func-one"}
    assert all(isinstance(value, str) for value in in_azure.values())
    settings = Settings.from_env(in_azure)
    assert settings.auth_mode == "entra"
    assert settings.entra_audience == (CLIENT, PARAMETERS["audience"])
    assert settings.storage_connection == ""
    assert settings.storage_queue_uri == "https://stone.queue.core.windows.net"
    assert settings.job_database_url == "mssql+pyodbc://fog-one.database.windows.net/JobDatabase"
    assert settings.allowed_target_servers == ("one.database.windows.net", "*.example.net")
    assert settings.maximum_capacity == 400
    assert settings.credential_store == "keyvault"
    assert settings.key_vault_url == "https://kv-one.vault.azure.net"


def test_an_app_without_private_targets_and_endpoints_starts_too() -> None:
    settings = template("app/settings.bicep")
    names = {**PARAMETERS, "allowedTargetServers": [], "privateEndpointSubnetId": ""}
    Settings.from_env(Evaluator(settings, names).value(settings.part("outputs")["settings"]["value"]))


@pytest.mark.parametrize("name", sorted(deployed()))
def test_no_setting_is_unknown_to_the_code(name: str) -> None:
    assert name in known() | set(READ_BY_OTHERS)


def test_the_hosts_own_settings_are_given() -> None:
    given = deployed()
    assert set(HOST_SETTINGS) - set(given) == {"AzureWebJobsStorage", "FUNCTIONS_WORKER_RUNTIME"}
    assert "AzureWebJobsStorage__blobServiceUri" in given, "instead of a connection string"
    app = body(template("app/function-app.bicep").part("modules")["app"])["params"]
    assert app["functionAppConfig"]["runtime"]["name"] == "python", "instead of FUNCTIONS_WORKER_RUNTIME"


def test_the_host_takes_as_many_messages_as_the_app_has_room_for() -> None:
    settings = deployed()
    host = json.loads((ROOT / "host.json").read_text(encoding="utf-8"))["extensions"]["queues"]
    threshold = int(settings["AzureFunctionsJobHost__extensions__queues__newBatchThreshold"])
    assert host["batchSize"] + threshold == int(settings["INSTANCE_CONCURRENCY"])


def test_no_setting_holds_a_secret() -> None:
    for name, value in deployed().items():
        assert not re.search(r"password|accountkey|sharedaccess|sig=", value, re.IGNORECASE), name


def kubernetes() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((INFRA / "container" / "kubernetes.yaml").read_text(encoding="utf-8")))


def test_the_kubernetes_settings_are_taken_too() -> None:
    (settings,) = [part["data"] for part in kubernetes() if part["kind"] == "ConfigMap"]
    filled = {
        name: re.sub(r"<([^>]*)>", lambda match: _sample(match.group(1)), value) for name, value in settings.items()
    }
    Settings.from_env(filled)
    assert set(settings) <= known() | set(READ_BY_OTHERS) | {"FUNCTIONS_WORKER_RUNTIME", "TICK_SCHEDULE"}


def _sample(name: str) -> str:
    is_id = name.endswith(("CLIENT_ID", "SUBSCRIPTION_ID", "TENANT_ID", "client id"))
    return CLIENT if is_id else name.lower().replace("_", "-")


def test_kubernetes_scales_by_the_queues_and_gives_scripts_their_time() -> None:
    (scaled,) = [part["spec"] for part in kubernetes() if part["kind"] == "ScaledObject"]
    assert [trigger["metadata"]["queueName"] for trigger in scaled["triggers"]] == [
        "elastic-jobs-steps",
        "elastic-jobs-targets",
    ]
    assert scaled["minReplicaCount"] >= 1, "the timer runs in it"
    (pods,) = [part["spec"]["template"]["spec"] for part in kubernetes() if part["kind"] == "Deployment"]
    assert pods["terminationGracePeriodSeconds"] == 12 * 3600, "the default timeout of a step"
