"""Which roots the driver trusts: the small file, the directory beside it, and the switch."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from elastic_jobs.targets.authorities import AZURE_ROOTS, Authorities, use
from tests.targets.lab import SERVER, Lab

ROOT = Path(__file__).resolve().parents[2]

CONNECT = """
import json, sys
from elastic_jobs.domain.targets import ServerNames
from elastic_jobs.targets.authentication import PasswordLogin
from elastic_jobs.targets.authorities import Authorities
from elastic_jobs.targets.connect import ConnectOptions, Connector
from elastic_jobs.targets.servers import TargetServers

given = json.load(sys.stdin)
servers = TargetServers(ServerNames(".database.windows.net"), [given["server"]], {given["server"]: given["address"]})
options = ConnectOptions(servers=servers, retry_seconds=(), authorities=Authorities(given["authorities"]))
login = PasswordLogin(given["user"], given["password"])
try:
    Connector(options).connect(given["server"], given["database"], login).close()
    print("connected")
except Exception as error:
    print(error)
"""


def connect(lab: Lab, authorities: Authorities, **environment: str) -> str:
    """What a process of its own with this environment says: the driver reads it from there."""
    assert lab.client is not None or pytest.skip("The emulator's certificates are needed.")
    given = {
        "server": SERVER,
        "address": lab.options.servers.endpoint(SERVER).address.removeprefix("tcp:"),
        "authorities": authorities.value,
        "database": lab.database,
        "user": lab.login.username,
        "password": lab.login.password,
    }
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SSL_CERT")}
    answer = subprocess.run(
        [sys.executable, "-c", CONNECT],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**clean, **environment},
        check=True,
        timeout=60,
    )
    return answer.stdout.strip()


def test_the_roots_are_what_they_say_and_last() -> None:
    text = AZURE_ROOTS.read_text(encoding="ascii")
    named = re.findall(r"# (.+), until (\d{4}-\d\d-\d\d), SHA-256 ([0-9a-f]{64})\n", text)
    certificates = x509.load_pem_x509_certificates(text.encode())
    assert len(certificates) == len(named) == 4
    for certificate, (name, until, fingerprint) in zip(certificates, named, strict=True):
        common_name = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
        assert common_name == name
        assert f"{certificate.not_valid_after_utc:%Y-%m-%d}" == until
        assert certificate.fingerprint(hashes.SHA256()).hex() == fingerprint
        assert certificate.subject == certificate.issuer
    # As Microsoft's page of Azure's certificate authorities has them.
    assert {certificate.fingerprint(hashes.SHA1()).hex() for certificate in certificates} == {  # noqa: S303  # published so
        "a8985d3a65e5e5c4b2d7d66d40c6dd2fb19c5436",
        "df3c24f9bfd666761b268073fe06d1cc8d4f82a4",
        "999a64c37ff47d9fab95f14769891460eec4c3c5",
        "73a5e64a3bff8316ff0edccc618a906e4eae4d74",
    }


def test_the_small_file_is_used_and_trusts_no_other_authority(lab: Lab, tmp_path: Path) -> None:
    said = connect(lab, Authorities.AZURE, SSL_CERT_DIR=str(tmp_path))
    assert said.startswith(f"The certificate of server '{SERVER}' could not be verified")


def test_an_authority_of_the_systems_directory_is_still_trusted(lab: Lab, tmp_path: Path) -> None:
    own = Path(os.environ["SSL_CERT_FILE"])
    name = subprocess.run(
        ["openssl", "x509", "-hash", "-noout", "-in", str(own)], capture_output=True, text=True, check=True
    ).stdout.strip()
    (tmp_path / f"{name}.0").write_text(own.read_text())
    assert connect(lab, Authorities.AZURE, SSL_CERT_DIR=str(tmp_path)) == "connected"


def test_a_file_that_the_deployment_names_is_used(lab: Lab) -> None:
    for authorities in Authorities:
        assert connect(lab, authorities, SSL_CERT_FILE=os.environ["SSL_CERT_FILE"]) == "connected"


def test_the_switch() -> None:
    environment: dict[str, str] = {}
    use(Authorities.SYSTEM, environment)
    assert environment == {}
    use(Authorities.AZURE, environment)
    assert environment == {"SSL_CERT_FILE": str(AZURE_ROOTS)}
    environment = {"SSL_CERT_FILE": "/own/roots.pem"}
    for authorities in Authorities:
        use(authorities, environment)
        assert environment == {"SSL_CERT_FILE": "/own/roots.pem"}
