"""What SQLite calls back into while a statement runs: T-SQL's functions, collations and conversions.

A callback that fails leaves its ``SqlError`` in the context, because SQLite itself only says that a function raised.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Protocol

from ..contract import SqlError, SqlType
from . import aggregates, convert, errors, types

# Conversions, null checks and other small functions that compiled statements refer to by number.
_calls: list[Callable[[Any], Any]] = []
_call_numbers: dict[Any, int] = {}
_calls_mutex = threading.Lock()


class SessionFacts(Protocol):
    """What functions may ask of the session whose statement runs."""

    def next_identity(self, object_id: int) -> int: ...

    def object_id(self, name: str, kind: str | None) -> int | None: ...

    def object_name(self, object_id: int, kind: str) -> str | None: ...

    def property_of(self, kind: str, subject: str, name: str) -> Any: ...


class Context:
    """Whose statement runs on a connection, and why it failed."""

    def __init__(self) -> None:
        self.session: SessionFacts | None = None
        self.error: BaseException | None = None

    def clear(self) -> None:
        self.session, self.error = None, None

    def facts(self) -> SessionFacts:
        assert self.session is not None, "a statement runs without a session"  # noqa: S101 - a bug of ours
        return self.session


def register(key: Any, make: Callable[[], Callable[[Any], Any]]) -> int:
    """The number of a function of one value; ``key`` tells whether it is registered already."""
    with _calls_mutex:
        number = _call_numbers.get(key)
        if number is None:
            _calls.append(make())
            number = _call_numbers[key] = len(_calls) - 1
        return number


def _call(number: int, value: Any) -> Any:
    return None if value is None else _calls[number](value)


def _try_call(number: int, value: Any) -> Any:
    try:
        return _call(number, value)
    except SqlError as error:
        if error.number == 529:
            raise
        return None


def _not_null(number: int, value: Any) -> Any:
    return _calls[number](value) if value is None else value


# ------------------------------------------------------------------------------------------------------ arithmetic


def _checked(name: str) -> Callable[[Any], Any]:
    low, high = types.INTEGERS[name]

    def check(value: Any) -> Any:
        if value is None or (isinstance(value, int) and low <= value <= high):
            return value
        raise errors.overflow(name)

    return check


def _divide(left: Any, right: Any) -> Any:
    """Integer division towards zero; in T-SQL the smallest bigint divided by -1 overflows like any other sum."""
    if left is None or right is None:
        return None
    if right == 0:
        raise errors.divide_by_zero()
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def _remainder(left: Any, right: Any) -> Any:
    if left is None or right is None:
        return None
    if right == 0:
        raise errors.divide_by_zero()
    return abs(left) % abs(right) * (-1 if left < 0 else 1)


def _float_divide(left: Any, right: Any) -> Any:
    if left is None or right is None:
        return None
    if right == 0:
        raise errors.divide_by_zero()
    return left / right


def _float_check(value: Any) -> Any:
    if value in (float("inf"), float("-inf")):
        raise errors.overflow("float")
    return value


def _decimal(op: str, left: str | None, right: str | None, precision: int, scale: int) -> str | None:
    """One operation on two decimals in stored form; the result has the given type."""
    if left is None or right is None:
        return None
    one, two = Decimal(left), Decimal(right)
    target = SqlType("numeric", precision=precision, scale=scale)
    if op == "+":
        return convert.fit_decimal(convert.WIDE.add(one, two), target, "expression")
    if op == "-":
        return convert.fit_decimal(convert.WIDE.subtract(one, two), target, "expression")
    if op == "*":
        return convert.fit_decimal(convert.WIDE.multiply(one, two), target, "expression")
    if two == 0:
        raise errors.divide_by_zero()
    if op == "%":
        return convert.fit_decimal(convert.WIDE.remainder(one, two), target, "expression")
    return convert.truncating(convert.WIDE.divide(one, two), target)


# ------------------------------------------------------------------------------------------------------ collations


def compare_text(left: str, right: str) -> int:
    """Without case, and without the blanks at the end, as the default collation of Azure SQL compares."""
    if left == right:
        return 0
    one, two = left.rstrip(" ").casefold(), right.rstrip(" ").casefold()
    return (one > two) - (one < two)


def compare_decimals(left: str, right: str) -> int:
    one, two = Decimal(left), Decimal(right)
    return (one > two) - (one < two)


def install(connection: sqlite3.Connection, context: Context) -> None:
    """Give a new connection everything that compiled statements use."""
    from . import functions

    def add(name: str, arguments: int, function: Callable[..., Any], deterministic: bool = True) -> None:
        def guarded(*values: Any) -> Any:
            try:
                return function(*values)
            except BaseException as error:
                context.error = error
                raise

        connection.create_function(name, arguments, guarded, deterministic=deterministic)

    connection.create_collation("t_ci", compare_text)
    connection.create_collation("t_dec", compare_decimals)
    plain: list[tuple[str, int, Callable[..., Any]]] = [
        ("t_call", 2, _call), ("t_try", 2, _try_call), ("t_notnull", 2, _not_null), ("t_div", 2, _divide),
        ("t_mod", 2, _remainder), ("t_fdiv", 2, _float_divide), ("t_float", 1, _float_check), ("t_dec", 5, _decimal),
        *((f"t_{name}", 1, _checked(name)) for name in types.INTEGERS),
    ]  # fmt: skip
    for name, count, function in plain:
        add(name, count, function)
    for spec in functions.SCALARS.values():
        if spec.call is not None:
            add(f"f_{spec.name}", -1, spec.guarded(), spec.deterministic)
    add("t_identity", 1, lambda number: context.facts().next_identity(number), deterministic=False)
    add("t_object_id", 2, lambda name, kind: None if name is None else context.facts().object_id(name, kind))
    add("t_object_name", 2, lambda number, kind: context.facts().object_name(number, kind))
    add("t_property", 3, lambda kind, subject, name: context.facts().property_of(kind, subject, name))
    aggregates.install(connection)
