"""The JSON schema for editors says what the reader says."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elastic_jobs.cli.files.model import Definitions
from elastic_jobs.cli.files.nodes import read_document
from elastic_jobs.cli.files.schema import SHAPES, json_schema
from elastic_jobs.cli.files.shapes import Kind, Shape
from elastic_jobs.cli.files.writing import rendered
from tests.cli.files_support import Agent, definitions, running_agent, sample

VALIDATORS = {kind: jsonschema_rs.validator_for(json_schema(kind)) for kind in SHAPES}
_WRONG: list[Any] = [
    None,
    True,
    -1,
    0,
    1.5,
    2**40,
    "",
    " ",
    "x",
    "x" * 600,
    "SqlServer",
    "P1D",
    "2030-01-01",
    [],
    {},
    [1],
]


def accepts(kind: str, document: Any) -> bool:
    """What the schema says."""
    return bool(VALIDATORS[kind].is_valid(document))


def reads(kind: str, document: Any) -> list[str]:
    """What the reader says: its problems with the same document as YAML."""
    problems: list[str] = []
    text = yaml.safe_dump(document, allow_unicode=False)
    read_document(text, SHAPES[kind], lambda line, reason: problems.append(f"{line}: {reason}"))
    return problems


def _documents(wanted: Definitions) -> list[tuple[str, Any]]:
    return [
        ("group" if path.startswith("groups/") else "job", yaml.safe_load(content))
        for path, content in rendered(wanted).items()
        if path.endswith(".yaml")
    ]


def _places(document: Any) -> list[tuple[Any, Any]]:
    """Every container with each of its keys."""
    found: list[tuple[Any, Any]] = []
    entries = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in list(entries):
        found.append((document, key))
        if isinstance(value, (dict, list)):
            found += _places(value)
    return found


@given(wanted=definitions())
@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_what_is_written_is_right_to_both(wanted: Definitions) -> None:
    for kind, document in _documents(wanted):
        assert reads(kind, document) == []
        # The schema counts characters, the reader as SQL Server does; what is written is short enough for both.
        assert accepts(kind, document), document


@given(data=st.data())
@settings(max_examples=120)
def test_what_is_wrong_is_wrong_to_both(data: st.DataObject) -> None:
    kind, whole = data.draw(st.sampled_from(_documents(sample())))
    document = copy.deepcopy(whole)
    container, key = data.draw(st.sampled_from(_places(document)))
    how = data.draw(st.sampled_from(["replace", "remove", "rename", "add"]))
    if how == "replace" or not isinstance(container, dict):
        container[key] = data.draw(st.sampled_from(_WRONG))
    elif how == "remove":
        del container[key]
    elif how == "rename":
        container[f"{key}s"] = container.pop(key)
    else:
        container["sql"] = "SELECT 1"
    assert accepts(kind, document) == (reads(kind, document) == []), (document, reads(kind, document))


@pytest.mark.parametrize("kind", list(SHAPES))
def test_every_key_is_known_to_both_and_explained(kind: str) -> None:
    def compare(shape: Shape, schema: dict[str, Any]) -> None:
        assert schema["additionalProperties"] is False
        assert list(schema["properties"]) == [field.name for field in shape.fields]
        for field in shape.fields:
            own = schema["properties"][field.name]
            assert own["description"].endswith((".", ")"))
            if field.shape is not None:
                compare(field.shape, own["items"] if field.kind is Kind.LIST else own)

    compare(SHAPES[kind], json_schema(kind))


def test_the_command_prints_it(tmp_path: Path) -> None:
    with running_agent(tmp_path) as agent:
        assert json.loads(_printed(agent, "job")) == json_schema("job")
        assert json.loads(_printed(agent, "group")) == json_schema("group")
        assert agent.run("schema", "step").exit_code == 2


def _printed(agent: Agent, kind: str) -> str:
    answer = agent.run("schema", kind)
    assert answer.exit_code == 0
    return answer.stdout
