"""What belongs to one running batch or procedure: variables, the error in hand, the scope of identity values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..contract import SqlError, SqlType
from . import nodes
from .compiled import parameter


class Frame:
    """values in stored form, by lower-case name with its ``@``. parameters: declared from outside, with their types.

    Errors: 137 when the batch uses a variable that is declared neither in its text nor outside.
    """

    def __init__(
        self, batch: nodes.Batch, parameters: Mapping[str, SqlType], nesting: int = 0, procedure: str = ""
    ) -> None:
        for name, line in batch.free:
            if name not in parameters:
                kind = "scalar variable"
                raise SqlError(137, 15, f'Must declare the {kind} "{name}".', 2, line)
        self.types: dict[str, SqlType] = {**parameters, **dict(batch.declared)}
        self.values: dict[str, Any] = dict.fromkeys(self.types)
        self.parameter_names = {parameter(name)[1:]: name for name in self.types}
        self.signature = tuple(self.types.items())
        self.nesting = nesting
        self.procedure = procedure
        self.scope_identity: int | None = None
        self._errors: list[SqlError] = []

    @contextmanager
    def handling(self, error: SqlError) -> Iterator[None]:
        """Inside a CATCH block: ERROR_NUMBER() and the like speak of this error."""
        self._errors.append(error)
        try:
            yield
        finally:
            self._errors.pop()

    @property
    def current_error(self) -> SqlError | None:
        return self._errors[-1] if self._errors else None

    def inherit(self, outer: Frame) -> None:
        """A procedure called in a CATCH block sees the error that is handled there."""
        self._errors = list(outer._errors)

    def error_value(self, name: str) -> Any:
        error = self.current_error
        if error is None:
            return None
        if name == "error_procedure":
            return getattr(error, "procedure", "") or None
        values = {
            "number": error.number,
            "message": error.text,
            "severity": error.severity,
            "state": error.state,
            "line": error.line,
        }
        return values[name.removeprefix("error_")]
