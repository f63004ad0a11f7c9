"""Fixtures of the emulator's tests: the real Microsoft driver, and a wire server with a scripted engine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pyodbc
import pytest

from local.sqlserver.driver import odbc_driver
from tests.emulator.wire_fake import Wire


@pytest.fixture(scope="session")
def driver() -> str:
    """The driver for ``Driver=``; pooling off, because a pooled connection would hide logins and logouts."""
    pyodbc.pooling = False
    return odbc_driver()


@pytest.fixture
def wire(driver: str, tmp_path: Path) -> Iterator[Wire]:
    server = Wire(driver, tmp_path)
    yield server
    server.close()


@pytest.fixture
def trusted_wire(driver: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """A wire server whose certificate the driver trusts (SSL_CERT_FILE), as an operator sets it up."""
    server = Wire(driver, tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", os.fspath(server.files.ca))
    yield server
    server.close()
