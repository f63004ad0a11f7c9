"""docs/coming-from.md mentions every cmdlet, procedure, view and operation, and only commands that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from elastic_jobs.cli.commands import moving
from tests.cli.test_files_docs import check_command
from tests.tsql.contract import PROCEDURES, VIEWS

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "coming-from.md").read_text(encoding="utf-8")
TUTORIAL = {
    *("New-AzSqlElasticJobAgent", "New-AzSqlElasticJobCredential", "New-AzSqlElasticJobTargetGroup"),
    *("Add-AzSqlElasticJobTarget", "New-AzSqlElasticJob", "Add-AzSqlElasticJobStep", "Start-AzSqlElasticJob"),
    *("Set-AzSqlElasticJob", "Get-AzSqlElasticJobExecution", "Get-AzSqlElasticJobStepExecution"),
    "Get-AzSqlElasticJobTargetExecution",
}
"""The cmdlets of Microsoft's tutorial."""
RESOURCES = ("Agent", "Credential", "TargetGroup", "", "PrivateEndpoint")


def test_every_cmdlet_is_mentioned() -> None:
    named = set(re.findall(r"`(\w+-AzSqlElasticJob\w*)", PAGE))
    assert named >= TUTORIAL
    for resource in RESOURCES:
        for verb in ("New", "Get", "Remove"):
            assert f"{verb}-AzSqlElasticJob{resource}" in named
    assert {f"{verb}-AzSqlElasticJobStep" for verb in ("Add", "Get", "Set", "Remove")} <= named
    assert {"Remove-AzSqlElasticJobTarget", "Stop-AzSqlElasticJob", "Set-AzSqlElasticJobAgent"} <= named


def test_every_procedure_and_view_is_mentioned() -> None:
    assert set(re.findall(r"`jobs\.(\w+)", PAGE)) == {*PROCEDURES, *VIEWS}


def test_every_operation_is_mentioned_and_no_other() -> None:
    # docs/api.md holds exactly those that exist: tests/api/test_documentation.py.
    api = (DOCS / "api.md").read_text(encoding="utf-8")
    below = api.split("### Outside the agent")[0]
    exist = set(re.findall(r"^\| (GET|PUT|POST|PATCH|DELETE) \| `([^`]*)` \|", below, re.MULTILINE))
    assert len(exist) > 40
    assert set(re.findall(r"\b(GET|PUT|POST|PATCH|DELETE) `([^`]*)`", PAGE)) == exist


def test_every_command_exists() -> None:
    named = re.findall(r"`(elastic-jobs [^`]*)`", PAGE) + re.findall(r"^(elastic-jobs .*)$", PAGE, re.MULTILINE)
    assert len(named) > 45
    for line in named:
        check_command(shlex.split(line))


def test_what_stands_in_the_environment_is_what_the_command_reads() -> None:
    assert {moving.TOKEN, moving.SCOPE, moving.PASSWORD} == set(re.findall(r"`(ELASTIC_JOBS_SOURCE_\w+)`", PAGE))
