"""Keys that are replaced, stores that are changed, logins that look for a newer password."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from elastic_jobs.agent.logins import Logins
from elastic_jobs.credentials.__main__ import main
from elastic_jobs.credentials.key_vault import MARK, KeyVaultSafe, secret_name
from elastic_jobs.credentials.reseal import reseal
from elastic_jobs.credentials.safes import MixedSafe, make_safe
from elastic_jobs.credentials.sealing import Sealer
from elastic_jobs.domain.ports import SystemClock
from elastic_jobs.errors import CredentialError, InvalidDefinitionError, NotFoundError, SettingsError
from elastic_jobs.jobdb import schema
from elastic_jobs.jobdb.database import JobDatabase
from elastic_jobs.jobdb.definitions import credentials
from elastic_jobs.settings import Settings
from elastic_jobs.targets.authentication import ManagedIdentityTokens, PasswordLogin
from local.azure.key_vault import KeyVault
from tests.credentials.conftest import PREFIX, AppIdentity, Book, HandClock, environment

ROOT = Path(__file__).resolve().parents[2]
OLD, NEW = b"o" * 32, b"n" * 32


def _settings(**changes: str) -> Settings:
    return Settings.from_env(environment(**changes))


def _logins(book: Book, safe: MixedSafe | Sealer | KeyVaultSafe) -> Logins:
    return Logins(book.database, safe, ManagedIdentityTokens(SystemClock()))


def _password(book: Book, safe: MixedSafe | Sealer | KeyVaultSafe, name: str = "runner") -> str:
    login = _logins(book, safe).login(name)
    assert isinstance(login, PasswordLogin)
    return login.password


def test_an_earlier_key_opens_and_the_new_one_seals() -> None:
    rotating = Sealer(NEW, previous=[b"x" * 32, OLD])
    sealed = Sealer(OLD).seal("a", "secret")
    assert rotating.open("a", sealed) == "secret"
    assert not rotating.is_current("a", sealed)
    anew = rotating.seal("a", "secret")
    assert rotating.is_current("a", anew)
    assert Sealer(NEW).open("a", anew) == "secret"
    with pytest.raises(CredentialError, match="CREDENTIAL_KEY_PREVIOUS"):
        Sealer(NEW).open("a", sealed)
    with pytest.raises(CredentialError):
        rotating.open("b", sealed)
    with pytest.raises(ValueError, match="32 bytes, not 3"):
        Sealer(NEW, previous=[b"old"])


def test_a_key_is_replaced_while_the_agent_works(book: Book) -> None:
    for name in ("one", "two", "three"):
        book.save(Sealer(OLD), name, password=f"Pa55 of {name}")
    both = MixedSafe(sealer=Sealer(NEW, previous=[OLD]), vault=None, into_vault=False)
    assert _password(book, both, "two") == "Pa55 of two"
    assert reseal(book.database, book.edit, both).resealed == 3
    again = reseal(book.database, book.edit, both)
    assert (again.resealed, again.unchanged, again.failures) == (0, 3, ())
    assert _password(book, Sealer(NEW), "two") == "Pa55 of two"


def test_what_cannot_be_opened_is_told_and_stays(book: Book) -> None:
    book.save(Sealer(OLD), "lost")
    book.save(Sealer(NEW), "kept")
    result = reseal(book.database, book.edit, MixedSafe(sealer=Sealer(NEW), vault=None, into_vault=False))
    assert (result.resealed, result.unchanged) == (0, 1)
    assert len(result.failures) == 1
    assert "credential 'lost' cannot be opened" in result.failures[0]
    assert _password(book, Sealer(OLD), "lost") == "Pa55word!"


def test_a_credential_that_changes_meanwhile_is_left_alone(book: Book) -> None:
    book.save(Sealer(OLD))
    with book.database.read() as connection:
        stored = credentials.list_stored(connection)[0]
    book.save(Sealer(NEW), password="newer")
    with book.database.write() as connection:
        assert not credentials.replace_sealed(connection, book.edit, stored, Sealer(NEW).seal("runner", "old"))
    assert _password(book, Sealer(NEW)) == "newer"


def test_passwords_move_into_a_vault_and_back(book: Book, safe: KeyVaultSafe, vault: KeyVault) -> None:
    book.save(Sealer(OLD))
    into = MixedSafe(sealer=Sealer(OLD), vault=safe, into_vault=True)
    assert _password(book, into) == "Pa55word!"
    assert reseal(book.database, book.edit, into).resealed == 1
    assert vault.names() == [secret_name(PREFIX, "runner")]
    with book.database.read() as connection:
        moved = credentials.find_stored(connection, "runner")
    assert moved is not None
    assert (moved.username, moved.sealed) == ("jobuser", MARK)
    vault_only = MixedSafe(sealer=None, vault=safe, into_vault=True)
    assert _password(book, vault_only) == "Pa55word!"
    back = MixedSafe(sealer=Sealer(NEW), vault=safe, into_vault=False)
    assert reseal(book.database, book.edit, back).resealed == 1
    assert _password(book, Sealer(NEW)) == "Pa55word!"


def test_what_lies_where_the_settings_lead_no_more_is_a_sentence(book: Book, safe: KeyVaultSafe) -> None:
    book.save(safe, "vaulted")
    book.save(Sealer(OLD), "sealed")
    with pytest.raises(CredentialError, match="'vaulted' is in a key vault, but KEY_VAULT_URL is not set"):
        _password(book, MixedSafe(sealer=Sealer(OLD), vault=None, into_vault=False), "vaulted")
    with pytest.raises(CredentialError, match="'sealed' is sealed in the job database, but CREDENTIAL_KEY is not set"):
        _password(book, MixedSafe(sealer=None, vault=safe, into_vault=True), "sealed")
    with pytest.raises(ValueError, match="safe that passwords are to be kept in is missing"):
        MixedSafe(sealer=Sealer(OLD), vault=None, into_vault=True)


def test_a_vault_that_refuses_changes_nothing(book: Book, safe: KeyVaultSafe, vault: KeyVault) -> None:
    book.save(safe, username="before")
    vault.forbidden.add("set")
    with pytest.raises(CredentialError, match="cannot be written: the vault forbids it"):
        book.save(safe, username="after", password="another")
    with book.database.read() as connection:
        assert credentials.get_credential(connection, "runner").username == "before"
    assert _password(book, safe) == "Pa55word!"


def test_nothing_goes_to_the_vault_before_the_definition_is_right(
    book: Book, safe: KeyVaultSafe, vault: KeyVault
) -> None:
    for wrong in ({"username": ""}, {"password": ""}, {"name": "x" * 129}, {"password": "@Microsoft.KeyVault(S=x)"}):
        with pytest.raises(InvalidDefinitionError):
            book.save(safe, **wrong)
    assert vault.asked == []


def test_a_login_finds_a_rotated_secret(book: Book, safe: KeyVaultSafe, vault: KeyVault, clock: HandClock) -> None:
    book.save(safe)
    login = _logins(book, safe).login("runner")
    assert login.renewed("Pa55word!") is None
    clock.move(seconds=11)
    vault.rotate(secret_name(PREFIX, "runner"), "Rotated!")
    newer = login.renewed("Pa55word!")
    assert isinstance(newer, PasswordLogin)
    assert newer.password == "Rotated!"
    assert newer.renewed("Rotated!") is None


def test_a_login_finds_what_was_saved_meanwhile(book: Book) -> None:
    book.save(Sealer(OLD))
    login = _logins(book, Sealer(OLD)).login("runner")
    assert login.renewed("Pa55word!") is None
    book.save(Sealer(OLD), username="another")
    newer = login.renewed("Pa55word!")
    assert newer == PasswordLogin("another", "Pa55word!")
    with book.database.write() as connection:
        credentials.delete_credential(connection, book.edit, "runner")
    assert login.renewed("Pa55word!") is None
    with pytest.raises(NotFoundError, match="There is no credential 'runner'"):
        _logins(book, Sealer(OLD)).login("runner")


def test_the_settings_choose_the_safe(book: Book) -> None:
    sealed = make_safe(_settings(), SystemClock())
    assert sealed.open("a", sealed.seal("a", "secret")) == "secret"
    old = base64.b64encode(OLD).decode()
    rotating = make_safe(_settings(CREDENTIAL_KEY_PREVIOUS=f" {old} , {old}"), SystemClock())
    assert rotating.open("a", Sealer(OLD).seal("a", "secret")) == "secret"
    vault = make_safe(
        _settings(CREDENTIAL_STORE="keyvault", KEY_VAULT_URL="https://v.vault.azure.net/", CREDENTIAL_KEY=""),
        SystemClock(),
        AppIdentity,
    )
    assert vault.is_current("a", MARK)
    with pytest.raises(CredentialError, match="CREDENTIAL_KEY is not set"):
        vault.open("a", sealed.seal("a", "secret"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CREDENTIAL_STORE", "vault"),
        ("CREDENTIAL_KEY_PREVIOUS", "c2hvcnQ="),
        ("CREDENTIAL_KEY_PREVIOUS", "not base64!"),
        ("KEY_VAULT_URL", "http://v.vault.azure.net"),
        ("KEY_VAULT_URL", "https://v.vault.azure.net/secrets/x"),
        ("KEY_VAULT_CACHE_SECONDS", "0"),
        ("RESOURCE_MANAGER_URL", "http://management.azure.com"),
        ("PRIVATE_ENDPOINT_SUBNET_ID", "subnet1"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        _settings(**{name: value})


def test_a_vault_needs_its_address_and_the_sealed_store_its_key() -> None:
    with pytest.raises(SettingsError, match="KEY_VAULT_URL is not set"):
        _settings(CREDENTIAL_STORE="keyvault")
    with pytest.raises(SettingsError, match="CREDENTIAL_KEY is not set"):
        _settings(CREDENTIAL_KEY="")


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    database = JobDatabase(f"sqlite:///{tmp_path}/jobs.db")
    schema.upgrade(database)
    book = Book(database)
    book.agent()
    book.save(Sealer(OLD), password="canary-of-the-command")
    yield tmp_path / "jobs.db"
    database.dispose()


def test_the_command_seals_anew(file: Path) -> None:
    # Once as the process that people start; the rest within this one.
    variables = {
        **os.environ,
        **environment(JOB_DATABASE_URL=f"sqlite:///{file}", CREDENTIAL_KEY_PREVIOUS=base64.b64encode(OLD).decode()),
    }
    done = subprocess.run(
        [sys.executable, "-m", "elastic_jobs.credentials", "reseal"],
        cwd=ROOT,
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "1 sealed anew, 0 were right already, 0 failed.\n")
    assert "canary" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "key", "code", "sentence"),
    [
        (["reseal"], base64.b64encode(NEW).decode(), 1, "credential 'runner' cannot be opened"),
        (["reseal"], "", 2, "CREDENTIAL_KEY is not set"),
        ([], "", 2, "Usage: python -m elastic_jobs.credentials reseal"),
    ],
)
def test_the_command_tells_what_it_cannot_do(
    file: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], key: str, code: int, sentence: str
) -> None:
    for name, value in environment(JOB_DATABASE_URL=f"sqlite:///{file}", CREDENTIAL_KEY=key).items():
        monkeypatch.setenv(name, value)
    said: list[str] = []
    assert main(arguments, said.append) == code
    assert sentence in "\n".join(said)
    assert "canary" not in "\n".join(said)


def test_a_vault_is_asked_again_after_the_time_that_was_set(
    book: Book, safe: KeyVaultSafe, vault: KeyVault, clock: HandClock
) -> None:
    book.save(safe)
    assert _password(book, safe) == "Pa55word!"
    vault.rotate(secret_name(PREFIX, "runner"), "Rotated!")
    clock.move(minutes=4)
    assert _password(book, safe) == "Pa55word!"
    clock.move(minutes=1)
    assert _password(book, safe) == "Rotated!"
