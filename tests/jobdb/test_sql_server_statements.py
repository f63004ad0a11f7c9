"""The text that SQL Server gets: no untyped parameters, one declaration per kind of value, many rows at once."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from uuid import uuid4

import pyodbc
import pytest
from sqlalchemy import bindparam, create_engine, event, insert, update

from elastic_jobs.jobdb.execution_tables import target_executions, target_messages
from elastic_jobs.jobdb.sql_server_statements import listen, with_literal_nulls
from elastic_jobs.jobdb.types import DatabaseNow


@pytest.mark.parametrize(
    ("statement", "parameters", "sent"),
    [
        ("UPDATE t SET a=?, b=? WHERE c=?", (None, 1, None), ("UPDATE t SET a=NULL, b=? WHERE c=NULL", [1])),
        ("UPDATE t SET a=?", (2,), ("UPDATE t SET a=?", (2,))),
        ("SELECT 'really?', ?", (None,), ("SELECT 'really?', ?", (None,))),
        ("SELECT 1", (), ("SELECT 1", ())),
    ],
)
def test_what_is_none_becomes_null_in_the_text(statement: str, parameters: Any, sent: Any) -> None:
    assert with_literal_nulls(statement, parameters) == sent


class Cursor:
    """Keeps what it is given. There is no server in this test: it is about the text."""

    description = None
    rowcount = 1

    def __init__(self) -> None:
        self.sizes: list[Any] = []
        self.sent: list[tuple[str, Any]] = []

    def setinputsizes(self, sizes: list[Any]) -> None:
        self.sizes = sizes

    def execute(self, statement: str, parameters: Any = ()) -> None:
        self.sent.append((statement, parameters))

    def close(self) -> None:
        """Nothing is open."""


class Line:
    """A connection that leads nowhere."""

    autocommit = True

    def __init__(self) -> None:
        self.used = Cursor()

    def cursor(self) -> Cursor:
        return self.used

    def add_output_converter(self, *converter: object) -> None:
        """Nothing comes back."""

    def commit(self) -> None:
        """Nothing was done."""

    rollback = close = commit


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def send(line: Line) -> Any:
    engine = create_engine(
        "mssql+pyodbc://?driver=none",
        use_setinputsizes=False,
        use_insertmanyvalues=False,
        deprecate_large_types=True,
        _initialize=False,
    )
    listen(engine)
    event.listen(engine, "do_connect", lambda *_: line)

    def send(*arguments: Any) -> tuple[str, Any]:
        with engine.connect() as connection:
            connection.execute(*arguments)
        return line.used.sent[-1]

    return send


def test_texts_are_declared_with_one_length(send: Any, line: Line) -> None:
    statement, parameters = send(
        update(target_executions)
        .where(target_executions.c.id == uuid4())
        .values(last_message="x" * 4001, server_name="s1", claim_token=None, turn=1, lease_until=DatabaseNow())
    )
    assert "claim_token=NULL" in statement
    assert len(parameters) == statement.count("?")
    declared = dict(
        zip(
            (type(value) if not isinstance(value, str) else value for value in parameters), line.used.sizes, strict=True
        )
    )
    assert declared["s1"] == (pyodbc.SQL_WVARCHAR, 4000, 0)
    assert declared["x" * 4001] == (pyodbc.SQL_WVARCHAR, 0, 0)
    assert declared[int] is None


def test_many_rows_are_one_statement_with_one_parameter(send: Any) -> None:
    target = uuid4()
    rows = [
        {
            "target_execution_id": target,
            "attempt": 1,
            "ordinal": ordinal,
            "batch": 1,
            "kind": "message",
            "number": None,
            "row_count": 2**40,
            "text": "\x00 😀 ' \" \\ \ud800",
        }
        for ordinal in range(3)
    ]
    statement, (document,) = send(insert(target_messages), rows)
    assert statement.startswith("INSERT INTO jobs_internal.target_messages (target_execution_id, attempt, ordinal,")
    assert "FROM OPENJSON(?) WITH (target_execution_id UNIQUEIDENTIFIER '$[0]', attempt INTEGER '$[1]'," in statement
    assert "text NVARCHAR(max) '$[7]'" in statement
    assert document.isascii()
    assert json.loads(document)[2] == [str(target), 1, 2, 1, "message", None, 2**40, rows[0]["text"]]


def test_instants_travel_in_many_rows_with_all_their_digits(send: Any) -> None:
    row = dict.fromkeys((column.name for column in target_executions.c), None) | {
        "create_time": datetime.fromisoformat("2026-11-23T12:00:00.000001+00:00")
    }
    statement, (document,) = send(insert(target_executions), [row, row])
    assert "create_time DATETIME2(7) '$[" in statement
    assert "2026-11-23T12:00:00.000001" in json.loads(document)[0]


def test_changes_of_many_rows_go_one_by_one_without_untyped_parameters(send: Any, line: Line) -> None:
    own = target_executions.c
    statement = (
        update(target_executions)
        .where(own.id == bindparam("target"))
        .values(last_message=bindparam("said"), error_number=bindparam("number"))
    )
    one, other = uuid4(), uuid4()
    send(statement, [{"target": one, "said": "a", "number": None}, {"target": other, "said": None, "number": 5}])
    first, second = line.used.sent[-2:]
    assert ("error_number=NULL" in first[0], "last_message=NULL" in second[0]) == (True, True)
    assert [len(parameters) for _, parameters in (first, second)] == [2, 2]
