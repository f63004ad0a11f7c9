"""What a logged-in client may ask for: batches, RPCs, transactions, a reset. Runs on worker threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from local.sqlserver.contract import Event, Message, Parameter, Session, SqlError, SqlType
from local.sqlserver.journal import Connection as Who
from local.sqlserver.tds import describe, packets, rpc, tokens
from local.sqlserver.tds.declarations import declared_names
from local.sqlserver.tds.events import EventWriter
from local.sqlserver.tds.host import DescribesParameters, Endpoint, Resettable
from local.sqlserver.tds.packets import PacketType, ProtocolError
from local.sqlserver.tds.reply import Interrupted, ReplyStream
from local.sqlserver.tds.rpc import RpcCall, RpcParameter
from local.sqlserver.tds.statement import Line, StatementRunner
from local.sqlserver.tds.tokens import DoneStatus

_BEGIN, _COMMIT, _ROLLBACK = 5, 7, 8
_BEGIN_NEXT = 0x01


@dataclass(frozen=True)
class _Prepared:
    names: tuple[str, ...]
    statement: str


class Requests:
    """The state of one connection between requests: session, prepared handles, transaction descriptor."""

    def __init__(
        self, endpoint: Endpoint, line: Line, who: Who, session: Session, log_in: Callable[[], Session]
    ) -> None:
        self._endpoint, self._who, self._log_in = endpoint, who, log_in
        self.session = session
        self._runner = StatementRunner(endpoint, line)
        self._prepared: dict[int, _Prepared] = {}
        self._next_handle = 1
        self._descriptor = b""
        self._next_descriptor = 1

    def serve(self, message: packets.Message, stream: ReplyStream) -> None:
        """Answer one request. Never raises for what the client or the engine did wrong, except ProtocolError."""
        try:
            stream.check()
            if message.status & (packets.STATUS_RESET_CONNECTION | packets.STATUS_RESET_CONNECTION_SKIP_TRANSACTION):
                self._reset(stream, keep=not message.status & packets.STATUS_RESET_CONNECTION)
            self._who.database = self.session.database
            if message.type == PacketType.SQL_BATCH:
                self._batch(message.body, stream)
            elif message.type == PacketType.RPC:
                self._rpc(message.body, stream)
            elif message.type == PacketType.TRANSACTION_MANAGER:
                self._transaction(message.body, stream)
            else:
                raise ProtocolError(f"Requests of type 0x{message.type:02X} are not supported by this emulator.")
        except Interrupted:
            pass
        except IndexError as error:
            raise ProtocolError("A procedure call has too few parameters.") from error
        except SqlError as error:
            stream.write(tokens.message(error.message(), self._endpoint.name))
            stream.finish(self._transaction_change(failed=True), DoneStatus.ERROR)

    def close(self) -> None:
        self.session.close()

    # -- reset

    def _reset(self, stream: ReplyStream, *, keep: bool) -> None:
        """RESETCONNECTION: as new. With SKIPTRAN (keep) inside a transaction only the acknowledgement is sent."""
        if not keep or not self.session.transaction_depth:
            self._prepared.clear()
            self._descriptor = b""
            if isinstance(self.session, Resettable):
                self.session.reset()
            else:
                self.session.close()
                self.session = self._log_in()
                self._who.spid = self.session.spid
        stream.write(tokens.env_bytes(tokens.ENV_RESET_CONNECTION))

    # -- batches

    def _batch(self, body: bytes, stream: ReplyStream) -> None:
        text = body[rpc.skip_headers(body) :].decode("utf-16-le", "surrogatepass")
        writer = self._runner.run(self.session, self._who, stream, text)
        failed = writer.first_error is not None
        stream.finish(self._transaction_change(failed=failed), writer.take_status())
        stream.close_after = writer.fatal

    def _transaction_change(self, *, failed: bool) -> bytes:
        """ENVCHANGE for a transaction that T-SQL itself began or ended; without it the driver's next request fails."""
        open_now = self.session.transaction_depth > 0
        if open_now == bool(self._descriptor):
            return b""
        if open_now:
            return self._begin_change()
        return self._end_change(tokens.ENV_ROLLBACK_TRANSACTION if failed else tokens.ENV_COMMIT_TRANSACTION)

    def _begin_change(self) -> bytes:
        self._descriptor = self._next_descriptor.to_bytes(8, "little")
        self._next_descriptor += 1
        return tokens.env_bytes(tokens.ENV_BEGIN_TRANSACTION, new=self._descriptor)

    def _end_change(self, kind: int) -> bytes:
        old, self._descriptor = self._descriptor, b""
        return tokens.env_bytes(kind, old=old)

    # -- transaction manager

    def _transaction(self, body: bytes, stream: ReplyStream) -> None:
        start = rpc.skip_headers(body)
        kind, payload = int.from_bytes(body[start : start + 2], "little"), body[start + 2 :]
        name, actions = _TRANSACTIONS.get(kind, ("", None))
        if actions is None:
            raise SqlError(50000, 16, f"Emulator: transaction manager request {kind} is not supported.")
        record = self._endpoint.shared.journal.batch_started(self._who, name, 0, kind="transaction")
        number: int | None = None
        try:
            actions(self.session)
        except SqlError as error:
            number = error.number
            raise
        finally:
            self._endpoint.shared.journal.batch_ended(record, "error" if number else "ok", number)
        if kind == _BEGIN:
            stream.finish(self._transaction_change(failed=False), DoneStatus.FINAL)
            return
        ended = self._transaction_change(failed=kind == _ROLLBACK)
        if len(payload) > 1 and payload[0] == 0 and payload[1] & _BEGIN_NEXT:
            stream.write(ended + tokens.done(DoneStatus.MORE))
            self.session.begin()
            ended = self._transaction_change(failed=False)
        stream.finish(ended, DoneStatus.FINAL)

    # -- RPC

    def _rpc(self, body: bytes, stream: ReplyStream) -> None:
        calls = rpc.parse_calls(body)
        for index, call in enumerate(calls):
            last = index == len(calls) - 1
            writer, handle = self._call(call, stream)
            ending = self._transaction_change(failed=writer.first_error is not None)
            # An error that no DONE has reported yet belongs to the procedure's own.
            status = writer.take_status() | (DoneStatus.FINAL if last or writer.fatal else DoneStatus.MORE)
            ending += tokens.return_status(0)
            if handle is not None:
                ending += tokens.return_handle(handle)
            if last or writer.fatal:
                stream.final = ending + tokens.done_proc(status)
                stream.close_after = writer.fatal
                return
            stream.write(ending + tokens.done_proc(status))

    def _call(self, call: RpcCall, stream: ReplyStream) -> tuple[EventWriter, int | None]:
        """Run one call; the handle is the value of an OUT parameter, where the procedure has one."""
        values, name = call.parameters, _plain(call.procedure)
        if name == "sp_prepexec":
            self._drop(values[0].value)
            handle = self._prepare(values[1], values[2])
            return self._execute(handle, values[3:], stream), handle
        if name == "sp_prepare":
            self._drop(values[0].value)
            return self._nothing(stream), self._prepare(values[1], values[2])
        if name == "sp_execute":
            return self._execute(values[0].value, values[1:], stream), None
        if name == "sp_unprepare":
            self._drop(values[0].value)
            return self._nothing(stream), None
        if name == "sp_executesql":
            names = declared_names(_text(values[1])) if len(values) > 1 else []
            return self._run(_text(values[0]), _bound(names, values[2:]), stream), None
        if name == "sp_prepexecrpc":
            return self._procedure(_text(values[1]), values[2:], stream), self._new_handle()
        if name == "sp_datatype_info_100":
            return self._catalogue(describe.datatype_info(_number(values)), stream), None
        if name == "sp_describe_undeclared_parameters":
            return self._catalogue(self._undeclared(_text(values[0])), stream), None
        if name.startswith("sp_cursor"):
            raise SqlError(50000, 16, f"Emulator: server cursors ('{name}') are not supported.")
        return self._procedure(call.procedure, values, stream), None

    def _nothing(self, stream: ReplyStream) -> EventWriter:
        return EventWriter(stream, self._endpoint.name, self.session.database, in_procedure=True)

    def _catalogue(self, events: Iterator[Event], stream: ReplyStream) -> EventWriter:
        writer = self._nothing(stream)
        for event in events:
            writer.write(event)
        return writer

    def _undeclared(self, statement: str) -> Iterator[Event]:
        names = describe.undeclared_names(statement)
        types: Sequence[SqlType] = [describe.UNKNOWN_PARAMETER] * len(names)
        if isinstance(self.session, DescribesParameters):
            types = self.session.describe_parameters(statement, names)
        return describe.undeclared_parameters(names, types)

    def _run(self, text: str, parameters: Sequence[Parameter], stream: ReplyStream) -> EventWriter:
        return self._runner.run(self.session, self._who, stream, text, parameters, in_procedure=True)

    def _procedure(self, name: str, values: Sequence[RpcParameter], stream: ReplyStream) -> EventWriter:
        """A call by name becomes the EXEC statement that means the same."""
        parameters = _bound([], values)
        pairs = zip(values, parameters, strict=True)
        arguments = [f"{v.name} = {p.name}" if v.name else p.name for v, p in pairs]
        return self._run(f"EXEC {name} {', '.join(arguments)}".rstrip(), parameters, stream)

    def _execute(self, handle: object, values: Sequence[RpcParameter], stream: ReplyStream) -> EventWriter:
        prepared = self._prepared.get(handle) if isinstance(handle, int) else None
        if prepared is None:
            writer = self._nothing(stream)
            text = f"Could not find prepared statement with handle {handle}."
            writer.message(Message(8179, 16, 2, 1, text))
            return writer
        return self._run(prepared.statement, _bound(prepared.names, values), stream)

    def _prepare(self, declarations: RpcParameter, statement: RpcParameter) -> int:
        handle = self._new_handle()
        names = declared_names(declarations.value if isinstance(declarations.value, str) else "")
        self._prepared[handle] = _Prepared(tuple(names), _text(statement))
        return handle

    def _new_handle(self) -> int:
        handle, self._next_handle = self._next_handle, self._next_handle + 1
        return handle

    def _drop(self, handle: object) -> None:
        if isinstance(handle, int):
            self._prepared.pop(handle, None)


_TRANSACTIONS: dict[int, tuple[str, Callable[[Session], None]]] = {
    _BEGIN: ("BEGIN TRANSACTION", lambda session: session.begin()),
    _COMMIT: ("COMMIT TRANSACTION", lambda session: session.commit()),
    _ROLLBACK: ("ROLLBACK TRANSACTION", lambda session: session.rollback()),
}


def _plain(procedure: str) -> str:
    """``[sys].sp_datatype_info_100`` -> ``sp_datatype_info_100``, for the procedures that the wire answers itself."""
    return procedure.replace("[", "").replace("]", "").lower().removeprefix("sys.")


def _text(parameter: RpcParameter) -> str:
    if not isinstance(parameter.value, str):
        raise SqlError(214, 16, "Procedure expects parameter '@statement' of type 'ntext/nchar/nvarchar'.", 2)
    return parameter.value


def _number(values: Sequence[RpcParameter]) -> int:
    """The @data_type of sp_datatype_info, the first argument; 0 means all types."""
    value = values[0].value if values else 0
    return value if isinstance(value, int) else 0


def _bound(names: Sequence[str], values: Sequence[RpcParameter]) -> list[Parameter]:
    """Parameters with the names of the declaration, by position; by their own name, or @P1 ... where there is none."""
    return [
        Parameter(
            value.name or (names[index] if index < len(names) else f"@P{index + 1}"),
            value.type,
            value.value,
            value.output,
        )
        for index, value in enumerate(values)
    ]
