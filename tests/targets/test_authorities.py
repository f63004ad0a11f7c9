"""Which roots the driver trusts: the one in the file, those in the directories, and the switch."""

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

from elastic_jobs.targets.authorities import AZURE_ROOTS, AZURE_SQL_ROOT, Authorities, use
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


def name_of(certificate: Path) -> str:
    """The name under which OpenSSL looks for it in a directory."""
    found = subprocess.run(
        ["openssl", "x509", "-hash", "-noout", "-in", str(certificate)], capture_output=True, text=True, check=True
    )
    return f"{found.stdout.strip()}.0"


def test_the_roots_are_what_they_say_and_last() -> None:
    certificates: list[x509.Certificate] = []
    for file in sorted(AZURE_ROOTS.glob("*.0")):
        text = file.read_text(encoding="ascii")
        (certificate,) = x509.load_pem_x509_certificates(text.encode())
        said = re.fullmatch(r"# (.+), until (\d{4}-\d\d-\d\d), SHA-256 ([0-9a-f]{64})", text.splitlines()[0])
        assert said is not None, file
        common_name = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
        until, fingerprint = certificate.not_valid_after_utc, certificate.fingerprint(hashes.SHA256()).hex()
        assert said.groups() == (common_name, f"{until:%Y-%m-%d}", fingerprint)
        assert certificate.subject == certificate.issuer
        assert name_of(file) == file.name
        certificates.append(certificate)
    # As Microsoft's page of Azure's certificate authorities has them.
    assert {certificate.fingerprint(hashes.SHA1()).hex() for certificate in certificates} == {  # noqa: S303  # published so
        "a8985d3a65e5e5c4b2d7d66d40c6dd2fb19c5436",
        "df3c24f9bfd666761b268073fe06d1cc8d4f82a4",
        "999a64c37ff47d9fab95f14769891460eec4c3c5",
        "73a5e64a3bff8316ff0edccc618a906e4eae4d74",
    }


def test_azures_roots_are_used_and_no_other_authority_is_trusted(lab: Lab, tmp_path: Path) -> None:
    said = connect(lab, Authorities.AZURE, SSL_CERT_DIR=str(tmp_path))
    assert said.startswith(f"The certificate of server '{SERVER}' could not be verified")


def test_an_authority_of_the_systems_directory_is_still_trusted(lab: Lab, tmp_path: Path) -> None:
    own = Path(os.environ["SSL_CERT_FILE"])
    (tmp_path / name_of(own)).write_text(own.read_text())
    assert connect(lab, Authorities.AZURE, SSL_CERT_DIR=str(tmp_path)) == "connected"


def test_a_file_that_the_deployment_names_is_used(lab: Lab) -> None:
    for authorities in Authorities:
        assert connect(lab, authorities, SSL_CERT_FILE=os.environ["SSL_CERT_FILE"]) == "connected"


def test_the_root_of_azure_sql_is_the_one_in_the_file() -> None:
    said = AZURE_SQL_ROOT.read_text(encoding="ascii").splitlines()[0]
    assert said.startswith("# DigiCert Global Root G2, ")


def test_azures_other_roots_are_found_in_the_directory(tmp_path: Path) -> None:
    """As OpenSSL builds a chain: with the file and the directories that are named, and nothing of the system."""
    environment: dict[str, str] = {"SSL_CERT_DIR": str(tmp_path)}
    use(Authorities.AZURE, environment)
    file, directory = environment["SSL_CERT_FILE"], environment["SSL_CERT_DIR"].split(os.pathsep)[0]
    for root in AZURE_ROOTS.glob("*.0"):
        command = ["openssl", "verify", "-CAfile", file, "-no-CAstore"]
        found = subprocess.run([*command, "-CApath", directory, str(root)], capture_output=True, text=True, check=False)
        assert found.returncode == 0, found.stderr
        alone = subprocess.run([*command, "-no-CApath", str(root)], capture_output=True, text=True, check=False)
        assert (alone.returncode == 0) == (root == AZURE_SQL_ROOT)


def test_the_switch(tmp_path: Path) -> None:
    environment: dict[str, str] = {}
    use(Authorities.SYSTEM, environment)
    assert environment == {}
    use(Authorities.AZURE, environment)
    assert environment["SSL_CERT_FILE"] == str(AZURE_SQL_ROOT)
    own, *others = environment["SSL_CERT_DIR"].split(os.pathsep)
    assert own == str(AZURE_ROOTS)
    assert len({Path(other).resolve() for other in others if Path(other).is_dir()}) == len(others)
    before = dict(environment)
    use(Authorities.AZURE, environment)
    assert environment == before
    environment = {"SSL_CERT_DIR": str(tmp_path)}
    use(Authorities.AZURE, environment)
    assert environment["SSL_CERT_DIR"] == f"{AZURE_ROOTS}{os.pathsep}{tmp_path}"
    environment = {"SSL_CERT_FILE": "/own/roots.pem"}
    for authorities in Authorities:
        use(authorities, environment)
        assert environment == {"SSL_CERT_FILE": "/own/roots.pem"}


def test_the_systems_own_directory_is_looked_into() -> None:
    """Of OpenSSL's command, which on Debian and Ubuntu is the library that the driver loads."""
    said = subprocess.run(["openssl", "version", "-d"], capture_output=True, text=True, check=True).stdout
    directory = Path(said.partition('"')[2].partition('"')[0]) / "certs"
    if not directory.is_dir():
        pytest.skip(f"OpenSSL's directory {directory} is not there.")
    environment: dict[str, str] = {}
    use(Authorities.AZURE, environment)
    assert directory.resolve() in [Path(each).resolve() for each in environment["SSL_CERT_DIR"].split(os.pathsep)]
