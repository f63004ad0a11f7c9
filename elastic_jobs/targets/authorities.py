"""Which certificate authorities the driver trusts.

The Microsoft driver reads the whole file of trusted roots anew for every connection: some 150 roots of a system cost
50 to 80 ms of CPU, each single one about 0.4 ms (``bench/connect_tls.py`` measures it). OpenSSL looks into the file
that ``SSL_CERT_FILE`` names, and then for the one root that it misses in the directories of ``SSL_CERT_DIR``, by hash.
So the file has the root of Azure SQL's own certificates alone; Azure's other roots, and behind them those of the
system, are in directories, where they cost nothing until one of them is needed. Nothing is trusted less than before
where the system has such a directory, as Debian and Ubuntu have.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import MutableMapping
from enum import StrEnum
from pathlib import Path

AZURE_ROOTS = Path(__file__).with_name("azure_roots")
"""The directory of Azure's roots, in the form of ``openssl rehash``: a file per root, named by the hash of its name.

The list: https://learn.microsoft.com/azure/security/fundamentals/azure-certificate-authority-details. The certificates:
the bundles of Mozilla's roots in certifi and Debian's ca-certificates.
"""
AZURE_SQL_ROOT = AZURE_ROOTS / "607986c7.0"
"""DigiCert Global Root G2, which the certificates of Azure SQL Database go back to."""
_FILE, _DIRECTORIES = "SSL_CERT_FILE", "SSL_CERT_DIR"
_OF_THE_SYSTEM = ("/usr/lib/ssl/certs", "/etc/ssl/certs", "/etc/pki/tls/certs")
"""Where OpenSSL looks by itself on Debian and Ubuntu, on SUSE and Alpine, on Red Hat and its kin."""


class Authorities(StrEnum):
    """Where the driver finds the roots that it trusts."""

    AZURE = "azure"
    """Among Azure's roots, which come with the product; unless ``SSL_CERT_FILE`` names a file already."""
    SYSTEM = "system"
    """Where OpenSSL looks by itself."""


def use(authorities: Authorities, environ: MutableMapping[str, str] = os.environ) -> None:
    """Make the choice for this process and what it starts; before the first connection, while few threads run."""
    if authorities is Authorities.AZURE and not environ.get(_FILE):
        others = environ.get(_DIRECTORIES) or os.pathsep.join(_system_directories())
        environ[_DIRECTORIES] = os.pathsep.join(filter(None, (str(AZURE_ROOTS), others)))
        environ[_FILE] = str(AZURE_SQL_ROOT)


def _system_directories() -> list[str]:
    # Naming directories replaces OpenSSL's own one; the driver's OpenSSL may be another than Python's.
    found = dict.fromkeys((ssl.get_default_verify_paths().openssl_capath, *_OF_THE_SYSTEM))
    different: dict[Path, str] = {}
    for name in found:
        if Path(name).is_dir():
            different.setdefault(Path(name).resolve(), name)
    return list(different.values())
