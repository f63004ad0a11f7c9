"""The management API over real sockets, and a folder of settings that is the test's own."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.api.conftest import server, shared_server
from tests.api.support import ALL_ROLES, Server, token
from tests.cli.shell import Shell
from tests.cli.wire import ScriptedServer

__all__ = ["server", "shared_server"]


@pytest.fixture
def shell(server: Server, tmp_path: Path) -> Shell:
    """The command, signed in to the API with every role."""
    return Shell(tmp_path, {"ELASTIC_JOBS_ENDPOINT": server.url, "ELASTIC_JOBS_TOKEN": token(*ALL_ROLES)})


@pytest.fixture
def stranger(tmp_path: Path) -> Shell:
    """The command on a machine where nobody has signed in."""
    return Shell(tmp_path, {})


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    """A server that answers what a test tells it to."""
    with ScriptedServer() as running:
        yield running


@pytest.fixture
def certificate(tmp_path: Path) -> Callable[[], ssl.SSLContext]:
    """TLS for 127.0.0.1 with a certificate that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=5))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "certificate.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + signed.public_bytes(serialization.Encoding.PEM)
    )

    def context() -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(file)
        return made

    return context
