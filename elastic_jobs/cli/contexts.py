"""Contexts: which endpoints the command knows, and how it signs in to each.

They stand in ``$XDG_CONFIG_HOME/elastic-jobs/contexts.json`` (``~/.config`` without that variable), readable by their
owner only. A context of Entra ID holds no token; one of a local stack names the file that does.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from elastic_jobs.cli.client import checked_endpoint
from elastic_jobs.cli.errors import NoAccess, UsageError

ENDPOINT, TOKEN, SCOPE, CONTEXT = (
    "ELASTIC_JOBS_ENDPOINT",
    "ELASTIC_JOBS_TOKEN",
    "ELASTIC_JOBS_SCOPE",
    "ELASTIC_JOBS_CONTEXT",
)
"""Environment variables."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """One endpoint, and exactly one way to sign in to it.

    scope: of Entra ID, such as ``api://.../.default``; tenant: its tenant when it is not the default one.
    token: kept as it is. file: the ``endpoint.json`` of a local stack, which names endpoint and token.
    """

    name: str
    endpoint: str = ""
    scope: str | None = None
    tenant: str | None = None
    token: str | None = field(default=None, repr=False)
    file: str | None = None

    @property
    def kind(self) -> str:
        """How it signs in, for people."""
        if self.file:
            return "local stack"
        return "token" if self.token else "Entra ID"


class Contexts:
    """The file of contexts. ``folder``: of this command's settings."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "contexts.json"
        self.current: str | None = None
        self.known: dict[str, Context] = {}
        self._read()

    @classmethod
    def of_user(cls, environ: Mapping[str, str]) -> Contexts:
        """Those of the user whose environment this is."""
        base = environ.get("XDG_CONFIG_HOME", "")
        folder = Path(base) if base.startswith("/") else Path(environ.get("HOME") or Path.home()) / ".config"
        return cls(folder / "elastic-jobs")

    def get(self, name: str) -> Context:
        """A context by its name.

        Raises:
            UsageError: there is none of this name.
        """
        if name not in self.known:
            known = ", ".join(sorted(self.known)) or "none yet"
            raise UsageError(f"There is no context '{name}' (there are: {known}); make one with 'elastic-jobs login'.")
        return self.known[name]

    def put(self, context: Context) -> None:
        """Add or replace a context, make it the current one, and save."""
        self.known[context.name] = context
        self.current = context.name
        self.save()

    def use(self, name: str) -> None:
        """Make a context the current one, and save."""
        self.current = self.get(name).name
        self.save()

    def remove(self, name: str) -> None:
        """Forget a context, and save."""
        self.get(name)
        del self.known[name]
        if self.current == name:
            self.current = None
        self.save()

    def save(self) -> None:
        """Write the file at once and whole, for its owner only.

        Raises:
            UsageError: it cannot be written.
        """
        content = {
            "current": self.current,
            "contexts": {
                name: {key: value for key, value in asdict(context).items() if value and key != "name"}
                for name, context in sorted(self.known.items())
            },
        }
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # mkstemp makes a file that only its owner reads, whatever the umask is.
            handle, partial = tempfile.mkstemp(dir=self.path.parent, prefix=".contexts-")
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(json.dumps(content, indent=2) + "\n")
            Path(partial).replace(self.path)
        except OSError as error:
            raise UsageError(f"{self.path} cannot be written ({error.strerror}); make its folder writable.") from error

    def _read(self) -> None:
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{self.path} cannot be read ({error}); repair or remove it.") from error
        names = {each.name for each in fields(Context)} - {"name"}
        try:
            content = json.loads(text)
            for name, values in content["contexts"].items():
                self.known[name] = Context(name=name, **{key: str(values[key]) for key in names & set(values)})
            current = content.get("current")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                f"{self.path} is damaged; remove it and sign in anew with 'elastic-jobs login'."
            ) from error
        self.current = current if current in self.known else None


def chosen(contexts: Contexts, environ: Mapping[str, str], name: str | None) -> Context:
    """The context of this call: the one that was named, else the environment's endpoint, else the current one.

    ``ELASTIC_JOBS_TOKEN`` goes with ``ELASTIC_JOBS_ENDPOINT``, and only without that with a context: a token never
    goes to an endpoint that it was not given for.

    Raises:
        UsageError: there is no such context. NoAccess: there is none at all, or no way to sign in to it.
    """
    endpoint, token = environ.get(ENDPOINT, ""), environ.get(TOKEN, "")
    if name is None and endpoint:
        scope = environ.get(SCOPE) or None
        if not token and scope is None:
            raise NoAccess(
                f"{ENDPOINT} names {endpoint} without a way to sign in; set {TOKEN} to a token, or {SCOPE} to a scope "
                "of Entra ID."
            )
        return Context(name=ENDPOINT, endpoint=checked_endpoint(endpoint), token=token or None, scope=scope)
    wanted = name or environ.get(CONTEXT) or contexts.current
    if wanted is None:
        raise NoAccess(f"No endpoint is known yet; sign in with 'elastic-jobs login', or set {ENDPOINT} and {TOKEN}.")
    context = with_endpoint(contexts.get(wanted))
    if token and not endpoint:
        return replace(context, token=token, file=None, scope=None)
    return context


def with_endpoint(context: Context) -> Context:
    """The context with what the file of its local stack says now.

    Raises:
        NoAccess: the file is not there, because the stack does not run.
    """
    if context.file is None:
        return replace(context, endpoint=checked_endpoint(context.endpoint))
    found = read_stack(Path(context.file))
    return replace(context, endpoint=checked_endpoint(found["api"]), token=found["token"])


def read_stack(file: Path) -> dict[str, Any]:
    """Endpoint and token of a local stack.

    Raises:
        NoAccess: the file is not there, or is not one of a stack.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return {"api": str(found["api"]), "token": str(found["token"])}
    except FileNotFoundError:
        raise NoAccess(f"{file} is not there: the local stack does not run. Start it with 'make serve'.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NoAccess(f"{file} does not name an endpoint and a token; start the local stack anew.") from error
