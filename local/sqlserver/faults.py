"""Misbehaviour on demand: rules that say which login or statement goes wrong, how, and how often.

A rule is a kind and a point at which it strikes:

=======  ======================================  ==========================================================
kind     at                                      effect
=======  ======================================  ==========================================================
error    login, before, after                    an error instead of the login or reply; severity >= 20 also
                                                 ends the connection. ``after``: the statement was executed
pause    login                                   serverless: 40613 until ``seconds`` after the first attempt
drop     connect, login, before, during, after   the connection is cut (``reset``: RST instead of FIN);
                                                 ``during``: at the first result or after ``seconds``;
                                                 ``after``: executed, the reply is never sent
slow     connect, login, before, after           ``seconds`` of delay; ``after`` delays the reply
stall    connect, login, before, after           accepted and never answered, not even ATTENTION
kill     login, before, during, after            the whole emulator process dies (SIGKILL)
=======  ======================================  ==========================================================
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from local.sqlserver.contract import Message

POINTS = {
    "error": ("login", "before", "after"),
    "pause": ("login",),
    "drop": ("connect", "login", "before", "during", "after"),
    "slow": ("connect", "login", "before", "after"),
    "stall": ("connect", "login", "before", "after"),
    "kill": ("login", "before", "during", "after"),
}
STATEMENT_POINTS = ("before", "during", "after")

# number: (severity, state, text), as Azure SQL words them; {server}, {database} and {user} are filled in.
KNOWN_ERRORS: Mapping[int, tuple[int, int, str]] = {
    1205: (13, 51, "Transaction (Process ID 0) was deadlocked on lock resources with another process and has been "
                   "chosen as the deadlock victim. Rerun the transaction."),
    4060: (11, 1, 'Cannot open database "{database}" requested by the login. The login failed.'),
    10928: (20, 1, "Resource ID : 1. The request limit for the database is 30 and has been reached. "
                   "See 'http://go.microsoft.com/fwlink/?LinkId=267637' for assistance."),
    10929: (20, 1, "Resource ID: 1. The request minimum guarantee is 0, maximum limit is 30 and the current usage for "
                   "the database is 30. However, the server is currently too busy to support requests greater than 0 "
                   "for this database."),
    18456: (14, 1, "Login failed for user '{user}'."),
    18487: (14, 1, "Login failed for user '{user}'.  Reason: The password of the account has expired."),
    40197: (17, 1, "The service has encountered an error processing your request. Please try again. Error code 40166."),
    40501: (20, 1, "The service is currently busy. Retry the request after 10 seconds. Code: 0."),
    40532: (11, 1, "Cannot open server '{server}' requested by the login.  The login failed."),
    40544: (20, 1, "The database has reached its size quota. Partition or delete data, drop indexes, or consult the "
                   "documentation for possible resolutions."),
    40549: (16, 1, "Session is terminated because you have a long-running transaction. "
                   "Try shortening your transaction."),
    40613: (20, 1, "Database '{database}' on server '{server}' is not currently available.  Please retry the "
                   "connection later.  If the problem persists, contact customer support, and provide them the session "
                   "tracing ID."),
    40615: (14, 1, "Cannot open server '{server}' requested by the login. Client with IP address '127.0.0.1' is not "
                   "allowed to access the server."),
    49918: (16, 1, "Cannot process request. Not enough resources to process request. Please retry you request later."),
    49919: (16, 1, "Cannot process create or update request. Too many create or update operations in progress."),
    49920: (16, 1, "Cannot process request. Too many operations in progress. Please retry later."),
}  # fmt: skip


class FaultError(ValueError):
    """A rule makes no sense; the sentence says why."""


@dataclass(frozen=True)
class Fault:
    """A rule. server, database and login are names or patterns with * and ?, compared without case.

    text: substring that the statement must contain (statement points only). count: how many times it strikes (None =
    unlimited). skip: how many matches pass unharmed first. seconds: a delay, or the length of a pause.
    """

    kind: str
    at: str
    server: str = "*"
    database: str = "*"
    login: str = "*"
    text: str = ""
    count: int | None = None
    skip: int = 0
    number: int = 0
    severity: int | None = None
    state: int | None = None
    message: str | None = None
    seconds: float = 0.0
    reset: bool = False

    def __post_init__(self) -> None:
        if self.kind not in POINTS:
            raise FaultError(f"There is no fault kind '{self.kind}'; known are {', '.join(POINTS)}.")
        if self.at not in POINTS[self.kind]:
            raise FaultError(
                f"A fault of kind '{self.kind}' strikes at {', '.join(POINTS[self.kind])}, not '{self.at}'."
            )
        if self.text and self.at not in STATEMENT_POINTS:
            raise FaultError(f"A fault at '{self.at}' has no statement yet, so it cannot match on text.")
        if self.kind == "error" and self.number <= 0:
            raise FaultError("A fault of kind 'error' needs an error number.")
        if self.kind in ("slow", "pause") and self.seconds <= 0:
            raise FaultError(f"A fault of kind '{self.kind}' needs seconds above 0.")

    @classmethod
    def from_json(cls, item: Mapping[str, Any]) -> Fault:
        """FaultError naming an unknown field, a missing one or a wrong type."""
        fields = {field.name: field for field in dataclasses.fields(cls)}
        unknown = sorted(set(item) - set(fields))
        if unknown:
            raise FaultError(f"A fault has no field '{unknown[0]}'; known are {', '.join(fields)}.")
        for name, value in item.items():
            _check_type(name, fields[name].type, value)
        try:
            return cls(**item)
        except TypeError as error:
            raise FaultError(f"The fault cannot be read: {error}.") from error

    def applies_to(self, server: str, database: str, login: str, text: str) -> bool:
        return (
            _fits(self.server, server)
            and _fits(self.database, database)
            and _fits(self.login, login)
            and self.text in text
        )

    def error(self, server: str, database: str, user: str) -> Message:
        """The message of kinds error and pause, with the names filled in."""
        number = self.number or 40613
        severity, state, text = KNOWN_ERRORS.get(number, (16, 1, f"Error {number} was asked for by a fault rule."))
        names = {"server": server.split(".", 1)[0], "database": database, "user": user}
        return Message(
            number,
            severity if self.severity is None else self.severity,
            state if self.state is None else self.state,
            1,
            text.format(**names) if self.message is None else self.message,
        )


_TYPES: Mapping[object, tuple[type, ...]] = {
    "str": (str,), "int": (int,), "float": (int, float), "bool": (bool,), "int | None": (int, type(None)),
    "str | None": (str, type(None)),
}  # fmt: skip


def _check_type(name: str, annotation: object, value: object) -> None:
    if not isinstance(value, _TYPES[annotation]) or (isinstance(value, bool) and annotation != "bool"):
        raise FaultError(f"The fault's field '{name}' must be of type {annotation}, not {value!r}.")


def _fits(pattern: str, name: str) -> bool:
    return pattern == "*" or fnmatchcase(name.lower(), pattern.lower())


class _Armed:
    """A rule in force: how often it may still strike, and when each paused database was first asked for."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.seen = 0
        self.hits = 0
        self.first_attempts: dict[tuple[str, str], float] = {}

    def strikes(self, now: float, server: str, database: str) -> bool:
        if self.fault.kind == "pause":
            first = self.first_attempts.setdefault((server.lower(), database.lower()), now)
            if now - first >= self.fault.seconds:
                return False
        self.seen += 1
        if self.seen <= self.fault.skip or (self.fault.count is not None and self.hits >= self.fault.count):
            return False
        self.hits += 1
        return True


class FaultBook:
    """The rules in force; safe to use from any thread, and nearly free while there are none."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._armed: dict[int, _Armed] = {}
        self._next_id = 1

    def add(self, fault: Fault) -> int:
        """Put a rule in force; the id removes it again."""
        with self._lock:
            number, self._next_id = self._next_id, self._next_id + 1
            self._armed[number] = _Armed(fault)
        return number

    def remove(self, number: int) -> bool:
        """False when there is no such rule."""
        with self._lock:
            return self._armed.pop(number, None) is not None

    def clear(self) -> None:
        with self._lock:
            self._armed.clear()

    def as_json(self) -> list[dict[str, object]]:
        """Every rule with its id and how often it struck."""
        with self._lock:
            return [
                {"id": number, "hits": armed.hits, **dataclasses.asdict(armed.fault)}
                for number, armed in self._armed.items()
            ]

    def strike(
        self, points: tuple[str, ...], server: str, database: str = "", login: str = "", text: str = ""
    ) -> list[Fault]:
        """The rules that strike here and now, oldest first; each is counted."""
        if not self._armed:
            return []
        now = self._clock()
        with self._lock:
            return [
                armed.fault
                for armed in self._armed.values()
                if armed.fault.at in points
                and armed.fault.applies_to(server, database, login, text)
                and armed.strikes(now, server, database)
            ]
