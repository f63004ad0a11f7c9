"""Every piece of code in the documentation is checked: parsed, compiled, compared, or found to be run by another test.

A block that no rule covers fails with its page and line. Commands within sentences are checked like those in blocks.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import subprocess
from collections.abc import Callable
from functools import cache

import pytest
import yaml

from elastic_jobs.domain.script import split
from elastic_jobs.jobdb.tsql_tables import wake_endpoint
from local.sqlserver.contract import SqlError
from local.sqlserver.engine.parser import parse
from tests.cli.sessions import Typed, alike, read_sessions
from tests.tsql.contract import PROCEDURES, VIEWS
from tests.unit.docs_by_hand import by_hand, unused
from tests.unit.docs_commands import WrongError, check_shell
from tests.unit.docs_pages import PAGES, ROOT, Code, Page
from tests.unit.docs_sentences import is_said

TYPED = {
    "docs/tutorial-cli.md": "tests/cli/test_stack.py",
    "docs/files.md": "tests/cli/test_files_docs.py",
}
"""Pages whose sessions are typed into a shell and compared, and by which test."""
BLOCKS = [block for page in PAGES.values() for block in page.blocks]
COMMANDS = ("make ", "elastic-jobs ", ".venv/bin/", "python -m ", "az ", "azd ")
_PATH = re.compile(r"[\w.-]+(?:/[\w.*-]+)+/?")
_BASES = {"CONTRIBUTING.md": ("", "elastic_jobs", "elastic_jobs/jobdb"), "docs/deploy.md": ("", "infra")}
"""Folders from which pages name files; others do from the project's own."""
_MADE = (".local/", ".venv/", ".azure/", ".vscode/")
_OURS = (".py", ".bicep", ".kql", ".pem", ".md")
"""Endings of file names that a page may write without their folder."""


def _id(code: Code | Page) -> str:
    return code.where if isinstance(code, Code) else code.name


_NAME = re.compile(r"\b(?:[A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+|sp_\w+|elastic_jobs_\w+)\b")
"""Settings, procedures, metrics."""
_SOURCE = (".py", ".bicep", ".json", ".sql", ".yaml")
_ELSEWHERE = {"NO_COLOR": "read by rich"}
WRONG = (WrongError, SqlError, SyntaxError, ValueError, yaml.YAMLError)
"""What a check raises about a block."""
each_page = pytest.mark.parametrize("page", PAGES.values(), ids=_id)


# Blocks


@pytest.mark.parametrize("block", BLOCKS, ids=_id)
def test_a_block_is_right(block: Code) -> None:
    rule = RULES.get(block.kind) or by_hand(block.page, block.text)
    assert rule is not None, (
        f"{block.where}: nothing checks this block (kind '{block.kind or 'none'}'); name one of {sorted(RULES)} behind "
        "its fence, or write a check in tests/unit/docs_by_hand.py"
    )
    try:
        rule(block.text)
    except WRONG as error:
        pytest.fail(f"{block.where}: {error}")


def test_every_check_by_hand_has_its_block() -> None:
    assert not unused()


def _yaml(text: str) -> None:
    for document in yaml.safe_load_all(text):
        if not isinstance(document, dict):
            raise WrongError("this YAML defines nothing")


def _sql(text: str) -> None:
    for batch in split(text):
        parse(batch.text)
    for name in re.findall(r"\bjobs\.(\w+)", text):
        if name not in {*PROCEDURES, *VIEWS}:
            raise WrongError(f"there is no jobs.{name}")
    for name, columns in re.findall(r"\bjobs_internal\.(\w+)(?: \(([^)]*)\))?", text):
        table = next((each for each in wake_endpoint.metadata.tables.values() if each.name == name), None)
        if table is None:
            raise WrongError(f"there is no table jobs_internal.{name}")
        unknown = {column.strip() for column in columns.split(",") if column.strip()} - set(table.columns.keys())
        if unknown:
            raise WrongError(f"jobs_internal.{name} has no column {', '.join(sorted(unknown))}")


def _python(text: str) -> None:
    """It compiles, and what it calls of the product takes these arguments."""
    tree = ast.parse(text)
    known = {name: value for module in _modules() for name, value in vars(module).items()}
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        function = call.func
        if isinstance(function, ast.Name):
            if function.id not in known:
                raise WrongError(f"no module that the pages name has {function.id}")
            _bind(known[function.id], call, bound=True)
        elif isinstance(function, ast.Attribute) and isinstance(function.value, ast.Call):
            assert isinstance(function.value.func, ast.Name)
            of = known[function.value.func.id]
            if not hasattr(of, function.attr):
                raise WrongError(f"{of.__name__} has no {function.attr}")
            _bind(getattr(of, function.attr), call, bound=False)


def _bind(function: Callable[..., object], call: ast.Call, *, bound: bool) -> None:
    given = [None] * (len(call.args) + (not bound))
    try:
        inspect.signature(function).bind(*given, **{str(each.arg): None for each in call.keywords})
    except TypeError as error:
        raise WrongError(f"{ast.unparse(call)}: {error}") from None


@cache
def _modules() -> tuple[object, ...]:
    """The modules from which ``docs/targets.md`` names things."""
    named = {each.text for each in PAGES["docs/targets.md"].inline if each.text.startswith("elastic_jobs.")}
    return tuple(importlib.import_module(name.rpartition(".")[0]) for name in sorted(named))


_NODE = r"\w+(?:\[[^\[\]]+\]|\(\[[^\[\]()]+\]\)|\[\([^\[\]()]+\)\])?"
_LINES = {
    "stateDiagram-v2": (r"(?:\[\*\]|\w+) --> (?:\[\*\]|\w+)(?:: [^:]+)?",),
    "flowchart": (rf"{_NODE}(?: (?:-->|-\.->)(?:\|[^|]+\|)? {_NODE})+", rf"{_NODE}", r"subgraph .+", r"end"),
}
"""What a line of a drawing may be, by the drawing's kind."""


def _mermaid(text: str) -> None:
    head, *lines = [line.strip() for line in text.splitlines() if line.strip()]
    kind, _, direction = head.partition(" ")
    if kind not in _LINES or (kind == "flowchart" and direction not in {"LR", "TD"}):
        raise WrongError(f"'{head}' is no kind of drawing that is known here")
    for line in lines:
        if not any(re.fullmatch(pattern, line) for pattern in _LINES[kind]):
            raise WrongError(f"this line is not understood: {line}")
    if sum(line.startswith("subgraph") for line in lines) != lines.count("end"):
        raise WrongError("a subgraph does not end")


def _shell(text: str) -> None:
    done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    if done.returncode or done.stderr:
        raise WrongError(done.stderr)
    check_shell(text)


def _console(text: str) -> None:
    _shell("\n".join(line[2:] for line in text.splitlines() if line.startswith(("$ ", "> "))) + "\n")


RULES: dict[str, Callable[[str], object]] = {
    "console": _console,
    "json": json.loads,
    "mermaid": _mermaid,
    "python": _python,
    "sh": _shell,
    "sql": _sql,
    "yaml": _yaml,
}


# Sessions


@pytest.mark.parametrize(("page", "by"), TYPED.items())
def test_sessions_are_typed_by_a_test(page: str, by: str) -> None:
    assert PAGES[page].file.name in (ROOT / by).read_text(encoding="utf-8")


def test_other_sessions_repeat_what_is_typed() -> None:
    typed = {_known(each) for page in TYPED for each in read_sessions(PAGES[page].file)}
    for page in PAGES.values():
        blocks = [block.text for block in page.blocks if block.kind == "console"]
        found = read_sessions(page.file) if blocks else []
        assert len(found) == len(re.findall(r"^\$ ", "\n".join(blocks), re.MULTILINE)), f"{page.name} is read by halves"
        for each in found:
            assert _known(each) in typed, f"{page.name}, line {each.line}: no session that is run shows this"


def _known(typed: Typed) -> tuple[str, str]:
    return typed.command, alike(typed.shows)


# Within sentences


@each_page
def test_commands_in_sentences_exist(page: Page) -> None:
    for code in page.inline:
        if code.text.startswith(COMMANDS):
            try:
                check_shell(code.text, whole=False)
            except WrongError as error:
                pytest.fail(f"{code.where}: `{code.text}`: {error}")


@each_page
def test_files_in_sentences_exist(page: Page) -> None:
    for code in page.inline:
        text, bases = code.text.rstrip("/"), [ROOT / base for base in _BASES.get(page.name, ("",))]
        if text.startswith(_MADE):
            continue
        if _PATH.fullmatch(text) and any((base / text.split("/")[0]).is_dir() for base in bases):
            assert any(any(base.glob(text)) for base in bases), f"{code.where}: there is no {text}"
        elif re.fullmatch(r"\w[\w-]*", text.rpartition(".")[0]) and text.endswith(_OURS):
            assert text in _names(), f"{code.where}: no file is called {text}"


@each_page
def test_settings_and_names_in_sentences_exist(page: Page) -> None:
    for code in page.inline:
        for name in _NAME.findall(code.text):
            assert name in _ELSEWHERE or name in _sources(), f"{code.where}: nothing reads or makes {name}"


@cache
def _sources() -> str:
    folders = ("elastic_jobs", "local", "infra", "bench", "tests/jobdb", "tests/tsql")
    files = [each for folder in folders for each in (ROOT / folder).rglob("*.*") if each.suffix in _SOURCE]
    return "".join(each.read_text(encoding="utf-8") for each in [*files, ROOT / "local.settings.sample.json"])


@cache
def _names() -> frozenset[str]:
    folders = ("elastic_jobs", "local", "tests", "bench", "infra", "docs")
    files = {each.name for folder in folders for each in (ROOT / folder).rglob("*.*")}
    return frozenset(files | {each.name for each in ROOT.iterdir()})


# Links


@each_page
def test_links_to_headings_lead_to_headings(page: Page) -> None:
    for link in page.links:
        target, mark, anchor = link.target.partition("#")
        if mark and "://" not in target:
            other = (page.file.parent / target).resolve() if target else page.file
            name = other.relative_to(ROOT).as_posix()
            assert anchor in PAGES[name].anchors, f"{page.name}, line {link.line}: {name} has no heading #{anchor}"


def test_every_page_can_be_found_from_the_first_one() -> None:
    found, ahead = set(), ["README.md"]
    while ahead:
        page = PAGES[ahead.pop()]
        if page.name in found:
            continue
        found.add(page.name)
        for link in page.links:
            target = link.target.partition("#")[0]
            file = (page.file.parent / target).resolve()
            if target and "://" not in target and file.suffix == ".md" and file.is_relative_to(ROOT):
                ahead += [name for name in (file.relative_to(ROOT).as_posix(),) if name in PAGES]
    assert set(PAGES) == found


def test_the_list_of_decisions_is_whole() -> None:
    page = PAGES["docs/decisions/README.md"]
    listed = [link.target for link in page.links]
    assert listed == sorted(each.name for each in page.file.parent.glob("[0-9]*.md"))


# What the product says


def test_quoted_messages_are_those_of_the_product() -> None:
    page = PAGES["docs/troubleshooting.md"]
    rows = re.findall(r"^\| (.*?) \|", page.file.read_text(encoding="utf-8"), re.MULTILINE)
    quoted = [each for row in rows for each in re.findall(r"`([^`]+)`", row) if each.count(" ") > 2]
    assert len(quoted) > 45
    assert [each for each in quoted if not is_said(each, "elastic_jobs", "local")] == []


def test_the_glossary_is_in_order_and_leads_on() -> None:
    words = PAGES["docs/concepts.md"].file.read_text(encoding="utf-8").partition("\n## Words\n")[2]
    rows = [line.strip("| ").split(" | ") for line in words.splitlines() if line.startswith("| ")][1:]
    names = [row[0].strip("`").casefold() for row in rows]
    assert len(names) > 35
    assert names == sorted(set(names))
    assert [row[0] for row in rows if "](" not in row[2]] == []


# What these tests are for: each of them can fail


@pytest.mark.parametrize(
    "wrong",
    [
        *("make nothing", "make NOTHING=1 test", "elastic-jobs job begin x", "elastic-jobs job start --loudly x"),
        *("elastic-jobs job start", "elastic-jobs job", "elastic-jobs step create a b --timeout soon --targets c"),
        *("python -m elastic_jobs.nothing", "python -m elastic_jobs.jobdb downgrade", "python infra/scripts/none.py"),
        *("azd env get-value NOTHING", "azd env set NOTHING 1", "azd destroy", "azd hooks run preflight"),
        *("az deployment group create -f infra/container/container-app.bicep -p image=x", "curl -d '{sku}' $API"),
        *("cat elastic_jobs/none.py", "rustc x", "echo 'x", "echo $(make nothing)", "true && make nothing | cat"),
    ],
)
def test_a_wrong_command_is_noticed(wrong: str) -> None:
    with pytest.raises(WrongError):
        check_shell(wrong)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        *(
            ("json", "{'a': 1}"),
            ("yaml", "a: [1"),
            ("yaml", "- just a list"),
            ("sh", "if then"),
            ("console", "$ echo 'x"),
        ),
        *(("sql", "SELECT 1 FROM"), ("sql", "EXEC jobs.sp_run_job"), ("sql", "SELECT * FROM jobs_internal.nothing")),
        *(("sql", "INSERT INTO jobs_internal.wake_endpoint (nothing) VALUES (1)"), ("python", "def f(:")),
        *(("python", "Preflight(connector).check_group(members)"), ("python", "Preflight(connector).check_all()")),
        *(("python", "unknown()"), ("mermaid", "pie\na: 1"), ("mermaid", "stateDiagram-v2\nA -> B")),
        ("mermaid", "flowchart LR\nsubgraph a\nx --> y"),
    ],
)
def test_a_wrong_block_is_noticed(kind: str, wrong: str) -> None:
    with pytest.raises(WRONG):
        RULES[kind](wrong)


def test_what_the_product_does_not_say_is_noticed() -> None:
    assert is_said("The firewall of server '...' refuses this app: ...", "elastic_jobs/targets")
    assert not is_said("The firewall of server '...' refuses us: ...", "elastic_jobs/targets")
    assert not is_said("The firewall of nobody's server '...' refuses this app: ...", "elastic_jobs/targets")
    assert is_said("Stop with Ctrl-C.", "local")
    assert not is_said("Stop with Ctrl-D.", "local")


def test_a_block_without_a_rule_is_found() -> None:
    assert "text" not in RULES
    assert by_hand("README.md", "something new\n") is None
