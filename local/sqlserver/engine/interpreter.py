"""Runs batches: control flow, variables, messages and errors. ``statements`` and ``definitions`` touch the tables."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

from ..contract import Done, Event, Message, SqlError, SqlType
from . import convert, dates, definitions, errors, nodes, procedures, statements, types
from .frame import Frame
from .functions import SCALARS
from .parser import parse

if TYPE_CHECKING:
    from .session import EngineSession

__all__ = ["Frame", "Interpreter"]
_MAX_NESTING = 32
# Errors about names: a TRY block of the same batch does not catch them.
_NAME_ERRORS = {207, 208, 209, 213, 4104, 8120, 40515}
_FINITE_WAIT = 86400.0


class _Leave(Exception):  # noqa: N818 - signals, not errors
    """Base of what leaves statements early."""


class _Break(_Leave):
    pass


class _Continue(_Leave):
    pass


class _Return(_Leave):
    def __init__(self, value: int) -> None:
        super().__init__()
        self.value = value


class BatchEnd(_Leave):
    """The batch ends here; what had to be said is said."""


class Interpreter:
    def __init__(self, session: EngineSession) -> None:
        self.session = session
        self.tries = 0
        self._handlers: dict[type[nodes.Statement], Callable[[Any, Frame], Iterator[Event]]] = {
            nodes.Block: self._block, nodes.If: self._if, nodes.While: self._while, nodes.Break: self._break,
            nodes.Continue: self._continue, nodes.TryCatch: self._try, nodes.Declare: self._declare,
            nodes.SetVariable: self._set_variable, nodes.SetOption: self._set_option, nodes.Print: self._print,
            nodes.Raiserror: self._raiserror, nodes.Throw: self._throw, nodes.Waitfor: self._waitfor,
            nodes.Execute: self._execute, nodes.ExecuteString: self._execute_string, nodes.Return: self._return,
            nodes.Use: self._use, nodes.Transaction: self._transaction, nodes.SelectStatement: self._query,
            nodes.Insert: self._change, nodes.Update: self._change, nodes.Delete: self._change,
            nodes.Truncate: self._change,
        }  # fmt: skip

    # Batches

    def batch(self, batch: nodes.Batch, frame: Frame) -> Iterator[Event]:
        """A whole batch; afterwards a doomed transaction is rolled back."""
        try:
            yield from self._statements(batch.statements, frame)
        except BatchEnd:
            pass
        except _Return as leave:
            self.session.return_status = leave.value
        finally:
            definitions.drop_table_variables(self.session, frame)
        if self.session.transactions.doomed:
            self.session.transactions.abandon()
            text = "Uncommittable transaction is detected at the end of the batch. The transaction is rolled back."
            yield Message(3998, 16, 1, 1, text)

    def _statements(self, listed: tuple[nodes.Statement, ...], frame: Frame) -> Iterator[Event]:
        for statement in listed:
            yield from self.statement(statement, frame)

    def statement(self, statement: nodes.Statement, frame: Frame) -> Iterator[Event]:
        """One statement. Outside TRY its error is told here, and decides what goes on."""
        if self.session.owner.cancelled.is_set():
            raise errors.CancelledError
        try:
            yield from self._handlers.get(type(statement), self._define)(statement, frame)
        except SqlError as error:
            if not getattr(error, "located", False):
                _locate(error, statement.line, frame)
            self.session.error = error.number
            self.session.rowcount = 0
            if self.tries:
                raise
            yield from self._tell(error)
        except RecursionError:
            raise SqlError(8631, 17, "Internal error: the batch is nested too deeply.") from None

    def _tell(self, error: SqlError) -> Iterator[Event]:
        yield error.message()
        if errors.says_terminated(error.number):
            yield Message(3621, 0, 0, error.line, "The statement has been terminated.")
        aborts = errors.aborts_transaction(error.number)
        strict = self.session.options.get("xact_abort") == "ON" and not getattr(error, "raised", False)
        if aborts or strict:
            self.session.transactions.abandon()
        if aborts or strict or errors.ends_batch(error.number) or getattr(error, "thrown", False):
            raise BatchEnd
        yield Done()

    def _done(self, count: int | None = None) -> Iterator[Event]:
        self.session.error = 0
        yield Done(count)

    # Control flow

    def _block(self, node: nodes.Block, frame: Frame) -> Iterator[Event]:
        yield from self._statements(node.statements, frame)

    def _if(self, node: nodes.If, frame: Frame) -> Iterator[Event]:
        if self.truth(node.condition, node, frame):
            yield from self.statement(node.then, frame)
        elif node.otherwise is not None:
            yield from self.statement(node.otherwise, frame)

    def _while(self, node: nodes.While, frame: Frame) -> Iterator[Event]:
        while self.truth(node.condition, node, frame):
            if self.session.owner.cancelled.is_set():
                raise errors.CancelledError
            try:
                yield from self.statement(node.body, frame)
            except _Break:
                return
            except _Continue:
                continue

    def _break(self, _node: nodes.Break, _frame: Frame) -> Iterator[Event]:
        raise _Break
        yield

    def _continue(self, _node: nodes.Continue, _frame: Frame) -> Iterator[Event]:
        raise _Continue
        yield

    def _return(self, node: nodes.Return, frame: Frame) -> Iterator[Event]:
        value = 0 if node.expression is None else self.evaluate(node.expression, node, frame, types.INT)
        raise _Return(value or 0)
        yield

    def _try(self, node: nodes.TryCatch, frame: Frame) -> Iterator[Event]:
        self.tries += 1
        try:
            yield from self._statements(node.body.statements, frame)
            return
        except SqlError as error:
            caught = error
        finally:
            self.tries -= 1
        if getattr(caught, "frame", None) is frame and caught.number in _NAME_ERRORS:
            if self.tries:
                raise caught
            yield from self._tell(caught)
        transactions = self.session.transactions
        if transactions.depth:
            strict = self.session.options.get("xact_abort") == "ON"
            transactions.doomed = transactions.doomed or strict or errors.aborts_transaction(caught.number)
            if caught.number == 1205:
                transactions.abandon()
        with frame.handling(caught):
            yield from self._statements(node.handler.statements, frame)

    # Values

    def evaluate(
        self, expression: nodes.Expr, owner: nodes.Statement, frame: Frame, target: SqlType | None = None
    ) -> Any:
        """The stored value of an expression, as the target type if one is given."""
        if isinstance(expression, nodes.Literal) and (target is None or _holds(target, expression)):
            return expression.value
        return statements.scalar(self.session, expression, owner, frame, target)

    def truth(self, condition: nodes.Expr, owner: nodes.Statement, frame: Frame) -> bool:
        return statements.truth(self.session, condition, owner, frame)

    def _declare(self, node: nodes.Declare, frame: Frame) -> Iterator[Event]:
        for name, sql_type, expression in node.items:
            if expression is not None:
                frame.values[name] = self.evaluate(expression, node, frame, sql_type)
        return
        yield

    def _set_variable(self, node: nodes.SetVariable, frame: Frame) -> Iterator[Event]:
        frame.values[node.name] = self.evaluate(node.expression, node, frame, frame.types[node.name])
        self.session.rowcount, self.session.error = 1, 0
        return
        yield

    def _set_option(self, node: nodes.SetOption, _frame: Frame) -> Iterator[Event]:
        for name in node.names:
            self.session.options[name] = node.value
        if node.names == ("lock_timeout",):
            milliseconds = int(node.value)
            self.session.transactions.lock_timeout = None if milliseconds < 0 else milliseconds / 1000
        if node.table is not None:
            statements.set_identity_insert(self.session, node.table, node.value == "ON")
        if node.names == ("rowcount",) and node.value != "0":
            raise errors.unsupported("SET ROWCOUNT other than 0")
        self.session.rowcount, self.session.error = 0, 0
        return
        yield

    # Messages

    def _print(self, node: nodes.Print, frame: Frame) -> Iterator[Event]:
        text = self.evaluate(node.expression, node, frame, types.nvarchar(types.MAX))
        yield Message(0, 0, 1, node.line, " " if text in (None, "") else text[:8000])
        self.session.rowcount = 0
        yield from self._done()

    def _raiserror(self, node: nodes.Raiserror, frame: Frame) -> Iterator[Event]:
        severity = self.evaluate(node.severity, node, frame, types.INT) or 0
        state = self.evaluate(node.state, node, frame, types.INT)
        message = statements.typed(self.session, node.message, node, frame)
        if types.family(message[1]) != "string":
            raise errors.unsupported("RAISERROR with a message number")
        if severity > 18:
            text = (
                "Error severity levels greater than 18 can only be specified by members of the sysadmin role, using "
                "the "
                "WITH LOG option."
            )
            raise SqlError(2754, 16, text)
        values = [self.evaluate(argument, node, frame) for argument in node.arguments]
        text = SCALARS["formatmessage"].call(message[0] or "", *values)[:2047]  # type: ignore[misc]  # this one has a call
        severity, state = max(0, severity), max(0, min(255, state or 0))
        if severity > 10:
            error = SqlError(50000, severity, text, state, node.line)
            error.raised = True  # type: ignore[attr-defined]  # RAISERROR does not heed XACT_ABORT
            raise error
        yield Message(50000, 0 if severity == 10 else severity, state, node.line, text)
        self.session.rowcount = 0
        yield from self._done()

    def _throw(self, node: nodes.Throw, frame: Frame) -> Iterator[Event]:
        if node.number is None or node.message is None or node.state is None:
            current = frame.current_error
            if current is None:
                text = "To rethrow an error, a THROW statement must be used inside a CATCH block."
                raise SqlError(10704, 15, text)
            error = SqlError(current.number, current.severity, current.text, current.state, current.line)
        else:
            number = self.evaluate(node.number, node, frame, types.INT)
            text = self.evaluate(node.message, node, frame, types.nvarchar(2048)) or ""
            if number is None or number < 50000:
                text = (
                    f"Error number {number} in the THROW statement is outside the valid range. Specify an error number "
                    "in the valid range of 50000 to 2147483647."
                )
                raise SqlError(35100, 16, text)
            error = SqlError(number, 16, text, self.evaluate(node.state, node, frame, types.INT) or 0, node.line)
        error.thrown = True  # type: ignore[attr-defined]  # it ends the batch
        raise error
        yield

    def _waitfor(self, node: nodes.Waitfor, frame: Frame) -> Iterator[Event]:
        text = self.evaluate(node.expression, node, frame, types.varchar(30)) or ""
        seconds = dates.delay_seconds(text)
        if node.kind == "TIME":
            now = self.session.server.clock()
            seconds = (
                seconds - (now.hour * 3600 + now.minute * 60 + now.second + now.microsecond / 1e6)
            ) % _FINITE_WAIT
        if self.session.owner.cancelled.wait(seconds):
            raise errors.CancelledError
        yield from self._done()

    # Procedures and text that is executed

    def _execute(self, node: nodes.Execute, frame: Frame) -> Iterator[Event]:
        outer = dict(self.session.options)
        try:
            status = yield from procedures.execute(self, node, frame)
        finally:
            self.session.options = outer
        self.session.return_status = status
        if node.result:
            change = convert.converter(types.INT, frame.types[node.result])
            frame.values[node.result] = status if change is None else change(status)

    def _execute_string(self, node: nodes.ExecuteString, frame: Frame) -> Iterator[Event]:
        text = self.evaluate(node.expression, node, frame, types.nvarchar(types.MAX))
        outer = dict(self.session.options)
        try:
            yield from self.text(text or "", frame, {}, {})
        finally:
            self.session.options = outer

    def text(self, text: str, frame: Frame, kinds: dict[str, SqlType], values: dict[str, Any]) -> Iterator[Event]:
        """EXEC ('..') and sp_executesql: a batch of its own, with its parameters. Values go back into ``values``."""
        inner = Frame(parse(text), kinds, self.nested(frame))
        inner.inherit(frame)
        inner.values.update(values)
        yield from self.module(parse(text), inner)
        values.update({name: inner.values[name] for name in kinds})

    def nested(self, frame: Frame) -> int:
        """Errors: 217 for the 33rd level."""
        if frame.nesting >= _MAX_NESTING:
            text = "Maximum stored procedure, function, trigger, or view nesting level exceeded (limit 32)."
            raise SqlError(217, 16, text)
        return frame.nesting + 1

    def module(self, body: nodes.Batch, inner: Frame) -> Generator[Event, None, int]:
        """The statements of a procedure or text; gives its return value."""
        try:
            yield from self._statements(body.statements, inner)
        except _Return as leave:
            return leave.value
        finally:
            definitions.drop_table_variables(self.session, inner)
        return 0

    def _use(self, node: nodes.Use, _frame: Frame) -> Iterator[Event]:
        if node.database.lower() != self.session.database.lower():
            text = (
                "USE statement is not supported to switch between databases. Use a new connection to connect to a "
                "different database."
            )
            raise SqlError(40508, 16, text)
        from ..contract import DatabaseChanged

        yield DatabaseChanged(self.session.database)
        yield from self._done()

    # Transactions and tables

    def _transaction(self, node: nodes.Transaction, _frame: Frame) -> Iterator[Event]:
        transactions = self.session.transactions
        if node.kind == "SAVE" or (node.kind == "ROLLBACK" and node.name):
            raise errors.unsupported("savepoints (SAVE TRANSACTION, ROLLBACK TRANSACTION name)")
        {"BEGIN": transactions.begin, "COMMIT": transactions.commit, "ROLLBACK": transactions.rollback}[node.kind]()
        self.session.rowcount = 0
        yield from self._done()

    def _query(self, node: nodes.SelectStatement, frame: Frame) -> Iterator[Event]:
        yield from statements.select(self.session, node, frame)

    def _change(self, node: nodes.Statement, frame: Frame) -> Iterator[Event]:
        yield from statements.change(self.session, node, frame)

    def _define(self, node: nodes.Statement, frame: Frame) -> Iterator[Event]:
        definitions.define(self.session, node, frame)
        self.session.rowcount = 0
        yield from self._done()


def _locate(error: SqlError, line: int, frame: Frame) -> None:
    """Give an error the line and the procedure of the statement that failed."""
    error.line = line if error.line <= 1 else error.line
    error.located, error.frame, error.procedure = True, frame, frame.procedure  # type: ignore[attr-defined]


def _holds(target: SqlType, literal: nodes.Literal) -> bool:
    """Whether the literal is a value of the target type as it is written."""
    if literal.type == target:
        return True
    text = literal.value
    fits = isinstance(text, str) and literal.type.name == target.name == "nvarchar"
    return fits and target.length is not None and len(str(text).encode("utf-16-le")) <= 2 * target.length
