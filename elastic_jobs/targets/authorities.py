"""Which certificate authorities the driver trusts.

The Microsoft driver reads the whole file of trusted roots anew for every connection: some 150 roots of a system cost
50 to 80 ms of CPU, the four that Azure SQL uses about 5 ms (``bench/connect_tls.py`` measures it). OpenSSL looks into
the file that ``SSL_CERT_FILE`` names, and then for a single root in its directory of roots, by hash. So with the small
file nothing else is trusted less where the system has such a directory, as Debian and Ubuntu have.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from enum import StrEnum
from pathlib import Path

AZURE_ROOTS = Path(__file__).with_name("azure_roots.pem")
_VARIABLE = "SSL_CERT_FILE"


class Authorities(StrEnum):
    """Where the driver finds the roots that it trusts."""

    AZURE = "azure"
    """In the small file that comes with the product, unless ``SSL_CERT_FILE`` names another one already."""
    SYSTEM = "system"
    """Where OpenSSL looks by itself."""


def use(authorities: Authorities, environ: MutableMapping[str, str] = os.environ) -> None:
    """Make the choice for this process and what it starts; before the first connection, while few threads run."""
    if authorities is Authorities.AZURE and not environ.get(_VARIABLE):
        environ[_VARIABLE] = str(AZURE_ROOTS)
