"""docs/api.md holds exactly the operations that exist, with the role that each really asks for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from elastic_jobs.api.app import create_app
from elastic_jobs.api.services import Services
from elastic_jobs.settings import Settings
from tests.unit.test_settings import GOOD

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api.md"


def _operations() -> set[tuple[str, str]]:
    nothing = cast("Any", None)  # building the app uses none of these
    services = Services(
        settings=Settings.from_env(GOOD),
        database=nothing,
        clock=nothing,
        ids=uuid4,
        sealer=nothing,
        check_server=nothing,
        control=nothing,
    )
    paths = create_app(services).openapi()["paths"]
    return {
        (method.upper(), path.removeprefix("/agent"))
        for path, operations in paths.items()
        for method in operations
        if path == "/agent" or path.startswith("/agent/")
    }


def test_the_page_lists_every_operation_and_no_other() -> None:
    rows = re.findall(r"^\| ([A-Z]+) \| `([^`]*)` \| (\w+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert {(method, path) for method, path, _ in rows} == _operations()
    for method, path, role in rows:
        assert role == _expected_role(method, path), (method, path)


def _expected_role(method: str, path: str) -> str:
    """The rule in one place; that each operation keeps it is what the matrix of roles and operations tests."""
    if method == "GET":
        return "Reader"
    if path.startswith("/credentials"):
        return "CredentialAdmin"
    return "Operator" if path.endswith(("/start", "/cancel")) or "/executions/" in path else "Contributor"
