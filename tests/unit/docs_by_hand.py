"""Blocks of the documentation that are in no language: drawings, trees, formulas, outputs. Each with its own check."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

from rich.console import Console
from sqlalchemy.engine import make_url

from elastic_jobs.agent.messages import STEPS_QUEUE, TARGETS_QUEUE
from elastic_jobs.cli.following import print_groups
from elastic_jobs.cli.progress import Bars, counts
from elastic_jobs.cli.session import Session
from elastic_jobs.cli.watch import Snapshot, StepState
from elastic_jobs.domain.lifecycle import Lifecycle
from elastic_jobs.jobdb.sql_server import Place
from local.demo.tutorial import EXPECTED_TABLES
from tests.unit.docs_commands import WrongError, check_shell
from tests.unit.docs_pages import PAGES, ROOT
from tests.unit.docs_sentences import ANYTHING, is_said

_COLUMN = re.compile(r" {2,}")


def _expect(holds: bool, sentence: str) -> None:
    if not holds:
        raise WrongError(sentence)


def the_picture(text: str) -> None:
    """The queues are the two that there are."""
    drawn = {f"elastic-jobs-{name}" for name in re.findall(r"\[(\w+) queue\]", text)}
    _expect(drawn == {STEPS_QUEUE, TARGETS_QUEUE}, f"the queues {drawn} are not those of the app")


def the_tour(text: str) -> None:
    """The tree is that of the folders, and leaves no room of the product out."""
    above: list[tuple[int, str]] = []
    named = set()
    for line in text.splitlines():
        depth, name = len(line) - len(line.lstrip()), line.split()[0]
        above = [each for each in above if each[0] < depth]
        path = "".join(each for _, each in above) + name
        exists = (ROOT / path).is_dir() if name.endswith("/") else (ROOT / path).is_file()
        _expect(exists, f"there is no {path}")
        above.append((depth, name))
        named.add(path)
    rooms = {f"elastic_jobs/{each.name}/" for each in (ROOT / "elastic_jobs").iterdir() if any(each.glob("*.py"))}
    _expect(rooms <= named, f"rooms without a line: {sorted(rooms - named)}")


def the_templates(text: str) -> None:
    """The tree has exactly the modules of the main template."""
    main = (ROOT / "infra" / "main.bicep").read_text(encoding="utf-8")
    used = set(re.findall(r"^module \w+ '([^']+)'", main, re.MULTILINE))
    drawn = set(re.findall(r"app/[\w-]+\.bicep", text))
    _expect(drawn == used, f"main.bicep has the modules {sorted(used)}")


def job_database_urls(text: str) -> None:
    """The app takes each of them."""
    for line in text.splitlines():
        Place.from_url(make_url(line.split()[0]))


def commands_and_what_they_do(text: str) -> None:
    """The first column are commands."""
    for line in text.splitlines():
        check_shell(_COLUMN.split(line)[0])


def the_model(text: str) -> None:
    """Each thing that is divided is explained below."""
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    inner = text.strip().partition("min(")[2].rstrip(" )")
    words = {word.strip() for part in inner.split(",") for word in re.split(r" [/x] ", part)} - {"instances", "cores"}
    explained = set(re.findall(r"^- \*\*([^*]+)\*\*", page, re.MULTILINE))
    _expect(words == explained, f"the formula has {sorted(words)}, and what is explained is {sorted(explained)}")


def the_trace(text: str) -> None:
    """The names are those that spans get."""
    source = (ROOT / "elastic_jobs" / "telemetry" / "recording.py").read_text(encoding="utf-8")
    for line in text.splitlines():
        name = re.sub("<name>", "...", _COLUMN.split(line.strip())[0])
        fixed = name.removesuffix("...")
        _expect(f'"{fixed}' in source, f"no span is called {name}")


def the_demo(text: str) -> None:
    """Each line is one that the demo says; tests/e2e/test_demo.py runs it."""
    tables = {f"{database}: {', '.join(names)}" for database, names in EXPECTED_TABLES.items()}
    for line in text.splitlines():
        said = re.sub(r"^\d+\. ", "", line.strip())
        bar = re.fullmatch(r"step\d ━+ (\d+)/\1 Succeeded 0:00:\d\d", said)
        end = said.startswith("The tutorial ran to its end in ")
        known = bar or end or said in tables or is_said(said, "local/demo", filled=ANYTHING)
        _expect(not said or bool(known), f"the demo does not say: {said}")


def what_serve_says(text: str) -> None:
    """Each line is one of ``make serve``."""
    for line in text.splitlines():
        _expect(is_said(line, "local", filled=ANYTHING), f"make serve does not say: {line}")


def _console() -> Console:
    return Console(
        file=io.StringIO(), width=80, height=25, force_terminal=True, color_system=None, legacy_windows=False
    )


def bars_on_a_terminal(text: str) -> None:
    """What a terminal of 80 columns shows of such a run."""
    tally = re.findall(r"(\d+) (\w+)", text.splitlines()[3])
    numbers = {word: int(number) for number, word in tally}
    states = {
        Lifecycle.SUCCEEDED: numbers["succeeded"],
        Lifecycle.FAILED: numbers["failed"],
        Lifecycle.IN_PROGRESS: numbers["running"],
        Lifecycle.CREATED: numbers["waiting"],
    }
    steps = (
        StepState(number=1, name="prepare", lifecycle=Lifecycle.SUCCEEDED, targets={Lifecycle.SUCCEEDED: 500}),
        StepState(number=2, name="check", lifecycle=Lifecycle.WAITING_FOR_CHILD_JOB_EXECUTIONS, targets=states),
        StepState(number=3, name="report", lifecycle=Lifecycle.CREATED, targets={}),
    )
    console = _console()
    console.print(Bars(console, "nightly  run fc07bb72").picture(Snapshot(run={}, steps=steps, seconds=20)))
    _compare(text, console)


def errors_at_the_end(text: str) -> None:
    """The counts and the groups of errors as a terminal of 80 columns shows them."""
    targets = {Lifecycle.SUCCEEDED: 449, Lifecycle.FAILED: 51}
    _expect(f"500 targets: {counts(targets)}\n" in text, f"the second step has {counts(targets)}")
    session, console = Session(), _console()
    session.printer.console = console
    missing = "Command failed: Invalid object name {}. (Msg 208)"
    groups = [
        _group(50, 8134, *2 * ("Command failed: Divide by zero error encountered. (Msg 8134)",), "database437"),
        _group(1, 208, missing.format("'...'"), missing.format("'dbo.Missing'"), "database42"),
    ]
    print_groups(session, groups, len(groups))
    begin, end = text.index("\nErrors"), text.index("\nWhat was said")
    _compare(text[begin:end], console)
    for command in re.findall(r"elastic-jobs .*", text):
        check_shell(command)


def _group(targets: int, number: int, message: str, example: str, database: str) -> dict[str, object]:
    place = {"serverName": "targetserver", "databaseName": database, "stepName": "check", "message": example}
    return {"targets": targets, "errorNumber": number, "message": message, "example": place}


def _compare(text: str, console: Console) -> None:
    assert isinstance(console.file, io.StringIO)
    shown = [line.rstrip() for line in console.file.getvalue().splitlines()]
    written = [line.rstrip() for line in text.splitlines()]
    _expect(shown == written, "a terminal shows it so:\n" + "\n".join(shown))


BY_HAND: dict[tuple[str, str], Callable[[str], None]] = {
    ("README.md", "timer ──► due jobs"): the_picture,
    ("README.md", "make demo"): check_shell,
    ("README.md", "9. Ask the target databases"): the_demo,
    ("README.md", "make serve"): check_shell,
    ("CONTRIBUTING.md", "function_app.py"): the_tour,
    ("docs/cli.md", "nightly  run fc07bb72  20 s"): bars_on_a_terminal,
    ("docs/cli.md", "nightly  run fc07bb72  Failed"): errors_at_the_end,
    ("docs/deploy.md", "main.bicep"): the_templates,
    ("docs/job-database.md", "mssql+pyodbc://"): job_database_urls,
    ("docs/performance.md", "make bench "): commands_and_what_they_do,
    ("docs/quickstart.md", "The management API listens"): what_serve_says,
    ("docs/scale.md", "start lag + planning"): the_model,
    ("docs/telemetry.md", "job <name>"): the_trace,
}
"""The check of each such block, by its page and how it begins."""


def by_hand(page: str, text: str) -> Callable[[str], None] | None:
    """The check of a block; None when nobody wrote one."""
    for (of, begin), check in BY_HAND.items():
        if of == page and text.startswith(begin):
            return check
    return None


def unused() -> list[tuple[str, str]]:
    """Checks whose block is not there any more."""
    return [
        (page, begin)
        for page, begin in BY_HAND
        if not any(block.text.startswith(begin) for block in PAGES[page].blocks)
    ]
