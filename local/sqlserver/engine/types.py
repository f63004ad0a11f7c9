"""T-SQL data types: names, defaults, precedence, and what sys.columns says about them.

How values are kept in SQLite ("stored form"): integers and bit as INTEGER; float and real as REAL; decimal and money as
TEXT with exactly ``scale`` digits; dates and times as ISO TEXT of fixed width (six digits of a second); datetimeoffset
as the UTC instant, a blank and the offset; uniqueidentifier as upper-case TEXT; binary as BLOB; strings as TEXT.
"""

from __future__ import annotations

from functools import lru_cache

from ..contract import SqlError, SqlType
from . import errors

MAX = -1
INTEGERS = {"bit": (0, 1), "tinyint": (0, 255), "smallint": (-(2**15), 2**15 - 1), "int": (-(2**31), 2**31 - 1),
            "bigint": (-(2**63), 2**63 - 1)}  # fmt: skip
_FAMILIES = {
    "integer": ("bit", "tinyint", "smallint", "int", "bigint"),
    "decimal": ("decimal", "numeric", "money", "smallmoney"),
    "float": ("float", "real"),
    "string": ("char", "varchar", "nchar", "nvarchar", "text", "ntext"),
    "binary": ("binary", "varbinary", "image"),
    "guid": ("uniqueidentifier",),
    "temporal": ("date", "time", "datetime", "smalldatetime", "datetime2", "datetimeoffset"),
}
FAMILY = {name: family for family, names in _FAMILIES.items() for name in names}
# Data type precedence, lowest first: when two types meet, the lower one is converted.
_PRECEDENCE = (
    "binary", "varbinary", "image", "char", "varchar", "nchar", "nvarchar", "uniqueidentifier", "text", "ntext", "bit",
    "tinyint", "smallint", "int", "bigint", "smallmoney", "money", "decimal", "numeric", "real", "float", "time",
    "date",
    "smalldatetime", "datetime", "datetime2", "datetimeoffset",
)  # fmt: skip
RANK = {name: rank for rank, name in enumerate(_PRECEDENCE)}
_SYNONYMS = {
    "integer": "int", "dec": "decimal", "sysname": "nvarchar", "character": "char", "rowversion": "timestamp",
}  # fmt: skip
# system_type_id, max_length, precision, scale of the types of fixed size (sys.types).
_FIXED = {
    "uniqueidentifier": (36, 16, 0, 0), "date": (40, 3, 10, 0), "tinyint": (48, 1, 3, 0), "smallint": (52, 2, 5, 0),
    "int": (56, 4, 10, 0), "smalldatetime": (58, 4, 16, 0), "real": (59, 4, 24, 0), "money": (60, 8, 19, 4),
    "datetime": (61, 8, 23, 3), "float": (62, 8, 53, 0), "bit": (104, 1, 1, 0), "smallmoney": (122, 4, 10, 4),
    "bigint": (127, 8, 19, 0),
}  # fmt: skip
_TYPE_IDS = {
    "image": 34, "text": 35, "time": 41, "datetime2": 42, "datetimeoffset": 43, "ntext": 99, "decimal": 106,
    "numeric": 108, "varbinary": 165, "varchar": 167, "binary": 173, "char": 175, "nvarchar": 231, "nchar": 239,
} | {name: row[0] for name, row in _FIXED.items()}  # fmt: skip
TYPE_IDS = dict(_TYPE_IDS)

BIT, INT, BIGINT, FLOAT = SqlType("bit"), SqlType("int"), SqlType("bigint"), SqlType("float")
MONEY, GUID, DATE = SqlType("money", precision=19, scale=4), SqlType("uniqueidentifier"), SqlType("date")
DATETIME, DATETIME2 = SqlType("datetime", scale=3), SqlType("datetime2", scale=7)
SYSNAME = SqlType("nvarchar", length=128)


def nvarchar(length: int) -> SqlType:
    return SqlType("nvarchar", length=MAX if length > 4000 or length == MAX else max(length, 1))


def varchar(length: int) -> SqlType:
    return SqlType("varchar", length=MAX if length > 8000 or length == MAX else max(length, 1))


def family(sql_type: SqlType) -> str:
    return FAMILY[sql_type.name]


def is_unicode(sql_type: SqlType) -> bool:
    return sql_type.name in ("nchar", "nvarchar", "ntext")


def is_money(sql_type: SqlType) -> bool:
    return sql_type.name in ("money", "smallmoney")


@lru_cache(maxsize=1024)
def make(name: str, arguments: tuple[int, ...] = (), default_length: int = 1) -> SqlType:
    """The type that ``name(arguments)`` declares; ``MAX`` stands for max.

    default_length: of a string or binary type without one: 1 in declarations, 30 in CAST.
    Errors: 2715 unknown type, 1001 length out of range, 2750 precision over 38, 2751 scale over precision.
    """
    sysname = name == "sysname"
    name = _SYNONYMS.get(name, name)
    if name not in FAMILY:
        if name in (
            "xml",
            "sql_variant",
            "hierarchyid",
            "geography",
            "geometry",
            "timestamp",
            "cursor",
            "table",
            "json",
        ):
            raise errors.unsupported(f"the data type {name}")
        raise SqlError(2715, 16, f"Column, parameter, or variable #1: Cannot find data type {name}.", 6)
    if sysname:
        return SYSNAME
    if name in ("decimal", "numeric"):
        return _decimal(name, arguments)
    if name in ("text", "ntext", "image"):
        return SqlType(name, length=MAX)
    if FAMILY[name] in ("string", "binary"):
        length = arguments[0] if arguments else default_length
        limit = 4000 if name.startswith("n") else 8000
        if (length == MAX and name in ("char", "nchar", "binary")) or length > limit or length in (0, -2):
            text = f"The size ({length}) given to the type '{name}' exceeds the maximum allowed ({limit})."
            raise SqlError(131, 15, text, 2)
        return SqlType(name, length=length)
    if name == "float":
        return SqlType("real" if arguments and arguments[0] <= 24 else "float")
    if name in ("datetime2", "time", "datetimeoffset"):
        return SqlType(name, scale=arguments[0] if arguments else 7)
    if name in ("money", "smallmoney"):
        return SqlType(name, precision=_FIXED[name][2], scale=4)
    return SqlType(name, scale=3) if name == "datetime" else SqlType(name)


def _decimal(name: str, arguments: tuple[int, ...]) -> SqlType:
    precision, scale = (*arguments, *(18, 0)[len(arguments) :])
    if not 1 <= precision <= 38:
        text = (
            f"Column or parameter #1: Specified column precision {precision} is greater than the maximum precision of "
            "38."
        )
        raise SqlError(2750, 16, text)
    if scale > precision:
        raise SqlError(
            2751, 16, f"Column or parameter #1: Specified column scale {scale} is greater than the precision."
        )
    return SqlType(name, precision=precision, scale=scale)


def as_decimal(sql_type: SqlType) -> SqlType:
    """The decimal type into which a number of another type goes without loss, as in arithmetic."""
    if family(sql_type) == "decimal":
        return sql_type
    digits = {"bit": 1, "tinyint": 3, "smallint": 5, "int": 10, "bigint": 19}.get(sql_type.name, 38)
    return SqlType("numeric", precision=digits, scale=0)


def common(left: SqlType, right: SqlType) -> SqlType:
    """The type of an expression that may be either (CASE, COALESCE, UNION), and in which the two are compared."""
    if left == right:
        return left
    first, second = (left, right) if RANK[left.name] >= RANK[right.name] else (right, left)
    if family(first) in ("string", "binary") and family(second) == family(first):
        length = MAX if MAX in (first.length, second.length) else max(first.length, second.length)
        variable = {"char": "varchar", "nchar": "nvarchar", "binary": "varbinary"}
        name = (
            first.name
            if first.name == second.name and first.length == second.length
            else variable.get(first.name, first.name)
        )
        return SqlType(name, length=MAX if name.startswith("n") and length > 4000 else length)
    if family(first) == "decimal" and family(second) in ("decimal", "integer"):
        one, two = as_decimal(first), as_decimal(second)
        if is_money(first):
            return first
        scale = max(one.scale, two.scale)
        whole = max(one.precision - one.scale, two.precision - two.scale)
        return SqlType("numeric" if "numeric" in (one.name, two.name) else "decimal",
                       precision=min(38, whole + scale), scale=min(scale, max(0, 38 - whole)))  # fmt: skip
    if first.name == second.name:
        return first if first.scale >= second.scale else second
    return first


def declaration(sql_type: SqlType) -> str:
    """``nvarchar(30)``, ``decimal(18,2)``, ``int``."""
    if sql_type.name in ("decimal", "numeric"):
        return f"{sql_type.name}({sql_type.precision},{sql_type.scale})"
    if sql_type.name in ("datetime2", "time", "datetimeoffset"):
        return f"{sql_type.name}({sql_type.scale})"
    if family(sql_type) in ("string", "binary") and sql_type.name not in ("text", "ntext", "image"):
        return f"{sql_type.name}({'max' if sql_type.length == MAX else sql_type.length})"
    return sql_type.name


def storage_facts(sql_type: SqlType) -> tuple[int, int, int]:
    """max_length in bytes, precision and scale, as sys.columns shows them."""
    name, scale = sql_type.name, sql_type.scale
    if name in _FIXED:
        return _FIXED[name][1:]
    if name in ("decimal", "numeric"):
        precision = sql_type.precision
        size = next(size for limit, size in ((9, 5), (19, 9), (28, 13), (38, 17)) if precision <= limit)
        return size, precision, scale
    if name in ("datetime2", "time", "datetimeoffset"):
        base, digits = {"datetime2": (6, 19), "time": (3, 8), "datetimeoffset": (8, 26)}[name]
        return base + (scale > 2) + (scale > 4), digits + (scale + 1 if scale else 0), scale
    if name in ("text", "ntext", "image"):
        return 16, 0, 0
    return (sql_type.length * 2 if is_unicode(sql_type) and sql_type.length != MAX else sql_type.length), 0, 0
