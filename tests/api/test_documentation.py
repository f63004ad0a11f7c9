"""docs/api.md holds exactly the operations that exist, with the role that each asks for and the codes it may answer."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from elastic_jobs.api.app import create_app
from elastic_jobs.api.openapi.catalogue import CATALOGUE
from elastic_jobs.api.services import Services
from elastic_jobs.settings import Settings
from tests.unit.test_settings import GOOD

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "api.md"
PRODUCT = ROOT / "elastic_jobs"


COMMON = frozenset(
    {
        "AuthenticationFailed",
        "InvalidAuthenticationToken",
        "ExpiredAuthenticationToken",
        "AuthorizationFailed",
        "RequestTimeout",
        "RequestEntityTooLarge",
        "UnsupportedMediaType",
        "SubscriptionTooManyRequests",
        "InternalServerError",
        "ServiceUnavailable",
    }
)
"""Codes of every operation, which the page names once."""
UNDER_ARM = frozenset(
    {
        "MissingApiVersionParameter",
        "InvalidApiVersionParameter",
        "SubscriptionDoesNotHaveServer",
        "ServerNotInSubscriptionResourceGroup",
    }
)
Row = tuple[str, str, str, frozenset[str]]


def _document() -> dict[str, Any]:
    nothing = cast("Any", None)  # building the app uses none of these
    services = Services(
        settings=Settings.from_env(GOOD),
        database=nothing,
        clock=nothing,
        ids=uuid4,
        sealer=nothing,
        check_server=nothing,
        control=nothing,
        rehearse=nothing,
        try_out=nothing,
    )
    return create_app(services).openapi()


def _codes(operation: dict[str, Any]) -> frozenset[str]:
    found: set[str] = set()
    for status, answer in operation["responses"].items():
        if status >= "400":
            found |= set(answer["content"]["application/json"]["examples"])
    return frozenset(found - COMMON)


def _operations() -> tuple[set[Row], set[Row]]:
    """What the app has below the agent, and elsewhere: method, path, role, codes."""
    below: set[Row] = set()
    outside: set[Row] = set()
    for path, methods in _document()["paths"].items():
        for method, operation in methods.items():
            role = operation.get("x-required-role", "anonymous")
            row = (method.upper(), path.removeprefix("/agent"), role, _codes(operation))
            if path == "/agent" or path.startswith("/agent/"):
                below.add(row)
            elif "/jobAgents/" not in path:
                outside.add(row)
    return below, outside


def _rows() -> set[Row]:
    found = re.findall(
        r"^\| ([A-Z]+) \| `([^`]*)` \| (\w+) \|[^|\n]*\| ([^|\n]*) ?\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    return {
        (method, path, role, frozenset(code.strip() for code in codes.split(",") if code.strip()))
        for method, path, role, codes in found
    }


def test_the_page_lists_every_operation_with_its_role_and_codes_and_no_other() -> None:
    below, outside = _operations()
    assert _rows() == below | outside


def test_both_spellings_have_the_same_role_and_codes() -> None:
    paths = _document()["paths"]
    compared = 0
    for path, methods in paths.items():
        short = "/agent" + path.partition("/jobAgents/{agent_name}")[2]
        if "/jobAgents/{agent_name}" in path and short in paths:
            for method, operation in methods.items():
                other = paths[short][method]
                assert operation["x-required-role"] == other["x-required-role"], path
                assert _codes(operation) - UNDER_ARM == _codes(other), path
                compared += 1
    assert compared > 40


def test_every_code_in_the_catalogue_is_really_answered_somewhere() -> None:
    """And none that the product answers is missing from it."""
    # What the portal answers are pages.
    sources = [file for file in PRODUCT.rglob("*.py") if not {"openapi", "portal"} & set(file.parts)]
    text = "\n".join(file.read_text(encoding="utf-8") for file in sources)
    listed = {code for entry in CATALOGUE.values() for codes in entry.errors.values() for code in codes}
    for code in listed:
        mismatching = re.fullmatch(r"Mismatching(\w+)WithUrl", code)
        assert f'"{mismatching[1] if mismatching else code}"' in text, code
    documented = listed | COMMON | UNDER_ARM | OF_THE_FRAMEWORK | {"JobCredentialPermissionError"}
    answered = set(re.findall(r'(?:ApiError\(\s*\d+,|_code="|code=)\s*"?([A-Z][A-Za-z]+)"', text))
    assert answered <= documented, answered - documented


OF_THE_FRAMEWORK = frozenset({"HttpMethodNotAllowed", "RequestFailed"})
"""Answers to what is no operation."""
