"""What every command works with: a client of the chosen context, a printer, and a way to talk to people.

``command`` registers a function as a command. The function's first parameter is the ``Session``; the options that all
commands have are added, what goes wrong becomes a sentence and an exit code, and its example stands in its help.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any, Concatenate, ParamSpec

import typer
from rich.text import Text

from elastic_jobs.cli.client import Client
from elastic_jobs.cli.contexts import Context, Contexts, chosen
from elastic_jobs.cli.errors import ApiError, CliError, UsageError
from elastic_jobs.cli.output import Format, Printer, make_console, safe
from elastic_jobs.cli.tokens import token_source

_P = ParamSpec("_P")
_PANEL = "Options of all commands"
_COMMON = {
    "output": (
        Annotated[Format, typer.Option("--output", "-o", help="How results are printed.", rich_help_panel=_PANEL)],
        Format.TABLE,
    ),
    "context": (
        Annotated[
            str | None,
            typer.Option(
                "--context", metavar="NAME", help="A context other than the current one.", rich_help_panel=_PANEL
            ),
        ],
        None,
    ),
    "quiet": (
        Annotated[bool, typer.Option("--quiet", "-q", help="Results and errors only.", rich_help_panel=_PANEL)],
        False,
    ),
}


class Session:
    """One call of the command."""

    def __init__(self, *, form: Format = Format.TABLE, context: str | None = None, quiet: bool = False) -> None:
        self.printer = Printer(form)
        self.err = make_console(sys.stderr)
        self.quiet = quiet
        self._wanted = context
        self._client: Client | None = None

    @property
    def contexts(self) -> Contexts:
        """The contexts of the user."""
        return Contexts.of_user(os.environ)

    def context(self) -> Context:
        """The context of this call. Raises as ``chosen`` does."""
        return chosen(self.contexts, os.environ, self._wanted)

    @property
    def client(self) -> Client:
        """The client of the chosen context; made when it is first asked for."""
        if self._client is None:
            context = self.context()
            self._client = Client(context.endpoint, token_source(context))
        return self._client

    def close(self) -> None:
        """Let go of what was opened."""
        if self._client is not None:
            self._client.close()

    def note(self, text: str) -> None:
        """Tell people what happened, on standard error; programs and the quiet are not told."""
        if self.err.is_terminal and not self.quiet:
            self.err.print(Text(safe(text)))

    def warn(self, text: str) -> None:
        """Tell everybody, on standard error."""
        self.err.print(Text(safe(text), style="yellow" if self.err.is_terminal else ""))

    def confirm(self, question: str, *, yes: bool) -> None:
        """Go on only when it is wanted.

        Raises:
            UsageError: nobody is there who could be asked. typer.Abort: the answer is no.
        """
        if yes:
            return
        if not sys.stdin.isatty():
            raise UsageError(f"{question} Nobody can be asked here; say --yes.")
        typer.confirm(safe(question), abort=True, err=True)


def command(
    app: typer.Typer, name: str, *, example: str, panel: str | None = None
) -> Callable[[Callable[Concatenate[Session, _P], None]], Callable[Concatenate[Session, _P], None]]:
    """Register a function as the command ``name`` of ``app``.

    example: one or more lines as they are typed, for the help. panel: the heading under which the list of commands
    has it.
    """

    def register(
        function: Callable[Concatenate[Session, _P], None],
    ) -> Callable[Concatenate[Session, _P], None]:
        app.command(name, epilog=_examples(example), rich_help_panel=panel)(_callable(function))
        return function

    return register


def _hint(error: CliError) -> str:
    """What to type, where the API can only say what to do."""
    if isinstance(error, ApiError) and error.code == "JobAgentNotFound":
        return " Type: elastic-jobs agent create NAME --location LOCATION"
    return ""


def _examples(example: str) -> str:
    lines = inspect.cleandoc(example).replace("[", "\\[").splitlines()
    several = sum(not line.startswith(" ") for line in lines) > 1
    return "\n".join([f"[bold]Example{'s' if several else ''}[/bold]", *lines])


def _callable(function: Callable[..., None]) -> Callable[..., None]:
    """The function as Typer calls it: without the session, with the common options."""
    signature = inspect.signature(function, eval_str=True)
    own = list(signature.parameters.values())[1:]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
        for name, (annotation, default) in _COMMON.items()
    ]

    def call(**given: Any) -> None:
        session = Session(form=given.pop("output"), context=given.pop("context"), quiet=given.pop("quiet"))
        try:
            function(session, **given)
        except CliError as error:
            session.err.print(Text(safe(f"{error}{_hint(error)}"), style="red" if session.err.is_terminal else ""))
            raise typer.Exit(error.exit_code) from error
        finally:
            session.close()

    parameters = [*(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own), *added]
    # As paragraphs: Typer keeps each line of the source a line of its own.
    paragraphs = (inspect.getdoc(function) or "").replace("[", "\\[").split("\n\n")
    call.__doc__ = "\n\n".join(" ".join(each.split()) for each in paragraphs)
    call.__name__ = getattr(function, "__name__", "command")
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what Typer reads
    call.__annotations__ = {each.name: each.annotation for each in parameters}
    return call
