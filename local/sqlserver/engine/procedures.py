"""EXEC: procedures of the database, and the few system procedures that the emulator has."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from ..contract import Event, SqlError, SqlType
from . import convert, errors, locks, nodes, schema, security, statements, types
from .compiled import Need
from .frame import Frame
from .parser_expressions import Cursor

if TYPE_CHECKING:
    from .interpreter import Interpreter

Run = Generator[Event, None, int]


def execute(interpreter: Interpreter, node: nodes.Execute, frame: Frame) -> Run:
    """Runs a procedure and gives its return value. Errors: 2812 unknown procedure, 201, 8144, 8145 about arguments."""
    session = interpreter.session
    name = node.module.name.lower()
    system = _SYSTEM.get(name)
    if system is not None and node.module.schema.lower() in ("", "sys", "dbo"):
        return (yield from system(interpreter, node, frame))
    found = session.find_object(node.module)
    if not isinstance(found, schema.Procedure):
        raise SqlError(2812, 16, f"Could not find stored procedure '{node.module.text}'.", 62)
    if not session.principal.dbo:
        need = Need("EXECUTE", found.schema, found.name)
        security.check(session.catalog, session.principal.user, need, session.database)
    inner = Frame(found.body, {p.name: p.type for p in found.parameters}, interpreter.nested(frame), found.name)
    inner.inherit(frame)
    outputs = _bind(interpreter, node, frame, found, inner)
    status: int = yield from interpreter.module(found.body, inner)
    for variable, parameter in outputs:
        change = convert.converter(inner.types[parameter], frame.types[variable])
        value = inner.values[parameter]
        frame.values[variable] = value if change is None or value is None else change(value)
    return status


def _bind(interpreter: Interpreter, node: nodes.Execute, frame: Frame, procedure: schema.Procedure,
          inner: Frame) -> list[tuple[str, str]]:  # fmt: skip
    """Put the arguments into the procedure's variables; gives the pairs of OUTPUT variables and parameters."""
    outputs: list[tuple[str, str]] = []
    given: set[str] = set()
    known = {parameter.name: parameter for parameter in procedure.parameters}
    for position, argument in enumerate(node.arguments):
        if not argument.name and position >= len(procedure.parameters):
            text = f"Procedure or function {procedure.name} has too many arguments specified."
            raise SqlError(8144, 16, text, 2)
        parameter = known.get(argument.name) if argument.name else procedure.parameters[position]
        if parameter is None:
            raise SqlError(8145, 16, f"{argument.name} is not a parameter for procedure {procedure.name}.")
        if argument.value is None:
            continue
        given.add(parameter.name)
        inner.values[parameter.name] = interpreter.evaluate(argument.value, node, frame, parameter.type)
        if argument.output:
            if not parameter.output:
                text = (
                    f'The formal parameter "{parameter.name}" was not declared as an OUTPUT parameter, but the actual '
                    "parameter passed in requested output."
                )
                raise SqlError(8162, 16, text, 2)
            outputs.append((_variable(argument), parameter.name))
    for parameter in procedure.parameters:
        if parameter.name in given:
            continue
        if parameter.default is None:
            text = (
                f"Procedure or function '{procedure.name}' expects parameter '{parameter.name}', which was not "
                "supplied."
            )
            raise SqlError(201, 16, text, 4)
        inner.values[parameter.name] = interpreter.evaluate(parameter.default, node, frame, parameter.type)
    return outputs


def _variable(argument: nodes.Argument) -> str:
    if not isinstance(argument.value, nodes.Variable):
        raise SqlError(179, 15, "Cannot use the OUTPUT option when passing a constant to a stored procedure.")
    return argument.value.name


def _arguments(node: nodes.Execute, names: tuple[str, ...]) -> dict[str, nodes.Argument]:
    """Arguments of a system procedure by parameter name, positional ones in order."""
    found: dict[str, nodes.Argument] = {}
    for position, argument in enumerate(node.arguments):
        name = argument.name or (names[position] if position < len(names) else "")
        if name not in names:
            raise SqlError(
                8145, 16, f"{argument.name or 'An argument'} is not a parameter for procedure {node.module.name}."
            )
        if argument.value is not None:
            found[name] = argument
    return found


# ---------------------------------------------------------------------------------------------------- sp_executesql


def _execute_sql(interpreter: Interpreter, node: nodes.Execute, frame: Frame) -> Run:
    """sp_executesql @stmt, @params, values by position or by name."""
    fixed = [
        argument
        for argument in node.arguments
        if argument.name in ("", "@stmt", "@statement", "@params", "@parameters")
    ]
    if not fixed or fixed[0].value is None:
        raise SqlError(
            201, 16, "Procedure or function 'sp_executesql' expects parameter '@statement', which was not supplied.", 4
        )
    value, kind = statements.typed(interpreter.session, fixed[0].value, node, frame)
    if value is not None and not types.is_unicode(kind):
        text = "Procedure expects parameter '@statement' of type 'ntext/nchar/nvarchar'."
        raise SqlError(214, 16, text, 2)
    text = value or ""
    rest = [argument for argument in node.arguments if argument is not fixed[0]]
    declared: list[nodes.ProcedureParameter] = []
    if rest and (rest[0].value is not None) and (rest[0] in fixed):
        declared = _declarations(interpreter.evaluate(rest[0].value, node, frame, types.nvarchar(types.MAX)) or "")
        rest = rest[1:]
    kinds = {parameter.name: parameter.type for parameter in declared}
    values: dict[str, Any] = {}
    outputs: list[tuple[str, str]] = []
    for position, argument in enumerate(rest):
        name = argument.name or (declared[position].name if position < len(declared) else "")
        if name not in kinds:
            raise SqlError(8145, 16, f"{name or 'An argument'} is not a parameter for procedure sp_executesql.")
        if argument.value is not None:
            values[name] = interpreter.evaluate(argument.value, node, frame, kinds[name])
        if argument.output:
            outputs.append((_variable(argument), name))
    for parameter in declared:
        if parameter.name not in values:
            text = (
                f"The parameterized query '{text[:80]}' expects the parameter '{parameter.name}', which was not "
                "supplied."
            )
            raise SqlError(8178, 16, text)
    yield from interpreter.text(value or "", frame, kinds, values)
    for variable, name in outputs:
        change = convert.converter(kinds[name], frame.types[variable])
        frame.values[variable] = values[name] if change is None or values[name] is None else change(values[name])
    return 0


def _declarations(text: str) -> list[nodes.ProcedureParameter]:
    """``@a int, @b nvarchar(10) OUTPUT``."""
    cursor = Cursor(text)
    found = []
    while cursor.token.kind == "variable":
        name = cursor.advance().value
        cursor.take("as")
        sql_type: SqlType = cursor.data_type(1)
        output = cursor.take("output") or cursor.take("out")
        found.append(nodes.ProcedureParameter(name, sql_type, None, output))
        if not cursor.take(","):
            break
    if cursor.token.kind != "end":
        cursor.fail()
    return found


# ------------------------------------------------------------------------------------------------- application locks


def _text(
    interpreter: Interpreter, node: nodes.Execute, frame: Frame, argument: nodes.Argument | None, default: str
) -> str:
    if argument is None or argument.value is None:
        return default
    value = interpreter.evaluate(argument.value, node, frame, types.nvarchar(255))
    return default if value is None else str(value)


def _get_applock(interpreter: Interpreter, node: nodes.Execute, frame: Frame) -> Run:
    """0 granted at once, 1 after waiting, -1 timeout, -2 cancelled, -3 deadlock victim.

    Errors: 1224, 1225, 1229 for a wrong resource, mode or owner; 21262 without the transaction that is to own it.
    """
    session = interpreter.session
    given = _arguments(node, ("@resource", "@lockmode", "@lockowner", "@locktimeout", "@dbprincipal"))
    resource = _text(interpreter, node, frame, given.get("@resource"), "")
    wanted = _text(interpreter, node, frame, given.get("@lockmode"), "")
    mode = next((known for known in locks.MODES if known.lower() == wanted.lower()), None)
    owner = _text(interpreter, node, frame, given.get("@lockowner"), "Transaction").lower()
    if not resource or mode is None or owner not in ("session", "transaction"):
        what = "resource" if not resource else ("mode" if mode is None else "owner")
        number = {"resource": 1224, "mode": 1225, "owner": 1229}[what]
        raise SqlError(number, 16, f"An invalid application lock {what} was passed to sp_getapplock.")
    if owner == "transaction" and not session.transaction_depth:
        text = "You attempted to acquire a transactional application lock without an active transaction."
        raise SqlError(21262, 16, text)
    timeout = session.transactions.lock_timeout
    if given.get("@locktimeout") is not None:
        argument = given["@locktimeout"].value
        milliseconds = interpreter.evaluate(argument, node, frame, types.INT) if argument is not None else None
        timeout = timeout if milliseconds is None else (None if milliseconds < 0 else milliseconds / 1000)
    name = f"applock:{resource}"
    outcome = session.home.locks.acquire(session.owner, name, mode, timeout)
    if outcome is locks.Outcome.CANCELLED:
        raise errors.CancelledError
    if outcome.value >= 0:
        if owner == "session":
            session.session_locks.append((name, mode))
        else:
            session.transactions.keep_lock(name, mode)
    status: int = outcome.value
    return status
    yield


def _release_applock(interpreter: Interpreter, node: nodes.Execute, frame: Frame) -> Run:
    """Errors: 1223 when the session does not hold the lock."""
    session = interpreter.session
    given = _arguments(node, ("@resource", "@lockowner", "@dbprincipal"))
    resource = _text(interpreter, node, frame, given.get("@resource"), "")
    owner = _text(interpreter, node, frame, given.get("@lockowner"), "Transaction").lower()
    name = f"applock:{resource}"
    mode: str | None = None
    if owner == "session":
        held = [pair for pair in session.session_locks if pair[0] == name]
        if held:
            session.session_locks.remove(held[-1])
            mode = held[-1][1]
    else:
        mode = session.transactions.forget_lock(name)
    if mode is None:
        text = (
            f"Cannot release the application lock (Database Principal: 'public', Resource: '{resource}') because it is "
            "not currently held."
        )
        raise SqlError(1223, 16, text)
    session.home.locks.release(session.owner, name, mode)
    return 0
    yield


_SYSTEM: dict[str, Callable[[Interpreter, nodes.Execute, Frame], Run]] = {
    "sp_executesql": _execute_sql, "sp_getapplock": _get_applock, "sp_releaseapplock": _release_applock,
}  # fmt: skip
