"""The two catalogue procedures that the driver itself calls: sp_datatype_info_100 and
sp_describe_undeclared_parameters. Their result sets are made here, from the types that the wire knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from local.sqlserver.contract import Column, Columns, Done, Event, Row, SqlType
from local.sqlserver.tds.encode import describe

_SYSNAME = SqlType("nvarchar", length=128)
_INT, _SMALLINT, _TINYINT, _BIT = SqlType("int"), SqlType("smallint"), SqlType("tinyint"), SqlType("bit")

# What a NULL or an executemany column is declared as when the engine cannot tell.
UNKNOWN_PARAMETER = SqlType("nvarchar", length=4000)

# T-SQL name: (ODBC type, PRECISION, literal prefix, suffix, fixed scale or None)
_DATATYPES: dict[str, tuple[int, int, str | None, str | None, int | None]] = {
    "bigint": (-5, 19, None, None, 0), "binary": (-2, 8000, "0x", None, None), "bit": (-7, 1, None, None, 0),
    "char": (1, 8000, "'", "'", None), "date": (91, 10, "'", "'", 0), "datetime": (93, 23, "'", "'", 3),
    "datetime2": (93, 27, "'", "'", 7), "datetimeoffset": (-155, 34, "'", "'", 7), "decimal": (3, 38, None, None, None),
    "float": (6, 53, None, None, None), "int": (4, 10, None, None, 0), "money": (3, 19, "$", None, 4),
    "nchar": (-8, 4000, "N'", "'", None), "numeric": (2, 38, None, None, None), "nvarchar": (-9, 4000, "N'", "'", None),
    "real": (7, 24, None, None, None), "smallint": (5, 5, None, None, 0), "time": (-154, 16, "'", "'", 7),
    "tinyint": (-6, 3, None, None, 0), "uniqueidentifier": (-11, 36, "'", "'", None),
    "varbinary": (-3, 8000, "0x", None, None), "varchar": (12, 8000, "'", "'", None), "xml": (-152, 0, "N'", "'", None),
}  # fmt: skip

_DATATYPE_COLUMNS = tuple(
    Column(name, declared)
    for name, declared in (
        ("TYPE_NAME", _SYSNAME), ("DATA_TYPE", _SMALLINT), ("PRECISION", _INT),
        ("LITERAL_PREFIX", SqlType("nvarchar", length=32)), ("LITERAL_SUFFIX", SqlType("nvarchar", length=32)),
        ("CREATE_PARAMS", SqlType("nvarchar", length=32)), ("NULLABLE", _SMALLINT), ("CASE_SENSITIVE", _SMALLINT),
        ("SEARCHABLE", _SMALLINT), ("UNSIGNED_ATTRIBUTE", _SMALLINT), ("MONEY", _SMALLINT),
        ("AUTO_INCREMENT", _SMALLINT), ("LOCAL_TYPE_NAME", _SYSNAME), ("MINIMUM_SCALE", _SMALLINT),
        ("MAXIMUM_SCALE", _SMALLINT), ("SQL_DATA_TYPE", _SMALLINT), ("SQL_DATETIME_SUB", _SMALLINT),
        ("NUM_PREC_RADIX", _INT), ("INTERVAL_PRECISION", _SMALLINT), ("USERTYPE", _SMALLINT),
    )
)  # fmt: skip


def datatype_info(odbc_type: int) -> Iterator[Event]:
    """sp_datatype_info_100: every type, or the ones of an ODBC type number (0 = all). The driver reads PRECISION.

    Where one ODBC number has two T-SQL types the widest comes first, as the driver takes the first row.
    """
    yield Columns(_DATATYPE_COLUMNS)
    chosen = [(name, facts) for name, facts in _DATATYPES.items() if odbc_type in (0, facts[0])]
    chosen.sort(key=lambda item: (item[1][0], -item[1][1]))
    for name, (number, precision, prefix, suffix, scale) in chosen:
        text, money = prefix is not None and prefix.endswith("'"), name == "money"
        is_date = number in (91, 93)
        yield Row(
            (
                name, number, precision, prefix, suffix, None, 1, 0, 3 if text else 2, None if text else 0, int(money),
                None if text else 0, name, scale, scale, 9 if is_date else number, number - 90 if is_date else None,
                None if text else 10, None, 0,
            )
        )  # fmt: skip
    yield Done(len(chosen), is_select=True)


# T-SQL name: (system_type_id, TDS type, length in bytes; 0 = from the declaration)
_SYSTEM_TYPES: dict[str, tuple[int, int, int]] = {
    "bigint": (127, 38, 8), "binary": (173, 173, 0), "bit": (104, 104, 1), "char": (175, 175, 0), "date": (40, 40, 3),
    "datetime": (61, 111, 8), "datetime2": (42, 42, 8), "datetimeoffset": (43, 43, 10), "decimal": (106, 106, 17),
    "float": (62, 109, 8), "int": (56, 38, 4), "money": (60, 110, 8), "nchar": (239, 239, 0), "numeric": (108, 108, 17),
    "nvarchar": (231, 231, 0), "real": (59, 109, 4), "smalldatetime": (58, 111, 4), "smallint": (52, 38, 2),
    "smallmoney": (122, 110, 4), "time": (41, 41, 5), "tinyint": (48, 38, 1), "uniqueidentifier": (36, 36, 16),
    "varbinary": (165, 165, 0), "varchar": (167, 167, 0), "xml": (241, 241, -1),
}  # fmt: skip
_PRECISIONS = {"bigint": 19, "bit": 1, "int": 10, "smallint": 5, "tinyint": 3, "float": 53, "real": 24, "money": 19}

_UNDECLARED_COLUMNS = tuple(
    Column(name, declared, nullable)
    for name, declared, nullable in (
        ("parameter_ordinal", _INT, False), ("name", _SYSNAME, False), ("suggested_system_type_id", _INT, False),
        ("suggested_system_type_name", SqlType("nvarchar", length=256), True),
        ("suggested_max_length", _SMALLINT, False), ("suggested_precision", _TINYINT, False),
        ("suggested_scale", _TINYINT, False), ("suggested_user_type_id", _INT, True),
        ("suggested_user_type_database", _SYSNAME, True), ("suggested_user_type_schema", _SYSNAME, True),
        ("suggested_user_type_name", _SYSNAME, True),
        ("suggested_assembly_qualified_type_name", SqlType("nvarchar", length=4000), True),
        ("suggested_xml_collection_id", _INT, True), ("suggested_xml_collection_database", _SYSNAME, True),
        ("suggested_xml_collection_schema", _SYSNAME, True), ("suggested_xml_collection_name", _SYSNAME, True),
        ("suggested_is_xml_document", _BIT, False), ("suggested_is_case_sensitive", _BIT, False),
        ("suggested_is_fixed_length_clr_type", _BIT, False), ("suggested_is_input", _BIT, False),
        ("suggested_is_output", _BIT, False), ("formal_parameter_name", _SYSNAME, True),
        ("suggested_tds_type_id", _INT, False), ("suggested_tds_length", _INT, False),
    )
)  # fmt: skip

_UNDECLARED = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|\[[^\]]*\]|--[^\n]*|/\*.*?\*/|(?<![@\w])(@P\d+)\b", re.DOTALL)


def undeclared_names(statement: str) -> list[str]:
    """The driver's parameter markers (@P1, @P2 ...) outside literals and comments, each once, in order."""
    return list(dict.fromkeys(name for name in _UNDECLARED.findall(statement) if name))


def undeclared_parameters(names: Sequence[str], types: Sequence[SqlType]) -> Iterator[Event]:
    """The result set of sp_describe_undeclared_parameters (all 24 columns: the driver ignores a shorter one)."""
    yield Columns(_UNDECLARED_COLUMNS)
    for ordinal, (name, declared) in enumerate(zip(names, types, strict=True), start=1):
        system_id, tds_id, size = _SYSTEM_TYPES[declared.name]
        if not size:
            unit = 2 if declared.name.startswith("n") else 1
            size = -1 if declared.length < 0 else declared.length * unit
        precision = declared.precision or _PRECISIONS.get(declared.name, 0)
        yield Row(
            (
                ordinal, name, system_id, describe(declared), size, precision, declared.scale, None, None, None, None,
                None, None, None, None, None, False, False, False, True, False, None, tds_id,
                65535 if size < 0 else size,
            )
        )  # fmt: skip
    yield Done(len(names), is_select=True)
