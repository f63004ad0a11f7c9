"""Errors of target servers as the driver reports them: what kind of trouble they are, and how people are told."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import pyodbc

from elastic_jobs.domain.outcome import ErrorClass
from elastic_jobs.domain.sql_errors import ERROR_CLASSES, SQLSTATE_CLASSES
from elastic_jobs.errors import ElasticJobsError
from elastic_jobs.targets.odbc import Diagnostic

CANNOT_OPEN_DATABASE = frozenset({911, 916, 4060, 4064})
"""The login is known to the server, but not to the database, or there is no such database."""
_BLOCKED_BY_FIREWALL = frozenset({40615, 40914})
_TOKEN_IS_OVER = 37396

_DRIVER_STATES = frozenset({"08001", "08003", "08007", "08S01", "HYT00", "HYT01", "HY008", "IM002"})
"""States whose number is a socket's or the driver's, not SQL Server's."""

_PATIENCE_HELPS = frozenset({ErrorClass.TRANSIENT, ErrorClass.THROTTLED})

_SQLSTATE = re.compile(r"[0-9A-Z]{5}")
_NUMBER = re.compile(r"\((-?\d+)\) \(SQL\w+\)")
_PREFIX = re.compile(
    r"(?:\[[0-9A-Z]{5}\] )?(?:\[(?:Microsoft|ODBC Driver \d+ for SQL Server|SQL Server|unixODBC|Driver Manager)\] ?)*"
)
_NEXT_RECORD = re.compile(r";\s*\[[0-9A-Z]{5}\] \[Microsoft\]")
_CLOSED_BEFORE_LOGIN = "during handshakes before login"
_MAXIMUM_TEXT = 2048
"""Characters kept of an error's text; SQL Server's own limit for RAISERROR is 2,047."""


@dataclass(frozen=True)
class ServerError:
    """An error as the driver reported it. ``number`` is SQL Server's, None for the driver's own errors."""

    number: int | None
    sqlstate: str
    text: str

    @property
    def error_class(self) -> ErrorClass:
        if self.number is not None and self.number in ERROR_CLASSES:
            return ERROR_CLASSES[self.number]
        return SQLSTATE_CLASSES.get(self.sqlstate, ErrorClass.SCRIPT)

    @property
    def lost_connection(self) -> bool:
        """The connection is gone, or nobody answers on it."""
        return self.error_class is ErrorClass.OUTCOME_UNKNOWN

    @property
    def labelled(self) -> str:
        """The text, and the number where there is one: ``Divide by zero error encountered. (Msg 8134)``."""
        return f"{self.text} (Msg {self.number})" if self.number else self.sentence

    @property
    def sentence(self) -> str:
        """The text with a full stop, which the driver's own errors lack."""
        return self.text if self.text.endswith((".", "!", "?")) else self.text + "."


class TargetError(ElasticJobsError):
    """Something on a target server did not work; ``str()`` is the sentence for people."""

    def __init__(self, message: str, *, error_class: ErrorClass, number: int | None = None) -> None:
        super().__init__(message)
        self.error_class, self.number = error_class, number


def read(error: pyodbc.Error) -> ServerError:
    """Number, SQLSTATE and bare text of a driver error."""
    arguments = [str(argument) for argument in error.args]
    # pyodbc's own errors (HY106) have text and state in the opposite order.
    state = next((text for text in arguments if _SQLSTATE.fullmatch(text)), "")
    message = next((text for text in arguments if text != state), state)
    found = _NUMBER.search(message)
    number = int(found[1]) if found and state not in _DRIVER_STATES else 0
    return ServerError(number if number > 0 else None, state, clean(message))


def read_diagnostic(record: Diagnostic) -> ServerError:
    """The same from a diagnostic record."""
    known = record.number > 0 and record.sqlstate not in _DRIVER_STATES
    return ServerError(record.number if known else None, record.sqlstate, clean(record.text))


def clean(message: str) -> str:
    """A driver's message without the names of driver and function around it, cut at 2,048 characters."""
    following = _NEXT_RECORD.search(message)
    text = message[: following.start()] if following else message
    # "(number) (SQLFunction)" ends the first record, whatever follows.
    found = _NUMBER.search(text)
    text = text[: found.start()] if found else text
    prefix = _PREFIX.match(text)
    text = (text[prefix.end() :] if prefix else text).strip()
    return text if len(text) <= _MAXIMUM_TEXT else text[:_MAXIMUM_TEXT] + "..."


def patience_helps(error: ServerError) -> bool:
    """Whether the same question may be answered a while later, on a new connection, where asking again does no harm."""
    return error.error_class in _PATIENCE_HELPS or error.lost_connection


def retry_connect(error: ServerError, tries: int) -> bool:
    """Whether connecting is tried again after ``tries`` failed tries, as far as the kind of error says.

    An unreachable server was already tried for the whole login timeout by the driver; one that closes the connection
    at once is reachable, but has no room. 4060 comes up during a failover,
    but mostly from a wrong name, so it gets one more try.
    """
    if error.number == 4060:
        return tries == 1
    if error.sqlstate in {"08001", "HYT00"}:
        return _CLOSED_BEFORE_LOGIN in error.text
    return patience_helps(error)


def connect_failure(
    error: ServerError, server: str, database: str, login: str, tries: int = 1, way_in: str = ""
) -> TargetError:
    """The sentence for a connection that could not be made.

    login: e.g. ``user 'jobuser'``. way_in: how that login would be let in, told when the server does not know it.
    """
    where = f"database '{database}' on server '{server}'"
    error_class = ErrorClass.TRANSIENT if error.lost_connection else error.error_class
    if error.sqlstate in {"08001", "08S01", "HYT00"}:
        if "certificate" in error.text.lower():
            sentence = (
                f"The certificate of server '{server}' could not be verified: {error.sentence}"
                " Check that the name belongs to the server and that its authority is trusted."
            )
        else:
            sentence = (
                f"Server '{server}' cannot be reached: {error.sentence} Check its name, its firewall and network rules,"
                " and the route from this app to it."
            )
    elif error.number in _BLOCKED_BY_FIREWALL:
        sentence = f"The firewall of server '{server}' refuses this app: {error.labelled} Allow its address or network."
    elif error.number in CANNOT_OPEN_DATABASE:
        sentence = (
            f"{login[:1].upper()}{login[1:]} cannot open {where}: {error.labelled} Check the database's"
            f" name, and that a user for this login exists in it.{_and(way_in)}"
        )
    elif error.number == _TOKEN_IS_OVER:
        sentence = f"The access token of {login} is over for {where}: {error.labelled} The next try takes a new one."
    elif error_class is ErrorClass.LOGIN:
        sentence = (
            f"Login failed for {login} to {where}: {error.labelled} Check the user name and password of the"
            f" credential, and that the user exists there.{_and(way_in)}"
        )
    elif error_class in _PATIENCE_HELPS:
        tried = f" Tried {tries} times." if tries > 1 else ""
        sentence = f"The {where} is not available: {error.labelled}{tried}"
    else:
        sentence = f"Connecting to {where} failed: {error.labelled}"
    return TargetError(sentence, error_class=error_class, number=error.number)


def _and(sentence: str) -> str:
    return f" {sentence}" if sentence else ""


def script_failure(error: ServerError, server: str, database: str, login: str = "") -> TargetError:
    """The sentence for an error while the script ran. login: who lacks a permission, e.g. ``user 'jobuser'``."""
    if error.lost_connection or (error.sqlstate in SQLSTATE_CLASSES and error.sqlstate in _DRIVER_STATES):
        return TargetError(
            f"The connection to database '{database}' on server '{server}' was lost while the script ran: outcome"
            f" unknown, the running statement may or may not have taken effect. ({error.sentence})",
            error_class=ErrorClass.OUTCOME_UNKNOWN,
            number=error.number,
        )
    missing = ""
    if login and error.error_class is ErrorClass.PERMISSION:
        missing = f" Grant what is missing to {login} in database '{database}' on server '{server}'."
    return TargetError(
        f"Command failed: {error.labelled}{missing}",
        error_class=error.error_class,
        number=error.number,
    )


def output_failure(error: ServerError, server: str, database: str, table: str) -> TargetError:
    """The sentence for an error while output was written."""
    where = f"output table {table} in database '{database}' on server '{server}'"
    if error.lost_connection:
        sentence = (
            f"The connection was lost while rows were written to {where}; none of them are kept. ({error.sentence})"
        )
        return TargetError(sentence, error_class=ErrorClass.TRANSIENT)
    return TargetError(
        f"Writing to {where} failed: {error.labelled}", error_class=error.error_class, number=error.number
    )


_SHORT_SECRET = 6


def redact(text: str, secrets: Iterable[str]) -> str:
    """The text without any of the secrets.

    A short one is only taken out where it stands by itself: cutting it out of other words would spell it to the reader.
    """
    for secret in secrets:
        if len(secret) >= _SHORT_SECRET:
            text = text.replace(secret, "***")
        elif secret:
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", text)
    return text
