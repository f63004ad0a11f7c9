"""The .sql files without a server: each parses, and says what the documentation of Azure's elastic jobs says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from elastic_jobs.jobdb.tables import SCHEMA
from elastic_jobs.jobdb.tsql import install
from local.sqlserver.engine.parser import parse
from tests.tsql import contract
from tests.tsql.reading import as_batch, columns, expressions, module, type_of, without_comments

ROOT = Path(install.__file__).parent
FILES = sorted(ROOT.rglob("*.sql"))
MODULES = [file for file in FILES if file.parent.name != "views" and file.stem != "read_only"]
NOT_EVERYWHERE = (
    r"\bMERGE\b|CREATE OR ALTER|\bSTRING_AGG\b|\bTRIM\s*\(|\bWITH\s*\(|^\s*GO\s*$|\bIIF\b|\bGENERATE_SERIES\b"
)


def _name(file: Path) -> str:
    return f"{file.parent.name}/{file.stem}"


def test_the_files_are_those_that_are_installed() -> None:
    assert {_name(file) for file in FILES} == {
        *(f"procedures/{name}" for name in install.PROCEDURES),
        *(f"views/{name}" for name in install.VIEWS),
        *(f"internal/{name}" for name in (*install.FUNCTIONS, *install.INTERNAL_PROCEDURES, "read_only")),
    }


def test_the_files_are_package_data() -> None:
    assert "jobdb/tsql/**/*.sql" in (ROOT.parents[2] / "pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("file", FILES, ids=_name)
def test_plain_t_sql_only(file: Path) -> None:
    text = without_comments(file.read_text(encoding="utf-8"))
    assert not re.search(NOT_EVERYWHERE, text, re.IGNORECASE | re.MULTILINE)
    assert "?" not in text, "the driver would take it for a parameter"
    assert all(len(line) <= 130 for line in text.splitlines())


@pytest.mark.parametrize("file", MODULES, ids=_name)
def test_every_statement_of_a_module_parses(file: Path) -> None:
    batch = parse(as_batch(file.read_text(encoding="utf-8")))
    assert batch.statements


@pytest.mark.parametrize("view", install.VIEWS)
def test_every_view_parses(view: str) -> None:
    assert parse(install.source("views", view)).statements


def test_a_statement_that_is_wrong_does_not_parse() -> None:
    good = as_batch(install.source("internal", "lock_agent"))
    for bad in (good.replace("SET name", "SETT name"), good.replace("IF @rows", "IFF @rows"), good + "END"):
        with pytest.raises(Exception, match=r"(?i)syntax|support|incorrect"):
            parse(bad)


@pytest.mark.parametrize("file", MODULES, ids=_name)
def test_what_a_module_calls_is_installed_before_it(file: Path) -> None:
    order = [*install.FUNCTIONS, *install.INTERNAL_PROCEDURES]
    text = without_comments(file.read_text(encoding="utf-8"))
    called = set(re.findall(rf"{SCHEMA}\.(\w+)\(", text)) | set(re.findall(rf"EXEC {SCHEMA}\.(\w+)", text))
    earlier = order[: order.index(file.stem)] if file.stem in order else order
    assert called <= set(earlier)


@pytest.mark.parametrize("procedure", contract.PROCEDURES)
def test_parameters_are_the_documented_ones(procedure: str) -> None:
    kind, parameters, _ = module(install.source("procedures", procedure))
    assert kind == "PROCEDURE"
    assert tuple(parameters) == contract.PROCEDURES[procedure]


def test_there_are_thirteen_procedures_and_seven_views() -> None:
    assert set(install.PROCEDURES) == set(contract.PROCEDURES)
    assert len(contract.PROCEDURES) == 13
    assert set(install.VIEWS) == set(contract.VIEWS)
    assert len(contract.VIEWS) == 7


@pytest.mark.parametrize("view", contract.VIEWS)
def test_columns_are_the_documented_ones(view: str) -> None:
    assert tuple(columns(install.source("views", view))) == contract.VIEWS[view]


def test_every_level_of_executions_has_the_same_columns() -> None:
    sql = install.source("views", "job_executions")
    wanted = [data_type for _, data_type in contract.VIEWS["job_executions"]]
    aliases = {"e": "job_executions", "j": "jobs", "s": "step_executions", "t": "target_executions", "d": "job_steps"}
    levels = expressions(sql)
    assert len(levels) == 6, "what is active and what has ended, on three levels"
    for level in levels:
        assert [type_of(expression, aliases) for expression in level] == wanted


def test_each_part_of_the_executions_says_by_a_constant_whether_it_is_active() -> None:
    """What a query for is_active = 1 needs to leave the history alone, on every engine."""
    parts = without_comments(install.source("views", "job_executions")).split("UNION ALL")
    said = [re.findall(r"CAST\((\d) AS bit\)|WHERE (\w)\.is_active = (\d) AND", part) for part in parts]
    assert [(bits[0][0], bits[1][1], bits[1][2]) for bits in said] == [
        (active, level, active) for level in "est" for active in "10"
    ]


@pytest.mark.parametrize("procedure", contract.PROCEDURES)
def test_every_procedure_takes_back_what_it_did_when_it_fails(procedure: str) -> None:
    """One transaction of its own, or a savepoint within the caller's, and the error goes on to the caller."""
    text = without_comments(install.source("procedures", procedure))
    assert "IF @own = 1 BEGIN TRANSACTION; ELSE SAVE TRANSACTION elastic_jobs;" in text
    assert re.search(
        r"XACT_STATE\(\) <> 0 ROLLBACK TRANSACTION;\n.*ROLLBACK TRANSACTION elastic_jobs;\n\s*THROW;", text
    )
    assert text.count("BEGIN TRANSACTION") == text.count("COMMIT TRANSACTION")


@pytest.mark.parametrize(
    "procedure",
    [name for name in contract.PROCEDURES if name not in {"sp_start_job", "sp_stop_job", "sp_purge_jobhistory"}],
)
def test_changes_of_definitions_lock_the_agent_first(procedure: str) -> None:
    text = without_comments(install.source("procedures", procedure))
    first = re.search(rf"EXEC {SCHEMA}\.(\w+)|\b(UPDATE|INSERT INTO|DELETE FROM)\b", text)
    assert first is not None
    assert first.group(1) == "lock_agent"
