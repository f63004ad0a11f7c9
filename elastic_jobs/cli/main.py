"""The command ``elastic-jobs``."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from elastic_jobs.cli.commands import agent, context, credential, doctor, execution, files, group, job, moving, step
from elastic_jobs.cli.commands import run as one_off
from elastic_jobs.cli.errors import ExitCode

_HELP = (
    "Run T-SQL over many databases from a terminal.\n\n"
    "Sign in with 'elastic-jobs login'; 'elastic-jobs doctor' finds what is wrong with a set-up. Results go to "
    "standard output, everything else to standard error.\n\n"
    "Exit codes: 0 succeeded, 1 failed, 2 wrong usage, 3 canceled or timed out, 4 no access, 130 left with Ctrl-C."
)

app = typer.Typer(
    name="elastic-jobs",
    help=_HELP,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if not wanted:
        return
    from importlib.metadata import PackageNotFoundError, version  # not for every command: it takes its time

    try:
        typer.echo(version("elastic-jobs"))
    except PackageNotFoundError:
        typer.echo("not installed as a package")
    raise typer.Exit


@app.callback()
def root(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Tell the version.")
    ] = False,
) -> None:
    """Options before any command."""
    del show_version


root.__doc__ = None  # the help is that of the app
app.add_typer(agent.app, name="agent")
app.add_typer(group.app, name="group")
app.add_typer(credential.app, name="credential")
app.add_typer(job.app, name="job")
app.add_typer(step.app, name="step")
app.add_typer(execution.app, name="execution")
one_off.register(app)
context.register(app)
doctor.register(app)
files.register(app)
moving.register(app)


def run() -> None:
    """The entry point: no traceback for people, and an exit code for the shell."""
    for stream in (sys.stdout, sys.stderr):
        # What the terminal's encoding does not have is written as an escape instead of ending the command.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="elastic-jobs")
    except Exception as error:
        if os.environ.get("ELASTIC_JOBS_DEBUG"):
            raise
        said = f"{type(error).__name__}: {error}"
        sys.stderr.write(f"This should not have happened: {said}. Set ELASTIC_JOBS_DEBUG=1 to see where; report it.\n")
        sys.exit(ExitCode.FAILED)


if __name__ == "__main__":
    run()
