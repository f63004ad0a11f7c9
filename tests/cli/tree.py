"""The tree of commands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer.main

from elastic_jobs.cli.main import app

ROOT_COMMAND = typer.main.get_command(app)
COMMON = frozenset({"output", "context", "quiet"})
"""Options that all commands have."""


def _commands(node: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    children = getattr(node, "commands", None)
    if children is None:
        yield words, node
        return
    for name, child in children.items():
        yield from _commands(child, (*words, name))


ALL = dict(_commands(ROOT_COMMAND))
"""All commands by their words: ``("job", "start")``."""
