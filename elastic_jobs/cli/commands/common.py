"""Arguments and options that several commands have, and how shells complete their values."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from elastic_jobs.cli.client import Client, path
from elastic_jobs.cli.contexts import Contexts, chosen
from elastic_jobs.cli.errors import ApiError, CliError, UsageError
from elastic_jobs.cli.tokens import token_source

COMPLETION_SECONDS = 2.0
"""Nobody waits longer for a shell to complete a word."""
_MOST_COMPLETIONS = 200


def completing(*segments: str) -> Callable[[str], list[str]]:
    """Completes names of a list of the API; when it cannot be asked there is nothing to complete."""

    def complete(incomplete: str) -> list[str]:
        found: list[str] = []
        try:
            context = chosen(Contexts.of_user(os.environ), os.environ, None)
            with Client(context.endpoint, token_source(context), seconds=COMPLETION_SECONDS) as client:
                for item in client.pages(path(*segments)):
                    if str(item["name"]).casefold().startswith(incomplete.casefold()):
                        found.append(str(item["name"]))
                    if len(found) >= _MOST_COMPLETIONS:
                        break
        except CliError:
            pass
        return found

    return complete


JobName = Annotated[str, typer.Argument(metavar="JOB", help="Name of the job.", autocompletion=completing("jobs"))]
StepName = Annotated[str, typer.Argument(metavar="STEP", help="Name of the step.")]
GroupName = Annotated[
    str,
    typer.Argument(metavar="GROUP", help="Name of the target group.", autocompletion=completing("targetGroups")),
]
CredentialName = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the credential.", autocompletion=completing("credentials"))
]
RunId = Annotated[
    str | None,
    typer.Argument(metavar="RUN", help="Id of the run or its beginning; without it the job's latest run."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Watching = Annotated[bool, typer.Option("--watch", "-w", help="Follow the run to its end; its end is the exit code.")]
CancelOnInterrupt = Annotated[bool, typer.Option("--cancel-on-interrupt", help="Ctrl-C cancels the run.")]


def read_text(file: str) -> str:
    """A file, or standard input for ``-``.

    Raises:
        UsageError: it cannot be read, is empty, or is no UTF-8.
    """
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is no UTF-8 (at byte {error.start}); save it as UTF-8.") from error
    if not text.strip():
        raise UsageError(f"{'Standard input' if file == '-' else file} is empty; a script is needed.")
    return text


def read_secret(what: str, *, variable: str | None, stdin: bool) -> str:
    """A secret from an environment variable, from standard input, or asked for twice at a terminal.

    Raises:
        UsageError: it is not there, and nobody can be asked.
    """
    if variable is not None:
        found = os.environ.get(variable, "")
        if not found:
            raise UsageError(f"The environment variable {variable} is not set; set it to the {what}.")
        return found
    if stdin:
        found = sys.stdin.read().rstrip("\r\n")
        if not found:
            raise UsageError(f"Standard input is empty; the {what} was expected there.")
        return found
    if not sys.stdin.isatty():
        raise UsageError(f"Nobody can be asked for the {what} here; name a variable or send it to standard input.")
    return str(typer.prompt(what.capitalize(), hide_input=True, confirmation_prompt=True, err=True))


def pairs(given: list[str], option: str) -> dict[str, str]:
    """``name=value`` words as a dictionary.

    Raises:
        UsageError: one of them has no ``=``.
    """
    found = {}
    for each in given:
        name, sign, value = each.partition("=")
        if not sign or not name:
            raise UsageError(f"{option} is '{each}'; write it as name=value.")
        found[name] = value
    return found


def refuse_existing(client: Client, where: str, sentence: str) -> None:
    """Keep a command that creates from changing what is there.

    Raises:
        UsageError: the sentence; something is at this path already.
    """
    try:
        client.get(where)
    except ApiError as error:
        if error.code != "ResourceNotFound":
            raise
    else:
        raise UsageError(sentence)


def body_of(resource: dict[str, Any]) -> dict[str, Any]:
    """The properties of a resource as they can be sent back."""
    return dict(resource.get("properties") or {})
