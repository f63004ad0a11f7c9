"""The decision about one LOGIN7: faults, the engine's verdict, the journal. Runs on a worker thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from local.sqlserver.contract import Message, Session, SqlError
from local.sqlserver.faults import Fault
from local.sqlserver.journal import Connection as Who
from local.sqlserver.tds.events import WIRE_ERROR
from local.sqlserver.tds.host import Endpoint
from local.sqlserver.tds.login7 import Login7
from local.sqlserver.tds.statement import die

log = logging.getLogger(__name__)

# How a journal names the user of an access token that was refused: the token itself is a secret.
UNKNOWN_TOKEN_USER = "<access token>"


@dataclass(frozen=True)
class Accepted:
    session: Session
    log_in: Callable[[], Session]


@dataclass(frozen=True)
class Refused:
    message: Message


@dataclass(frozen=True)
class Cut:
    """The connection ends without an answer; reset: with RST."""

    reset: bool


Verdict = Accepted | Refused | Cut


def decide(endpoint: Endpoint, login: Login7, who: Who, *, encrypted: bool, gone: threading.Event) -> Verdict:
    """Who's user, database and spid are filled in. gone: the client left, so a delay need not be waited out."""
    journal = endpoint.shared.journal
    who.app_name, who.database = login.app_name, login.database or "master"
    who.user = UNKNOWN_TOKEN_USER if login.token is not None else login.user
    for fault in endpoint.shared.faults.strike(("login",), endpoint.name, who.database, who.user):
        verdict = _strike(endpoint, fault, who, gone)
        if verdict is not None:
            return verdict
    if login.token is not None and not encrypted:
        return _refuse(endpoint, who, _clear_text_token())
    try:
        session = _log_in(endpoint, login)
    except SqlError as error:
        return _refuse(endpoint, who, error.message())
    except Exception as error:
        log.exception("The engine failed at a login to %s.", who.database)
        return _refuse(endpoint, who, Message(WIRE_ERROR, 16, 1, 1, f"Emulator: the engine failed: {error!r}"))
    who.user, who.database, who.spid = session.login, session.database, session.spid
    journal.login(who, "ok")
    return Accepted(session, lambda: _log_in(endpoint, login))


def _log_in(endpoint: Endpoint, login: Login7) -> Session:
    if login.token is not None:
        return endpoint.logical.login_with_token(login.token, login.database)
    return endpoint.logical.login(login.user, login.password, login.database)


def _clear_text_token() -> Message:
    text = (
        "Login failed for user '<token-identified principal>'. Reason: an access token is only accepted over an "
        "encrypted connection; set Encrypt=yes."
    )
    return Message(18456, 14, 1, 1, text)


def _refuse(endpoint: Endpoint, who: Who, message: Message) -> Refused:
    endpoint.shared.journal.login(who, "error", message.number)
    return Refused(message)


def _strike(endpoint: Endpoint, fault: Fault, who: Who, gone: threading.Event) -> Verdict | None:
    """None: the login goes on."""
    if fault.kind == "slow":
        gone.wait(fault.seconds)
        return None
    if fault.kind in ("error", "pause"):
        return _refuse(endpoint, who, fault.error(endpoint.name, who.database, who.user))
    endpoint.shared.journal.login(who, "killed" if fault.kind == "kill" else "dropped")
    if fault.kind == "kill":
        die()
    if fault.kind == "stall":
        gone.wait()
    return Cut(fault.reset)
