"""Running one statement: faults before, in and after it, the journal around it, its events into the reply."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator, Sequence
from typing import Protocol

from local.sqlserver.contract import Done, Event, Message, Parameter, Session, SqlError
from local.sqlserver.faults import STATEMENT_POINTS, Fault
from local.sqlserver.journal import Connection as Who
from local.sqlserver.tds.encode import EncodeError
from local.sqlserver.tds.events import WIRE_ERROR, EventWriter
from local.sqlserver.tds.host import Endpoint
from local.sqlserver.tds.reply import Interrupted, ReplyStream

log = logging.getLogger(__name__)


class Line(Protocol):
    """The connection, as far as a statement may harm it. Both are safe to call from worker threads."""

    def cut(self, *, reset: bool) -> None: ...

    def cut_later(self, seconds: float, *, reset: bool) -> None: ...


def die() -> None:
    """The kill fault: no clean-up, as when a machine loses power."""
    os.kill(os.getpid(), signal.SIGKILL)


class StatementRunner:
    """Runs statements of one connection on worker threads, one at a time."""

    def __init__(self, endpoint: Endpoint, line: Line) -> None:
        self._endpoint, self._line = endpoint, line

    def run(
        self,
        session: Session,
        who: Who,
        stream: ReplyStream,
        text: str,
        parameters: Sequence[Parameter] = (),
        *,
        in_procedure: bool = False,
    ) -> EventWriter:
        """Execute and journal; Interrupted when the client cancelled or left, or a fault cut the connection."""
        shared = self._endpoint.shared
        writer = EventWriter(stream, self._endpoint.name, session.database, in_procedure=in_procedure)
        faults = shared.faults.strike(STATEMENT_POINTS, self._endpoint.name, who.database, who.user, text)
        record = shared.journal.batch_started(who, text, len(parameters))
        outcome = "dropped"
        try:
            self._run(session, stream, writer, text, parameters, faults)
            outcome = "error" if writer.first_error else "ok"
        except Interrupted:
            outcome = "cancelled" if stream.cancelled and not stream.closed else "dropped"
            raise
        except _Kill:
            outcome = "killed"
        finally:
            shared.journal.batch_ended(record, outcome, writer.first_error)
        if outcome == "killed":
            die()
        return writer

    def _run(
        self,
        session: Session,
        stream: ReplyStream,
        writer: EventWriter,
        text: str,
        parameters: Sequence[Parameter],
        faults: list[Fault],
    ) -> None:
        stream.check()
        for fault in faults:
            if fault.at == "before" and self._before(fault, session, stream, writer):
                return
        during = [fault for fault in faults if fault.at == "during"]
        after = [fault for fault in faults if fault.at == "after"]
        for fault in during:
            if fault.seconds:
                self._line.cut_later(fault.seconds, reset=fault.reset)
        if after:
            stream.hold()
        self._execute(session, stream, writer, text, parameters, [f for f in during if not f.seconds])
        for fault in after:
            self._after(fault, session, stream, writer)
        if after:
            stream.release()

    def _execute(
        self,
        session: Session,
        stream: ReplyStream,
        writer: EventWriter,
        text: str,
        parameters: Sequence[Parameter],
        at_first_event: list[Fault],
    ) -> None:
        events = session.execute(text, parameters)
        try:
            for event in events:
                writer.write(event)
                for fault in at_first_event:
                    self._harm(fault, stream)
        except EncodeError as error:
            writer.encode_error(error)
        except SqlError as error:
            writer.message(error.message())
        except (Interrupted, _Kill):
            raise
        except Exception as error:
            log.exception("The engine failed on: %.500s", text)
            writer.message(Message(WIRE_ERROR, 16, 1, 1, f"Emulator: the engine failed: {error!r}"))
        finally:
            _close(events)
        for fault in at_first_event:  # A statement without any event still gets its fault.
            self._harm(fault, stream)
        stream.check()

    def _before(self, fault: Fault, session: Session, stream: ReplyStream, writer: EventWriter) -> bool:
        """True when the statement shall not run."""
        if fault.kind == "slow":
            stream.wait(fault.seconds)
            return False
        if fault.kind == "error":
            writer.message(fault.error(self._endpoint.name, session.database, session.login))
            writer.write(Done())
            return True
        self._harm(fault, stream)
        return True

    def _after(self, fault: Fault, session: Session, stream: ReplyStream, writer: EventWriter) -> None:
        if fault.kind == "slow":
            stream.wait(fault.seconds)
        elif fault.kind == "error":
            writer.message(fault.error(self._endpoint.name, session.database, session.login))
            writer.write(Done())
        else:
            self._harm(fault, stream)

    def _harm(self, fault: Fault, stream: ReplyStream) -> None:
        """The kinds after which there is no reply."""
        if fault.kind == "kill":
            raise _Kill
        if fault.kind == "stall":
            stream.wait_closed()
        self._line.cut(reset=fault.reset)
        stream.close()
        raise Interrupted


class _Kill(Exception):  # noqa: N818 - a control-flow signal, not an error
    """The statement reached the point where the emulator shall die; the journal is written first."""


def _close(events: Iterator[Event]) -> None:
    close = getattr(events, "close", None)
    if close is not None:
        close()
