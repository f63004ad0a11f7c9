"""The one table of errors: complete, without contradictions, and as the documentation shows it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from elastic_jobs.domain.outcome import ErrorClass
from elastic_jobs.domain.sql_errors import ERROR_CLASSES, SQLSTATE_CLASSES, TABLE
from elastic_jobs.targets.errors import ServerError, patience_helps, retry_connect
from tests.targets.lab import Lab

PAGE = Path(__file__).resolve().parents[2] / "docs" / "targets.md"

DOCUMENTED_TRANSIENT = (926, 40197, 40020, 40143, 40166, 40540, 40501, 40613, 49918, 49919, 49920, 4221, 615)
"""Transient by Microsoft's troubleshooting page; 4060 too, but mostly it is a wrong name."""
DOCUMENTED_GOVERNANCE = (10928, 10929, 10936)
DOCUMENTED_FINAL = (40544, 40549, 40550, 40551, 40552, 40553, 18456, 40615, 40914, 40532, 207, 208, 102, 229)


def test_nothing_is_in_two_rows() -> None:
    numbers = [number for known in TABLE.values() for number in known.numbers]
    states = [state for known in TABLE.values() for state in known.sqlstates]
    assert len(numbers) == len(set(numbers)) == len(ERROR_CLASSES)
    assert len(states) == len(set(states)) == len(SQLSTATE_CLASSES)


def test_every_class_that_a_server_can_cause_is_there() -> None:
    assert set(TABLE) == set(ErrorClass) - {ErrorClass.NOT_ALLOWED}


@pytest.mark.parametrize("number", [*DOCUMENTED_TRANSIENT, *DOCUMENTED_GOVERNANCE])
def test_what_microsoft_calls_passing_is_tried_again(number: int) -> None:
    error = ServerError(number, "42000", "x")
    assert patience_helps(error)
    assert retry_connect(error, 3)


@pytest.mark.parametrize("number", DOCUMENTED_FINAL)
def test_what_stays_as_it_is_is_not_tried_again(number: int) -> None:
    error = ServerError(number, "42000", "x")
    assert not patience_helps(error)
    assert not retry_connect(error, 1)


def test_the_page_shows_the_table() -> None:
    rows = re.findall(r"^\| ([a-z ]+) \| ([\d, ]*) \| ([\w, ]*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    shown = {
        name: (
            {int(number) for number in numbers.split(",") if number.strip()},
            {state.strip() for state in states.split(",") if state.strip()},
        )
        for name, numbers, states in rows
    }
    assert shown == {c.value: (set(known.numbers), set(known.sqlstates)) for c, known in TABLE.items()}


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (1205, ErrorClass.TRANSIENT),
        (40501, ErrorClass.THROTTLED),
        (40544, ErrorClass.SCRIPT),
        (40549, ErrorClass.SCRIPT),
        (4060, ErrorClass.LOGIN),
    ],
)
def test_a_scripts_error_has_its_class_also_through_the_driver(lab: Lab, number: int, expected: ErrorClass) -> None:
    lab.control.add_fault("error", "before", number=number, text="SELECT 42", database=lab.database)
    result = lab.run("SELECT 42")
    assert (result.error_number, result.error_class) == (number, expected)


def test_a_connection_that_is_lost_while_a_script_runs(lab: Lab) -> None:
    lab.control.add_fault("drop", "during", text="SELECT 43", database=lab.database)
    assert lab.run("SELECT 43").error_class is ErrorClass.OUTCOME_UNKNOWN
