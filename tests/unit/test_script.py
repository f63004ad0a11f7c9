"""Batches and scripting variables of a script."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastic_jobs.domain.script import Batch, ScriptVariables, prepare, split, substitute

VARIABLES = ScriptVariables(
    job_name="Rebuild 'all'",
    job_id=UUID("11111111-2222-3333-4444-555555555555"),
    job_version=3,
    step_id=2,
    step_name="step]two",
    job_execution_id=UUID("aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"),
    job_execution_create_time=datetime(2024, 2, 29, 13, 14, 15, 123456, tzinfo=timezone(timedelta(hours=2))),
    target_group_name='Group "A"',
)

EXECUTION = "CAST('aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee' AS uniqueidentifier)"


def texts(script: str) -> list[str]:
    return [batch.text for batch in split(script)]


@pytest.mark.parametrize(
    "separator",
    ["GO", "go", "  Go\t", "GO;", "GO ;", "GO -- next", "GO /* next */", "GO; /* a */ -- b", "\tgo 1", "GO\r"],
)
def test_a_line_of_go_separates(separator: str) -> None:
    assert texts(f"select 1\n{separator}\nselect 2") == ["select 1\n", "select 2"]


@pytest.mark.parametrize(
    "script",
    [
        "select 'a\nGO\nb'",
        "select 'it''s\nGO\n'",
        "/* a\nGO\n*/ select 1",
        "/* a /* b */\nGO\n*/ select 1",
        'select "a\nGO\n"',
        "select [a\nGO\n]",
        "select [a]]\nGO\n]",
        "select 1 as\nGOAL",
        "select 1\nGO select 2",
        "select 1\nGO 5 6",
        "select 1 GO",
        "-- GO\nselect 1",
        "select 1\n/* c */ GO\n",
        "select 1\nGO 'x'",
        "select 1\nGO5",
        "select 1\nGO /* a */ 'x'",
    ],
)
def test_go_elsewhere_does_not_separate(script: str) -> None:
    assert texts(script) == [script]


def test_a_count_repeats_the_batch_before_it() -> None:
    assert split("select 1\nGO 5\nselect 2\nGO 0\nselect 3") == (
        Batch(text="select 1\n", line=1, repeat=5),
        Batch(text="select 3", line=5),
    )


def test_each_batch_knows_its_line() -> None:
    assert [(batch.line, batch.text) for batch in split("GO\n\nselect 1\r\nGO\r\nGO\r\n\r\nselect 2\r\nGO")] == [
        (2, "\nselect 1\r\n"),
        (6, "\r\nselect 2\r\n"),
    ]


def test_a_comment_behind_go_that_runs_over_the_line_belongs_to_the_next_batch() -> None:
    assert texts("select 1\nGO /* about\nthe next */\nselect 2") == ["select 1\n", "/* about\nthe next */\nselect 2"]


def test_go_at_the_very_end_and_alone() -> None:
    assert texts("select 1\nGO") == ["select 1\n"]
    assert texts("GO") == []
    assert texts(" \n\n") == []


def test_an_unclosed_string_swallows_the_rest() -> None:
    assert texts("select 'a\nGO\nselect 2") == ["select 'a\nGO\nselect 2"]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("select $(job_name)", "select N'Rebuild ''all'''"),
        ("select $(JOB_Name)", "select N'Rebuild ''all'''"),
        ("select $(job_version), $(step_id)", "select 3, 2"),
        ("select $(job_execution_id) as job_execution_id", f"select {EXECUTION} as job_execution_id"),
        ("select $(job_id)", "select CAST('11111111-2222-3333-4444-555555555555' AS uniqueidentifier)"),
        (
            "select $(job_execution_create_time)",
            "select CAST('2024-02-29T11:14:15.123456' AS datetime2(7))",
        ),
        ("select N'job $(job_name)'", "select N'job Rebuild ''all'''"),
        ("select '$(job_execution_create_time)'", "select '2024-02-29T11:14:15.123456'"),
        ("select 'x' as [$(step_name)]", "select 'x' as [step]]two]"),
        ('select 1 as "$(target_group_name)"', 'select 1 as "Group ""A"""'),
        ("select 1 -- $(job_name)", "select 1 -- $(job_name)"),
        ("/* $(job_name) */ select 1", "/* $(job_name) */ select 1"),
        ("select $(unknown), '$(unknown)', $(), $(job name)", "select $(unknown), '$(unknown)', $(), $(job name)"),
        (
            "exec dbo.note @run = $(job_execution_id), @step=$(step_name)",
            "exec dbo.note @run = 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee', @step=N'step]two'",
        ),
        ("exec dbo.a; select $(job_execution_id)", f"exec dbo.a; select {EXECUTION}"),
        ("exec dbo.a\nselect $(job_execution_id)", f"exec dbo.a\nselect {EXECUTION}"),
        ("insert t exec('x')\nselect $(job_execution_id)", f"insert t exec('x')\nselect {EXECUTION}"),
        ("select 'exec', $(job_execution_id)", f"select 'exec', {EXECUTION}"),
    ],
)
def test_variables(script: str, expected: str) -> None:
    assert substitute(script, VARIABLES) == expected


def test_a_value_is_not_expanded_again_and_brings_no_separator() -> None:
    sly = ScriptVariables(**{**vars(VARIABLES), "job_name": "x'\nGO\n$(step_id)"})
    assert [batch.text for batch in prepare("select $(job_name)\nGO\nselect 2", sly)] == [
        "select N'x''\nGO\n$(step_id)'\n",
        "select 2",
    ]


def test_a_time_of_another_zone_is_written_in_utc() -> None:
    assert VARIABLES.job_execution_create_time.astimezone(UTC).hour == 11
    assert "T11:14:15" in substitute("$(job_execution_create_time)", VARIABLES)


PIECES = st.lists(
    st.sampled_from(
        [
            "select 1",
            "\n",
            "\r\n",
            "GO",
            "go 3",
            "'",
            "''",
            '"',
            "[",
            "]",
            "--",
            "/*",
            "*/",
            " ",
            ";",
            "x",
            "$(job_name)",
        ]
    ),
    max_size=30,
).map("".join)


@given(PIECES | st.text(max_size=60))
def test_batches_stand_in_the_script_in_order_at_their_lines(script: str) -> None:
    lines = [*script.split("\n"), ""]
    end = 0
    for batch in split(script):
        assert batch.text.strip()
        first_line = sum(len(line) + 1 for line in lines[: batch.line - 1])
        start = script.index(batch.text, max(first_line, end))
        # At the line's start, or at the comment that follows GO on that line.
        assert start == first_line or script.startswith("/*", start)
        assert start - first_line <= len(lines[batch.line - 1])
        end = start + len(batch.text)


@given(PIECES | st.text(max_size=60))
def test_without_a_line_that_begins_with_go_the_script_is_one_batch(script: str) -> None:
    if not re.search(r"^\s*go\b", script, re.IGNORECASE | re.MULTILINE):
        assert texts(script) == ([script] if script.strip() else [])


@given(PIECES)
def test_splitting_again_finds_no_further_separator(script: str) -> None:
    for batch in split(script):
        assert len(split(batch.text)) == 1


@given(st.lists(st.sampled_from(["select 1", "print 'GO'", "/* GO */", "select [GO]"]), min_size=1, max_size=6))
def test_joined_by_go_comes_apart_as_it_was(statements: list[str]) -> None:
    batches = split("\nGO\n".join(statements))
    assert [batch.text.strip() for batch in batches] == statements
    assert [batch.line for batch in batches] == [1 + 2 * index for index in range(len(statements))]


@given(st.text(max_size=40))
def test_a_name_always_stays_inside_its_literal(name: str) -> None:
    variables = ScriptVariables(**{**vars(VARIABLES), "job_name": name})
    literal = substitute("$(job_name)", variables)
    assert literal[:2] == "N'"
    assert literal[2:-1].replace("''", "").count("'") == 0
    assert literal[2:-1].replace("''", "'") == name
    assert substitute("'$(job_name)'", variables) == literal[1:]


@given(PIECES)
def test_a_script_without_known_variables_is_unchanged(script: str) -> None:
    text = script.replace("$(job_name)", "$(nobody)")
    assert substitute(text, VARIABLES) == text
