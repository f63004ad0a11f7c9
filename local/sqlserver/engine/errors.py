"""Errors by number, and what each does to the batch in which it happens.

Numbers, severities and wording are those of SQL Server's message catalogue, as clients match on them.
"""

from __future__ import annotations

from ..contract import SqlError

# The batch ends after these. Name errors surface when the statement runs (deferred name resolution).
_ENDS_BATCH = {102, 156, 137, 207, 208, 209, 213, 217, 266, 4104, 8120, 40508}
# These end the batch and roll back its transaction; in a TRY block they doom the transaction instead.
_ABORTS_TRANSACTION = {241, 242, 245, 248, 1205, 8114, 8169, 3998}
# After these comes the message 3621, "The statement has been terminated."
_TERMINATED = {515, 547, 2601, 2627, 2628, 8152}


def ends_batch(number: int) -> bool:
    return number in _ENDS_BATCH or number in _ABORTS_TRANSACTION


def aborts_transaction(number: int) -> bool:
    return number in _ABORTS_TRANSACTION


def says_terminated(number: int) -> bool:
    return number in _TERMINATED


class CancelledError(Exception):
    """The batch was cancelled; it ends without a word."""


def unsupported(what: str) -> SqlError:
    """The honest refusal of what the emulator does not know. 40510 is Azure SQL's own "statement is not supported"."""
    return SqlError(40510, 16, f"The emulator does not support {what}.")


def syntax(near: str, line: int, keyword: bool = False) -> SqlError:
    if keyword:
        return SqlError(156, 15, f"Incorrect syntax near the keyword '{near}'.", line=line)
    return SqlError(102, 15, f"Incorrect syntax near '{near}'.", line=line)


def invalid_object(name: str) -> SqlError:
    return SqlError(208, 16, f"Invalid object name '{name}'.")


def invalid_column(name: str) -> SqlError:
    return SqlError(207, 16, f"Invalid column name '{name}'.")


def overflow(target: str, source: str = "expression") -> SqlError:
    return SqlError(8115, 16, f"Arithmetic overflow error converting {source} to data type {target}.", 2)


def divide_by_zero() -> SqlError:
    return SqlError(8134, 16, "Divide by zero error encountered.")


def permission_denied(action: str, name: str, database: str, schema: str) -> SqlError:
    text = f"The {action} permission was denied on the object '{name}', database '{database}', schema '{schema}'."
    return SqlError(229, 14, text, 5)


def statement_permission_denied(action: str, database: str) -> SqlError:
    return SqlError(262, 14, f"{action} permission denied in database '{database}'.")


def does_not_exist(verb: str, kind: str, name: str) -> SqlError:
    """3701 for tables and the like, 15151 for principals."""
    text = f"Cannot {verb} the {kind} '{name}', because it does not exist or you do not have permission."
    if kind in ("login", "user", "role", "schema", "object"):
        return SqlError(15151, 16, text)
    return SqlError(3701, 11, text, 5)


def already_exists(name: str) -> SqlError:
    return SqlError(2714, 16, f"There is already an object named '{name}' in the database.", 6)
