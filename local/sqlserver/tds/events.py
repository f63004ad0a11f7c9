"""Events of the engine into tokens of a reply."""

from __future__ import annotations

from local.sqlserver.contract import Column, Columns, DatabaseChanged, Done, Event, Message, Row
from local.sqlserver.tds import tokens
from local.sqlserver.tds.encode import ColumnCodec, EncodeError, codec_for, encode_row
from local.sqlserver.tds.reply import ReplyStream
from local.sqlserver.tds.tokens import DoneStatus

# Errors of this severity and above end the connection, as on the server.
FATAL_SEVERITY = 20
# Number of the errors that the wire itself reports (a value that does not fit its column, an engine that crashed).
WIRE_ERROR = 50000


class EventWriter:
    """One batch, or one call of an RPC (in_procedure: DONEINPROC instead of DONE).

    first_error: number of the first error message, for the journal. fatal: the connection must end after the reply.
    """

    def __init__(self, stream: ReplyStream, server: str, database: str, *, in_procedure: bool) -> None:
        self._stream, self._server, self._database = stream, server, database
        self._in_procedure = in_procedure
        self._columns: tuple[Column, ...] = ()
        self._codecs: list[ColumnCodec] = []
        self._open_error = False
        self.first_error: int | None = None
        self.fatal = False

    def write(self, event: Event) -> None:
        """EncodeError when a row does not fit its columns; Interrupted when the client does not want more."""
        if isinstance(event, Row):
            self._stream.write(encode_row(self._columns, self._codecs, event.values))
        elif isinstance(event, Columns):
            self._begin_result(event)
        elif isinstance(event, Done):
            self._done(event)
        elif isinstance(event, Message):
            self.message(event)
        elif isinstance(event, DatabaseChanged):
            self._stream.write(tokens.database_changed(event.name, self._database, self._server))
            self._database = event.name

    def message(self, item: Message) -> None:
        self._stream.write(tokens.message(item, self._server))
        if item.severity > 10:
            self._open_error = True
            self.first_error = self.first_error or item.number
            self.fatal = self.fatal or item.severity >= FATAL_SEVERITY

    def take_status(self) -> int:
        """The error bit for the DONE that ends the statement an error belongs to."""
        status = DoneStatus.ERROR if self._open_error else DoneStatus.FINAL
        self._open_error = False
        return status

    def _begin_result(self, event: Columns) -> None:
        codecs = [codec_for(column) for column in event.columns]
        if self._open_error:
            # The failed statement before this result set needs its own end, or the client takes the error for ours.
            self._done(Done())
        self._columns, self._codecs = event.columns, codecs
        self._stream.write(tokens.colmetadata(event.columns, codecs))

    def _done(self, event: Done) -> None:
        command = tokens.COMMAND_SELECT if event.is_select else 0
        status = self.take_status()
        if self._in_procedure:
            self._stream.write(tokens.done_in_proc(status | DoneStatus.MORE, event.count, command))
        else:
            self._stream.hold_done(status, event.count, command)

    def encode_error(self, error: EncodeError) -> None:
        """Say in the reply itself what the engine got wrong, instead of breaking the stream."""
        self.message(Message(WIRE_ERROR, 16, 1, 1, f"Emulator: {error}"))
