"""The rules of the house for the Bicep files: pinned, described, closed to the public, without keys."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import pytest
import yaml

from elastic_jobs.agent.messages import STEPS_QUEUE, TARGETS_QUEUE
from elastic_jobs.api.auth import Role
from elastic_jobs.api.middleware import ANONYMOUS_PATHS
from tests.infra.bicep import INFRA, ROOT, Evaluator, Template, body, template, templates, walk

EACH = pytest.mark.parametrize("each", templates(), ids=lambda each: each.name)

PINNED = {
    "app/container-app": "0.23.0",
    "app/managed-environment": "0.15.0",
    "insights/action-group": "0.8.0",
    "insights/component": "0.8.0",
    "insights/scheduled-query-rule": "0.6.0",
    "key-vault/vault": "0.14.0",
    "managed-identity/user-assigned-identity": "0.6.0",
    "network/private-dns-zone": "0.8.1",
    "network/private-endpoint": "0.12.1",
    "network/virtual-network": "0.10.1",
    "operational-insights/workspace": "0.16.1",
    "sql/server": "0.22.0",
    "storage/storage-account": "0.33.0",
    "web/serverfarm": "0.7.0",
    "web/site": "0.24.0",
}
"""Azure Verified Modules whose parameters were compared with these templates, at these versions. Before a version is
changed here, compare again: main.json in github.com/Azure/bicep-registry-modules, tag avm/res/<module>/<version>."""

GIVEN_ROLES = {
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
    "974c5e8b-45b9-4653-ba55-5f855dd0fb88": "Storage Queue Data Contributor",
    "b86a8fe4-44ce-4948-aee5-eccb2c155cd7": "Key Vault Secrets Officer",
    "3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
}
"""All that the app's identity gets. Owner, Contributor and the like are not among them."""

CLOSED: dict[str, dict[str, object]] = {
    "key-vault/vault": {"publicNetworkAccess": "Disabled", "enableRbacAuthorization": True},
    "storage/storage-account": {
        "publicNetworkAccess": "Disabled",
        "allowSharedKeyAccess": False,
        "allowBlobPublicAccess": False,
        "minimumTlsVersion": "TLS1_2",
    },
    "sql/server": {"publicNetworkAccess": "Disabled", "minimalTlsVersion": "1.2"},
    "insights/component": {"disableLocalAuth": True},
    "app/managed-environment": {"publicNetworkAccess": "Disabled", "internal": True},
}


def modules(of: Template) -> list[tuple[str, str, Any]]:
    """Name, path and body of every module that a template uses."""
    return [(name, module["detail"]["path"], module) for name, module in of.part("modules").items()]


def test_the_templates_are_found() -> None:
    assert {"main.bicep", "app/region.bicep", "container/container-app.bicep"} <= {each.name for each in templates()}


@EACH
def test_every_parameter_and_output_is_described(each: Template) -> None:
    for kind in ("parameters", "outputs"):
        for name in each.part(kind):
            assert each.description(kind, name).endswith("."), f"{each.name}: {name} has no sentence of description"


@EACH
def test_every_parameter_and_variable_is_used(each: Template) -> None:
    text = each.file.read_text(encoding="utf-8")
    for name in [*each.part("parameters"), *each.part("variables")]:
        assert len(re.findall(rf"\b{name}\b", text)) > 1, f"{each.name}: {name} is not used"


@EACH
def test_modules_are_pinned_or_ours(each: Template) -> None:
    for name, path, module in modules(each):
        if module["type"] == "local":
            assert (each.file.parent / path).is_file(), f"{each.name}: {name} is not there"
        else:
            assert module["detail"]["alias"] == "public"
            assert PINNED.get(path.removeprefix("avm/res/")) == module["detail"]["tag"], f"{each.name}: {name}"


def test_no_pin_is_left_over() -> None:
    used = {path.removeprefix("avm/res/") for each in templates() for _, path, _ in modules(each) if "avm/" in path}
    assert used == set(PINNED)


@EACH
def test_our_modules_get_their_parameters_and_give_their_outputs(each: Template) -> None:
    text = each.file.read_text(encoding="utf-8")
    for name, path, module in modules(each):
        if module["type"] != "local":
            continue
        called = template((each.file.parent / path).resolve().relative_to(INFRA).as_posix())
        given = set(body(module)["params"])
        assert given <= set(called.part("parameters")), f"{each.name}: {name} gets what it does not know"
        assert called.required() <= given, f"{each.name}: {name} misses {called.required() - given}"
        taken = set(re.findall(rf"\b{name}(?:\[\w+\])?!?\.outputs\.(\w+)", text))
        assert taken <= set(called.part("outputs")), f"{each.name}: {name} has no output {taken}"


def test_deployments_of_one_group_have_different_names() -> None:
    """A module whose name is that of the module around it would write over the deployment that it is a part of."""
    names = Counter(
        str(body(module)["name"])
        for each in templates()
        for module in each.part("modules").values()
        if each.file.parent != INFRA / "container"
    )
    assert {name for name, times in names.items() if times > 1} == set()


@EACH
def test_nothing_is_open_to_the_public_and_no_key_is_in_use(each: Template) -> None:
    for name, path, module in modules(each):
        for setting, value in CLOSED.get(path.removeprefix("avm/res/"), {}).items():
            assert body(module)["params"].get(setting) == value, f"{each.name}: {name}: {setting}"


@EACH
def test_no_secret_is_read_written_or_passed_on(each: Template) -> None:
    text = re.sub(r"//.*", "", each.file.read_text(encoding="utf-8"))
    for word in (
        "listKeys",
        "listAccountSas",
        "connectionStrings",
        "administratorLoginPassword",
        "AccountKey",
        "@secure",
    ):
        assert word not in text, f"{each.name}: {word}"
    assert not re.search(r"(password|secret|passphrase)\w*\s*:\s*'", text, re.IGNORECASE), each.name
    assert not re.search(r"0\.0\.0\.0|255\.255\.255\.255|\*/0|TrustServerCertificate", text), each.name


def test_network_rules_close_storage_and_vault() -> None:
    for file, module in (("app/storage.bicep", "account"), ("app/vault.bicep", "vault")):
        rules = body(template(file).part("modules")[module])["params"]["networkAcls"]
        assert rules == {"defaultAction": "Deny", "bypass": "None"}


def test_the_app_lets_nobody_in_by_default() -> None:
    params = body(template("app/function-app.bicep").part("modules")["app"])["params"]
    assert params["siteConfig"]["ipSecurityRestrictionsDefaultAction"] == "Deny"
    assert params["httpsOnly"] is True
    assert [policy["allow"] for policy in params["basicPublishingCredentialsPolicies"]] == [False, False]
    main = template("main.bicep").part("parameters")
    assert main["apiClients"]["default"] == []
    assert main["allowedTargetServers"]["default"] == []


def test_easy_auth_leaves_nothing_open_that_the_app_closes() -> None:
    params = body(template("app/function-app.bicep").part("modules")["app"])["params"]
    (auth,) = [config["properties"] for config in params["configs"] if config["name"] == "authsettingsV2"]
    opened = set(auth["globalValidation"]["excludedPaths"])
    assert opened <= ANONYMOUS_PATHS
    assert {"/health", "/metadata/endpoints"} <= opened, "the probe, and what a client needs before it has a token"
    assert auth["globalValidation"]["requireAuthentication"] is True
    # People are sent to sign in; what a client without a token sees is not the app either.
    assert auth["globalValidation"]["unauthenticatedClientAction"] == "RedirectToLoginPage"
    assert auth["globalValidation"]["redirectToProvider"] == "azureactivedirectory"


def test_easy_auth_signs_in_without_a_secret_and_hands_the_token_on() -> None:
    params = body(template("app/function-app.bicep").part("modules")["app"])["params"]
    (auth,) = [config["properties"] for config in params["configs"] if config["name"] == "authsettingsV2"]
    assert auth["login"]["tokenStore"]["enabled"] is True, "the portal reads the ID token and checks it"
    registered = auth["identityProviders"]["azureActiveDirectory"]["registration"]
    assert set(registered) == {"clientId", "openIdIssuer"}, "a secret would bring access tokens, which nobody wants"
    registration = body_of_resource("app/directory.bicep", "registration")
    assert registration["web"]["implicitGrantSettings"] == {
        "enableIdTokenIssuance": True,
        "enableAccessTokenIssuance": False,
    }
    back = "${abbreviations.functionApp}${token}${region.suffix}.azurewebsites.net/.auth/login/aad/callback"
    assert back in (INFRA / "main.bicep").read_text(encoding="utf-8")


def test_the_job_database_takes_entra_logins_only() -> None:
    administrators = template("app/job-database.bicep").part("variables")["administrators"]["value"]
    assert administrators["azureADOnlyAuthentication"] is True


@EACH
def test_identities_get_the_least_rights(each: Template) -> None:
    given = [value for path, value in walk(each.tree) if path.endswith(".roleDefinitionIdOrName")]
    assert set(given) <= set(GIVEN_ROLES), each.name
    principals = {value for path, value in walk(each.tree) if path.endswith(".principalId")}
    assert principals <= {"appPrincipalId", "administratorObjectId"}, (
        "only the app's identity, and who deploys in Entra"
    )
    actions = [value for path, value in walk(each.tree) if re.search(r"\.actions\[\d+\]$", path)]
    assert not [action for action in actions if "*" in str(action)]


def test_the_registration_has_the_roles_of_the_api() -> None:
    roles = template("app/directory.bicep").part("variables")["roles"]["value"]
    assert [role["value"] for role in roles] == [str(role) for role in Role]
    assert all(role["description"].endswith(".") for role in roles)
    registration = body_of_resource("app/directory.bicep", "registration")
    assert registration["signInAudience"] == "AzureADMyOrg"
    assert registration["api"]["requestedAccessTokenVersion"] == 2
    assert not {"passwordCredentials", "keyCredentials"} & set(registration)


def body_of_resource(file: str, name: str) -> Any:
    return template(file).part("resources")[name]["config"]


def test_the_queues_are_those_of_the_code() -> None:
    params = body(template("app/storage.bicep").part("modules")["account"])["params"]
    assert [queue["name"] for queue in params["queueServices"]["queues"]] == [STEPS_QUEUE, TARGETS_QUEUE]
    assert template("container/container-app.bicep").part("variables")["queues"]["value"] == [
        STEPS_QUEUE,
        TARGETS_QUEUE,
    ]


@pytest.mark.parametrize(("capacity", "concurrency", "instances"), [(100, 128, 40), (800, 64, 40), (3200, 64, 50)])
def test_instances_are_enough_for_the_capacity(capacity: int, concurrency: int, instances: int) -> None:
    region = template("app/region.bicep")
    names = {"capacity": capacity, "instanceConcurrency": concurrency, "alwaysReadyWorkers": 0}
    maximum = body(region.part("modules")["app"])["params"]["maximumInstances"]
    assert Evaluator(region, names).value(maximum) == instances


def test_the_parameter_file_gives_parameters_that_exist_and_all_that_are_needed() -> None:
    given = json.loads((INFRA / "main.parameters.json").read_text(encoding="utf-8"))["parameters"]
    main = template("main.bicep")
    assert set(given) <= set(main.part("parameters"))
    assert main.required() <= set(given)
    for name, entry in given.items():
        value, default = entry["value"], main.part("parameters")[name].get("default")
        if isinstance(value, str) and "=" in value and name not in main.required():
            assert value.removesuffix("}").split("=", 1)[1] == str(default or ""), f"{name} has two defaults"


def test_every_parameter_is_in_the_docs() -> None:
    page = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert documented == set(template("main.bicep").part("parameters"))


def test_azd_finds_its_template_its_app_and_its_hooks() -> None:
    project = yaml.safe_load((ROOT / "azure.yaml").read_text(encoding="utf-8"))
    assert (ROOT / project["infra"]["path"] / f"{project['infra']['module']}.bicep").is_file()
    (service,) = project["services"]
    first = template("main.bicep").part("variables")["firstRegion"]["value"]
    assert service == first["service"], "the tag azd-service-name of the first app"
    for hook in project["hooks"].values():
        for system in hook.values():
            python, script = system["run"].split()
            assert python.startswith("python")
            assert (ROOT / script).is_file()


def test_extensions_are_pinned_and_declared() -> None:
    declared = json.loads((INFRA / "bicepconfig.json").read_text(encoding="utf-8"))["extensions"]
    assert all(re.search(r":\d+\.\d+\.\d+$", source) for source in declared.values())
    used = {name for each in templates() for name in each.tree.get("extensions", {})}
    assert used == set(declared)


def test_every_output_that_a_script_reads_exists() -> None:
    outputs = set(template("main.bicep").part("outputs"))
    read: set[str] = set()
    for script in (INFRA / "scripts").glob("*.py"):
        read |= set(re.findall(r'"([A-Z][A-Z_]+[A-Z])"', script.read_text(encoding="utf-8")))
    from_elsewhere = {"AZURE_SUBSCRIPTION_ID", "OPEN_JOB_SERVER", "PATH", "GET", "PUT", "PATCH", "DELETE"}
    assert read - from_elsewhere <= outputs
