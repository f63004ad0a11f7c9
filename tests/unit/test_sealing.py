"""Sealed passwords, and the store that opens them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastic_jobs.credentials.sealing import Sealer
from elastic_jobs.credentials.store import StoredCredentials
from elastic_jobs.errors import CredentialError, NotFoundError
from elastic_jobs.jobdb.definitions.credentials import StoredCredential
from elastic_jobs.targets.authentication import PasswordLogin

KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))


@given(st.text(min_size=1), st.text())
def test_what_is_sealed_opens_under_its_name_without_case(name: str, password: str) -> None:
    sealer = Sealer(KEY)
    sealed = sealer.seal(name, password)
    assert sealer.open(name, sealed) == password
    assert sealer.open(name.casefold(), sealed) == password


def test_the_same_password_never_looks_the_same() -> None:
    sealer = Sealer(KEY)
    assert sealer.seal("a", "secret") != sealer.seal("a", "secret")
    assert b"secret" not in sealer.seal("a", "secret")


def test_it_begins_with_its_version_and_nonce() -> None:
    sealed = Sealer(KEY, random_bytes=lambda count: b"n" * count).seal("a", "secret")
    assert sealed[:13] == b"\x01" + b"n" * 12
    assert len(sealed) == 13 + len("secret") + 16


def test_another_key_does_not_open_it() -> None:
    with pytest.raises(CredentialError, match=r"'a' cannot be opened: .*CREDENTIAL_KEY"):
        Sealer(OTHER_KEY).open("a", Sealer(KEY).seal("a", "secret"))


def test_another_name_does_not_open_it() -> None:
    with pytest.raises(CredentialError, match="'b' cannot be opened"):
        Sealer(KEY).open("b", Sealer(KEY).seal("a", "secret"))


@given(st.integers(0, 34), st.integers(1, 255))
def test_no_changed_byte_goes_unnoticed(place: int, change: int) -> None:
    sealed = bytearray(Sealer(KEY).seal("a", "secret"))
    sealed[place] ^= change
    with pytest.raises(CredentialError):
        Sealer(KEY).open("a", bytes(sealed))


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x02" + b"x" * 40, b"\x01" + b"x" * 27])
def test_an_unknown_format_says_so(sealed: bytes) -> None:
    with pytest.raises(CredentialError, match="format that this version does not know"):
        Sealer(KEY).open("a", sealed)


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes, not 16"):
        Sealer(b"x" * 16)


def test_the_store_gives_a_login() -> None:
    sealer = Sealer(KEY)
    sealed = sealer.seal("job", "secret")
    rows = {name: StoredCredential(name=name, username="jobuser", sealed=sealed) for name in ("job", "moved")}
    store = StoredCredentials(rows.get, sealer)
    assert store.login("job") == PasswordLogin(username="jobuser", password="secret")
    with pytest.raises(NotFoundError, match="There is no credential 'nobody'"):
        store.login("nobody")
    with pytest.raises(CredentialError, match="'moved'"):
        store.login("moved")
