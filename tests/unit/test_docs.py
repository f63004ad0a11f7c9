"""The documentation keeps what it promises: links lead somewhere, the lifecycle's drawing is the lifecycle."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sqlalchemy import CheckConstraint, Table

from elastic_jobs.domain.lifecycle import MOVES, Level, Lifecycle, states
from elastic_jobs.jobdb.execution_tables import job_executions, step_executions, target_executions

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
TABLES: dict[Level, Table] = {
    Level.JOB: job_executions,
    Level.STEP: step_executions,
    Level.TARGET: target_executions,
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), f"{page} links to {target}"


def _drawn(level: Level) -> dict[str | None, set[str]]:
    text = (ROOT / "docs" / "lifecycle.md").read_text(encoding="utf-8")
    section = re.search(rf"## {level.value.capitalize()} execution\n.*?```mermaid\n(.*?)```", text, re.DOTALL)
    assert section is not None
    moves: dict[str | None, set[str]] = {}
    for source, to in re.findall(r"^\s*(\S+) --> (\w+):", section.group(1), re.MULTILINE):
        moves.setdefault(None if source == "[*]" else source, set()).add(to)
    return moves


@pytest.mark.parametrize("level", list(Level))
def test_code_drawing_and_tables_know_the_same_states_and_moves(level: Level) -> None:
    coded = {
        None if source is None else source.value: {to.value for to in followers}
        for source, followers in MOVES[level].items()
    }
    assert _drawn(level) == coded
    (check,) = (
        constraint
        for constraint in TABLES[level].constraints
        if isinstance(constraint, CheckConstraint) and str(constraint.name).endswith("_lifecycle")
    )
    assert set(re.findall(r"'(\w+)'", str(check.sqltext))) == {state.value for state in states(level)}
    assert set().union(*_drawn(level).values()) <= {state.value for state in Lifecycle}
