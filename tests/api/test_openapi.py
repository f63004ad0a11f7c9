"""The OpenAPI document is whole, its examples are right, the API keeps to it, and its page needs nobody else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest

from tests.api.fuzz import Fuzz
from tests.api.support import Server, running

ANONYMOUS = {"/health", "/metadata/endpoints"}
WITHOUT_BODY = {"start_job", "put_execution", "cancel_execution", "rerun_execution", "resolve_target_group"}


@pytest.fixture
def document(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = server.http.get("/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def check(document: dict[str, Any], schema: dict[str, Any], example: object) -> None:
    whole = {**schema, "components": document["components"]}
    jsonschema_rs.Draft202012Validator(whole, validate_formats=True).validate(example)


def test_every_operation_has_its_answers_errors_and_role(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        place = (method, path)
        assert operation["summary"], place
        assert operation["tags"], place
        answers = operation["responses"]
        assert any(status.startswith("2") for status in answers), place
        assert {"408", "413", "415", "429", "500", "503"} <= answers.keys(), place
        assert "422" not in answers, place
        if path in ANONYMOUS:
            assert operation["security"] == [], place
        else:
            assert operation["security"] == [{"bearer": []}], place
            assert {"401", "403"} <= answers.keys(), place
            assert f"Role: **{operation['x-required-role']}**" in operation["description"], place
        assert ("404" in answers) or "{" not in path, place


def test_every_name_in_a_path_is_told(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        told = [each["name"] for each in operation.get("parameters", []) if each["in"] == "path"]
        assert sorted(told) == sorted(re.findall(r"\{(\w+)\}", path)), (method, path)


def test_all_examples_are_of_their_schema(document: dict[str, Any]) -> None:
    checked = 0
    for method, path, operation in operations(document):
        for status, answer in operation["responses"].items():
            content = answer.get("content", {}).get("application/json")
            if content is None:
                continue
            examples = [each["value"] for each in content.get("examples", {}).values()]
            examples += [content["example"]] if "example" in content else []
            assert examples, (method, path, status)
            for example in examples:
                check(document, content["schema"], example)
                checked += 1
        body = operation.get("requestBody")
        if body is not None:
            check(
                document, body["content"]["application/json"]["schema"], body["content"]["application/json"]["example"]
            )
    assert checked > 1000


def test_bodies_are_wanted_where_something_is_made(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        name = operation["operationId"].partition("_")[2]
        if method in {"put", "patch"} and name not in WITHOUT_BODY:
            assert "requestBody" in operation, path


def test_definitions_that_nothing_uses_are_not_in_it(document: dict[str, Any]) -> None:
    used = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert used == set(document["components"]["schemas"])


def test_every_answer_is_one_that_the_document_tells_of(tmp_path: Path) -> None:
    off = {"CALLER_REQUESTS_PER_SECOND": "0", "INSTANCE_REQUESTS_PER_SECOND": "0"}
    with running(tmp_path, **off) as server:
        fuzz = Fuzz(server)
        for operation in fuzz.operations():
            fuzz.attack(operation, examples=2, seed_value=1)
        assert fuzz.statuses.total() > 200
        assert {200, 400, 404} <= set(fuzz.statuses)
        assert not any(status >= 500 for status in fuzz.statuses)


def test_the_page_needs_no_token_and_no_other_host(server: Server) -> None:
    page = httpx.get(f"{server.url}/docs")
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert not re.search(r"<script>|<style|\son\w+=|javascript:|//", page.text.replace("<!DOCTYPE", ""))
    linked = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(linked) >= 5
    for link in linked:
        answer = httpx.get(f"{server.url}/{link}")
        assert answer.status_code == 200, link
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert len(answer.content) > 100, link
    start = httpx.get(f"{server.url}/docs/start.js").text
    assert "http" not in start
    assert httpx.get(f"{server.url}/docs/openapi.json").json() == server.http.get("/openapi.json").json()


def test_what_the_page_does_not_load_is_not_there(server: Server) -> None:
    assert httpx.get(f"{server.url}/docs/other.js").status_code == 401
    assert server.http.get("/docs/other.js").status_code == 404
    assert httpx.get(f"{server.url}/openapi.json").status_code == 401
