"""RPC requests: one message holds one or more calls, each with named or positional parameters."""

from __future__ import annotations

from dataclasses import dataclass

from local.sqlserver.contract import SqlType
from local.sqlserver.tds.decode import Reader, read_value
from local.sqlserver.tds.packets import ProtocolError

SP_EXECUTESQL, SP_PREPARE, SP_EXECUTE, SP_PREPEXEC, SP_PREPEXECRPC, SP_UNPREPARE = 10, 11, 12, 13, 14, 15

# The procedures that have a number in TDS; cursors are named so that the refusal can name them.
PROCEDURE_NAMES = {
    1: "sp_cursor", 2: "sp_cursoropen", 3: "sp_cursorprepare", 4: "sp_cursorexecute", 5: "sp_cursorprepexec",
    6: "sp_cursorunprepare", 7: "sp_cursorfetch", 8: "sp_cursoroption", 9: "sp_cursorclose",
    SP_EXECUTESQL: "sp_executesql", SP_PREPARE: "sp_prepare", SP_EXECUTE: "sp_execute", SP_PREPEXEC: "sp_prepexec",
    SP_PREPEXECRPC: "sp_prepexecrpc", SP_UNPREPARE: "sp_unprepare",
}  # fmt: skip

_NAMED = 0xFFFF
_BATCH_SEPARATORS = (0xFF, 0x80, 0xFE)
_BY_REFERENCE = 0x01


@dataclass(frozen=True)
class RpcParameter:
    """name is empty for a positional parameter, else with its ``@``."""

    name: str
    type: SqlType
    value: object
    output: bool


@dataclass(frozen=True)
class RpcCall:
    """procedure: lower case, without ``sys.`` and brackets, for the ones with a number; else as the client wrote it."""

    procedure: str
    parameters: tuple[RpcParameter, ...]


def skip_headers(body: bytes) -> int:
    """Where a batch, RPC or transaction request begins after ALL_HEADERS; ProtocolError when they are cut off."""
    total = int.from_bytes(body[:4], "little")
    if total < 4 or total > len(body):
        raise ProtocolError("The request's ALL_HEADERS are cut off.")
    return total


def parse_calls(body: bytes) -> list[RpcCall]:
    """The calls of an RPC message; ProtocolError for what cannot be read."""
    reader = Reader(body, skip_headers(body))
    calls = []
    while not reader.at_end:
        calls.append(_call(reader))
    return calls


def _call(reader: Reader) -> RpcCall:
    length = reader.number(2)
    if length == _NAMED:
        number = reader.number(2)
        procedure = PROCEDURE_NAMES.get(number, "")
        if not procedure:
            raise ProtocolError(f"There is no procedure with the number {number}.")
    else:
        procedure = reader.text(length)
    reader.take(2)
    parameters = []
    while not reader.at_end:
        if reader.data[reader.position] in _BATCH_SEPARATORS:
            reader.take(1)
            break
        parameters.append(_parameter(reader))
    return RpcCall(procedure, tuple(parameters))


def _parameter(reader: Reader) -> RpcParameter:
    name = reader.text(reader.number(1))
    status = reader.number(1)
    declared, value = read_value(reader)
    return RpcParameter(name, declared, value, bool(status & _BY_REFERENCE))
