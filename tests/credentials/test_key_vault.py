"""Passwords in a key vault: the SDK's own code against a server that speaks the vault's protocol."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from azure.keyvault.secrets import SecretClient
from hypothesis import given
from hypothesis import strategies as st

from elastic_jobs.api.errors import to_answer
from elastic_jobs.api.services import Services
from elastic_jobs.credentials.key_vault import MARK, KeyVaultSafe, make_client, secret_name
from elastic_jobs.credentials.safes import MixedSafe
from elastic_jobs.errors import CredentialError
from local.azure.key_vault import KeyVault
from local.sqlserver.certificates import CertificateFiles
from tests.api.support import AGENT, VERSION, running
from tests.credentials.conftest import PREFIX, AppIdentity, HandClock, until
from tests.portal.support import PortalClient, text_of

NAME = secret_name(PREFIX, "runner")


@given(st.text(min_size=1), st.text(min_size=1, max_size=128))
def test_every_name_makes_a_name_that_a_vault_takes(prefix: str, name: str) -> None:
    made = secret_name(prefix, name)
    assert 1 <= len(made) <= 127
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_names_are_told_apart_as_the_job_database_does() -> None:
    assert secret_name("p", "Runner") == secret_name("P", "runner")
    made = {secret_name("p", name) for name in ("a b", "a-b", "a_b", "a  b", "ab", "ä", "ö", "日", "")}
    assert len(made) == 9
    assert secret_name("p", "q-r") != secret_name("p-q", "r")


def test_what_is_written_is_read_and_the_job_database_gets_a_mark_only(safe: KeyVaultSafe, vault: KeyVault) -> None:
    assert safe.seal("runner", "S3cret-of-the-vault") == MARK
    assert safe.open("Runner", MARK) == "S3cret-of-the-vault"
    assert vault.names() == [NAME]
    assert vault.tags(NAME) == {"managed-by": "elastic-jobs", "credential": "runner"}


def test_a_password_is_read_once_while_it_is_kept(safe: KeyVaultSafe, vault: KeyVault, clock: HandClock) -> None:
    safe.seal("runner", "one")
    for _ in range(5):
        assert safe.open("runner", MARK) == "one"
    assert vault.reads() == 1
    vault.rotate(NAME, "two")
    clock.move(minutes=4)
    assert safe.open("runner", MARK) == "one"
    clock.move(minutes=1)
    assert safe.open("runner", MARK) == "two"
    assert vault.reads() == 2


def test_saving_again_is_seen_at_once(safe: KeyVaultSafe) -> None:
    safe.seal("runner", "one")
    assert safe.open("runner", MARK) == "one"
    safe.seal("runner", "two")
    assert safe.open("runner", MARK) == "two"


def test_a_refused_password_is_read_anew_once_for_all(safe: KeyVaultSafe, vault: KeyVault, clock: HandClock) -> None:
    safe.seal("runner", "one")
    safe.open("runner", MARK)
    assert safe.renewed("runner", MARK, "one") is None, "nothing was rotated"
    vault.rotate(NAME, "two")
    for _ in range(20):
        assert safe.renewed("runner", MARK, "one") is None
    assert vault.reads() == 2, "a wrong password on many databases is not asked for each time"
    clock.move(seconds=11)
    answers: list[str | None] = []
    threads = [threading.Thread(target=lambda: answers.append(safe.renewed("runner", MARK, "one"))) for _ in range(20)]
    _run(threads)
    assert answers == ["two"] * 20
    assert vault.reads() == 3


def test_fifty_threads_at_once_are_one_read(safe: KeyVaultSafe, vault: KeyVault) -> None:
    safe.seal("runner", "one")
    vault.gate.clear()
    answers: list[str] = []
    threads = [threading.Thread(target=lambda: answers.append(safe.open("runner", MARK))) for _ in range(50)]
    for thread in threads:
        thread.start()
    vault.gate.set()
    for thread in threads:
        thread.join(30)
    assert answers == ["one"] * 50
    assert vault.reads() == 1


def test_while_one_reads_anew_the_others_go_on_with_what_they_have(
    safe: KeyVaultSafe, vault: KeyVault, clock: HandClock
) -> None:
    safe.seal("runner", "one")
    safe.open("runner", MARK)
    vault.rotate(NAME, "two")
    clock.move(minutes=6)
    vault.gate.clear()
    first: list[str] = []
    thread = threading.Thread(target=lambda: first.append(safe.open("runner", MARK)))
    thread.start()
    until(lambda: safe._secret("runner")._fetching)
    assert safe.open("runner", MARK) == "one"
    vault.gate.set()
    thread.join(10)
    assert first == ["two"]


def test_a_vault_that_is_away_is_not_noticed_for_an_hour(safe: KeyVaultSafe, vault: KeyVault, clock: HandClock) -> None:
    safe.seal("runner", "one")
    safe.open("runner", MARK)
    clock.move(minutes=50)
    vault.firewall = True
    assert safe.open("runner", MARK) == "one"
    clock.move(minutes=11)
    with pytest.raises(CredentialError, match="firewall refuses"):
        safe.open("runner", MARK)


def test_a_failure_is_kept_for_two_seconds(safe: KeyVaultSafe, vault: KeyVault, clock: HandClock) -> None:
    safe.seal("runner", "one")
    vault.forbidden.add("get")
    for _ in range(3):
        with pytest.raises(CredentialError, match="Key Vault Secrets Officer"):
            safe.open("runner", MARK)
    vault.forbidden.clear()
    with pytest.raises(CredentialError, match="Key Vault Secrets Officer"):
        safe.open("runner", MARK)
    clock.move(seconds=2)
    assert safe.open("runner", MARK) == "one"


def _forbid(vault: KeyVault) -> None:
    vault.forbidden.add("get")


def _disable(vault: KeyVault) -> None:
    vault.disable(NAME)


def _throttle(vault: KeyVault) -> None:
    vault.failures[:] = [429] * 10


def _break(vault: KeyVault) -> None:
    vault.failures[:] = [503] * 10


def _refuse_token(vault: KeyVault) -> None:
    vault.tokens = {"another"}


def _close_firewall(vault: KeyVault) -> None:
    vault.firewall = True


@pytest.mark.parametrize(
    ("trouble", "sentence"),
    [
        (_forbid, "the vault forbids it; give this app's identity the role Key Vault Secrets Officer"),
        (_disable, "the secret is disabled; enable it"),
        (_throttle, "the vault is throttling; try again later"),
        (_break, r"the vault is not available; try again later \(status 503\)"),
        (_refuse_token, "does not accept this app's token; check the tenant"),
        (_close_firewall, "the vault's firewall refuses this app"),
    ],
)
def test_every_trouble_is_a_sentence(
    safe: KeyVaultSafe, vault: KeyVault, trouble: Callable[[KeyVault], None], sentence: str
) -> None:
    safe.seal("runner", "S3cret-of-the-vault")
    trouble(vault)
    with pytest.raises(CredentialError, match=sentence) as failure:
        safe.open("runner", MARK)
    assert f"password of credential 'runner' (secret '{NAME}'" in str(failure.value)
    assert failure.value.passing is (trouble in (_throttle, _break))
    assert "S3cret" not in str(failure.value)
    assert failure.value.__cause__ is None


def test_a_moment_of_throttling_is_waited_out(safe: KeyVaultSafe, vault: KeyVault) -> None:
    safe.seal("runner", "one")
    vault.failures[:] = [429, 503]
    assert safe.open("runner", MARK) == "one"


def test_a_missing_secret_is_a_sentence(safe: KeyVaultSafe) -> None:
    with pytest.raises(CredentialError, match="there is no such secret; save the credential again"):
        safe.open("nobody", MARK)


def test_a_vault_that_is_not_there_is_a_sentence(certificates: CertificateFiles, clock: HandClock) -> None:
    with KeyVault(certificates) as vault:
        url = vault.url
    client = make_client(url, AppIdentity(), connection_verify=str(certificates.ca), retry_total=0)
    safe = KeyVaultSafe(client, clock, prefix=PREFIX, keep=timedelta(minutes=5))
    with pytest.raises(CredentialError, match="the vault does not answer; check KEY_VAULT_URL") as failure:
        safe.seal("runner", "one")
    answer = to_answer(failure.value, "request1")
    assert (answer.status, answer.code, answer.headers) == (503, "ServiceUnavailable", {"Retry-After": "5"})
    assert "the vault does not answer" in answer.message


def test_a_certificate_of_nobody_is_not_trusted(vault: KeyVault, clock: HandClock) -> None:
    safe = KeyVaultSafe(
        make_client(vault.url, AppIdentity(), retry_total=0), clock, prefix=PREFIX, keep=timedelta(minutes=5)
    )
    with pytest.raises(CredentialError, match="the vault does not answer"):
        safe.seal("runner", "one")
    assert vault.asked == []


def test_a_deleted_credential_can_be_made_again(safe: KeyVaultSafe, vault: KeyVault) -> None:
    safe.seal("runner", "one")
    safe.forget("runner", MARK)
    assert vault.names() == []
    assert vault.deleted_names() == [NAME]
    with pytest.raises(CredentialError, match="there is no such secret"):
        safe.open("runner", MARK)
    safe.seal("runner", "two")
    assert safe.open("runner", MARK) == "two"
    assert vault.deleted_names() == []


def test_forgetting_what_is_gone_already_is_no_error(safe: KeyVaultSafe, vault: KeyVault) -> None:
    safe.forget("runner", MARK)
    safe.forget("runner", b"\x01sealed in the job database")
    assert ("DELETE", f"/secrets/{NAME}") in vault.asked
    assert len(vault.asked) == 1


def test_deleting_the_agent_deletes_its_secrets(
    safe: KeyVaultSafe, vault: KeyVault, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def with_vault(services: Services) -> Services:
        return replace(services, sealer=MixedSafe(sealer=None, vault=safe, into_vault=True))

    with running(tmp_path, wrap=with_vault) as server:
        for prefix in ("/agent", AGENT):
            server.agent()
            for name in ("runner", "reader"):
                server.put(f"/credentials/{name}", {"properties": {"username": "u", "password": f"P-{name}"}})
            assert len(vault.names()) == 2
            assert server.http.delete(prefix, params=VERSION).is_success
            assert vault.names() == []
        # The agent is gone whether the vault answers or not, and it is asked once, not once per credential.
        server.agent()
        for name in ("runner", "reader"):
            server.put(f"/credentials/{name}", {"properties": {"username": "u", "password": f"P-{name}"}})
        vault.forbidden.add("delete")
        assert server.http.delete("/agent").status_code == 200
        assert server.http.get("/agent").status_code == 404
        assert caplog.text.count("cannot be deleted: the vault forbids it") == 1


def test_a_vault_that_is_away_is_no_fault_of_the_request(safe: KeyVaultSafe, vault: KeyVault, tmp_path: Path) -> None:
    with running(tmp_path, wrap=lambda services: replace(services, sealer=safe)) as server:
        server.agent()
        vault.failures[:] = [503] * 100
        body = {"properties": {"username": "u", "password": "P-1"}}
        answer = server.http.put("/agent/credentials/runner", json=body)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert "the vault is not available; try again later" in answer.json()["error"]["message"]
        # In the portal what was typed stays, beside the same sentence.
        form = {"name": "runner", "username": "typed", "password": "P-1", "servers": ""}
        page = PortalClient(server).post("/portal/new-credential", 400, **form)
        assert "the vault is not available; try again later" in text_of(page)
        assert 'value="typed"' in page.text
        vault.failures.clear()
        assert server.http.put("/agent/credentials/runner", json=body).status_code == 201


def test_without_the_right_to_recover_the_sentence_says_so(safe: KeyVaultSafe, vault: KeyVault) -> None:
    safe.seal("runner", "one")
    safe.forget("runner", MARK)
    vault.forbidden.add("recover")
    with pytest.raises(CredentialError, match="cannot be recovered: the vault forbids it"):
        safe.seal("runner", "two")


def test_a_deletion_that_is_not_through_is_a_sentence(safe: KeyVaultSafe, vault: KeyVault, clock: HandClock) -> None:
    safe.seal("runner", "one")
    vault.slow_deletion = 10**6
    safe.forget("runner", MARK)
    with pytest.raises(CredentialError, match="just being deleted or recovered; save the credential again"):
        safe.seal("runner", "two")


def test_a_token_is_only_sent_to_the_vaults_own_domain(
    vault: KeyVault, certificates: CertificateFiles, client: SecretClient
) -> None:
    # A vault address that somebody else answers: his challenge names another service than the one that was asked.
    vault.url_of_challenge = "https://vault.example.net"
    safe = KeyVaultSafe(client, HandClock(), prefix=PREFIX, keep=timedelta(minutes=5))
    with pytest.raises(CredentialError):
        safe.seal("runner", "one")
    assert vault.asked == []


def _run(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
