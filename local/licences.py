"""The licences of what the app needs at run time: writes docs/licences.md from the metadata of the installed packages.

python -m local.licences            write the page anew
python -m local.licences --check    say whether the page is right; ends with 1 when it is not
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "licences.md"

SPELLINGS = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache-2.0": "Apache-2.0",
    "BSD-3-Clause": "BSD-3-Clause",
    "ISC": "ISC",
    "ISC License": "ISC",
    "MIT": "MIT",
    "MIT License": "MIT",
    "MPL-2.0": "MPL-2.0",
}
"""What packages write into the field License, and its SPDX identifier."""

CLASSIFIERS = {
    "License :: OSI Approved :: ISC License (ISCL)": "ISC",
    "License :: OSI Approved :: MIT License": "MIT",
    "License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "License :: OSI Approved :: Zero-Clause BSD (0BSD)": "0BSD",
}
"""Classifiers that mean one licence. "BSD License" and "Apache Software License" mean several, and are not here."""

EXPLICIT = {
    "colorama": ("BSD-3-Clause", "on Windows only, so not installed everywhere; its LICENSE.txt"),
    "isodate": ("BSD-3-Clause", "its field License holds the whole text"),
    "jinja2": ("BSD-3-Clause", 'it says "BSD License" only; its LICENSE.txt'),
}
"""Packages whose metadata name no single licence: SPDX identifier, and where it was read instead."""

ACCEPTED = frozenset(
    {"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0"}
)
"""Licences that ask for nothing but notices as long as the package is used unchanged."""

PURPOSES = {
    "alembic": "revisions of the job database",
    "azure-core": "errors and requests of the Azure libraries",
    "azure-functions": "triggers",
    "azure-identity": "managed identity; sign-in of the command line",
    "azure-keyvault-secrets": "passwords in Key Vault",
    "azure-monitor-opentelemetry": "metrics, traces and logs to Application Insights",
    "azure-storage-queue": "queues",
    "cryptography": "sealed passwords, signatures of tokens",
    "django-js-lib-htmx": "the file of htmx for the portal",
    "fastapi": "management API",
    "fastapi-swagger": "the files of Swagger UI for `/docs`",
    "httpx": "HTTP of the command line",
    "jinja2": "pages of the portal",
    "opentelemetry-sdk": "metrics, traces and logs",
    "opentelemetry-exporter-otlp-proto-http": "metrics, traces and logs to any collector",
    "pydantic": "bodies of requests and answers",
    "pyjwt": "tokens of callers",
    "pyodbc": "connections to targets and to a job database on SQL Server",
    "pyyaml": "definitions as files",
    "rich": "tables and progress of the command line",
    "sqlalchemy": "statements on the job database",
    "starlette": "requests and answers below the management API and the portal",
    "typer": "command line",
}
"""What the direct dependencies are for."""

HEADER = "| package | licence | what for |\n|---|---|---|\n"
"""Where the table begins; what stands before it is written by people."""


class Metadata(Protocol):
    """What is read of a package's metadata; ``importlib.metadata`` and ``email`` both give it."""

    def get_all(self, name: str) -> list[str] | None: ...


class LicenceError(ValueError):
    """A package whose licence is unknown or not accepted. The message names it and the way out."""


def package_names(requirements: str) -> list[str]:
    """Names in a locked requirements file, each once, sorted."""
    return sorted(set(re.findall(r"^([a-z0-9][a-z0-9._-]*)==", requirements, re.MULTILINE)))


def direct_names(pyproject: str) -> set[str]:
    """Names of the direct run-time dependencies in ``pyproject.toml``."""
    dependencies = tomllib.loads(pyproject)["project"]["dependencies"]
    return {re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0].lower() for line in dependencies}


def licence(name: str, found: Metadata | None) -> str:
    """The SPDX expression of a package's licence.

    found: its metadata; None when it is not installed here. The first that says something counts: License-Expression,
    the field License, the classifiers, the table ``EXPLICIT``.

    Raises:
        LicenceError: nothing says something, or it is a licence that is not in ``ACCEPTED``.
    """
    expression = (None if found is None else _named(found)) or EXPLICIT.get(name, (None,))[0]
    if expression is None:
        state = "is not installed" if found is None else "names no single licence in its metadata"
        raise LicenceError(
            f"The package '{name}' {state}. Run 'make setup'; if that changes nothing, read its licence and add it to"
            " EXPLICIT in local/licences.py, with the place where you read it."
        )
    foreign = set(re.findall(r"[\w.+-]+", expression)) - ACCEPTED - {"AND", "OR"}
    if foreign:
        raise LicenceError(
            f"The package '{name}' is under {expression}, which is not in ACCEPTED of local/licences.py. Do without the"
            " package, or add the licence after finding out what it asks for."
        )
    return expression


def _named(found: Metadata) -> str | None:
    expressions = found.get_all("License-Expression")
    if expressions:
        return expressions[0]
    short = (found.get_all("License") or [""])[0]
    classified = {CLASSIFIERS[line] for line in found.get_all("Classifier") or [] if line in CLASSIFIERS}
    return SPELLINGS.get(short) or (classified.pop() if len(classified) == 1 else None)


def installed(name: str) -> Metadata | None:
    """The metadata of an installed package; None when it is not there."""
    try:
        return metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return None


def table() -> str:
    """The table of docs/licences.md as it should be.

    Raises:
        LicenceError: see ``licence``.
    """
    rows = [
        f"| {name} | {licence(name, installed(name))} | {PURPOSES.get(name, '')} |\n"
        for name in package_names((ROOT / "requirements.txt").read_text(encoding="utf-8"))
    ]
    return HEADER + "".join(rows).replace("|  |", "| |")


def main(arguments: Sequence[str] | None = None, page: Path = PAGE) -> int:
    """Write or check the table of the page, which is its end; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.licences", description="The table in docs/licences.md.")
    parser.add_argument("--check", action="store_true", help="only say whether the table is right")
    check = parser.parse_args(arguments).check
    found = page.read_text(encoding="utf-8")
    try:
        right = found.partition(HEADER)[0] + table()
    except LicenceError as error:
        print(error, file=sys.stderr)
        return 1
    if not check:
        page.write_text(right, encoding="utf-8")
    elif found != right:
        print(f"The table in {page.name} is not up to date. Run 'python -m local.licences'.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
