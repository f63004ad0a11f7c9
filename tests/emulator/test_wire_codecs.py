"""Bytes: packets, PRELOGIN, and the type codecs against each other: an encoded column decodes as a parameter."""

# ruff: noqa: DTZ001 - datetime2 has no time zone
from __future__ import annotations

import contextlib
import datetime as dt
import random
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.sqlserver.contract import Column, SqlType
from local.sqlserver.tds.declarations import declared_names
from local.sqlserver.tds.decode import Reader, read_value
from local.sqlserver.tds.describe import undeclared_names
from local.sqlserver.tds.encode import codec_for
from local.sqlserver.tds.login7 import parse_login7
from local.sqlserver.tds.packets import MessageAssembler, PacketReader, PacketType, PacketWriter, ProtocolError
from local.sqlserver.tds.prelogin import choose_encryption, parse_prelogin
from local.sqlserver.tds.rpc import parse_calls


@given(st.binary(max_size=3_000), st.integers(9, 700), st.integers(0, 2**32))
def test_a_message_survives_any_packet_size_and_any_chunks(body: bytes, packet_bytes: int, seed: int) -> None:
    writer, reader, assembler = PacketWriter(), PacketReader(), MessageAssembler()
    writer.packet_bytes = packet_bytes
    stream = writer.message(body, PacketType.SQL_BATCH)
    chunks, choice = [], random.Random(seed)  # noqa: S311 - cuts bytes, keeps no secret
    while stream:
        size = choice.randint(1, 900)
        chunks.append(stream[:size])
        stream = stream[size:]
    messages = [m for chunk in chunks for p in reader.feed(chunk) if (m := assembler.add(p))]
    assert [(m.type, m.body) for m in messages] == [(PacketType.SQL_BATCH, body)]


def test_a_message_that_the_client_took_back_is_dropped() -> None:
    reader, assembler = PacketReader(), MessageAssembler()
    ignored = b"\x01\x03\x00\x09\0\0\1\0x"
    kept = b"\x01\x01\x00\x09\0\0\1\0y"
    messages = [assembler.add(packet) for packet in reader.feed(ignored + kept)]
    assert messages[0] is None
    assert messages[1] is not None
    assert messages[1].body == b"y"


@pytest.mark.parametrize(
    ("client", "in_tls", "require", "reply"),
    [(0, False, False, 2), (0, False, True, 3), (1, False, False, 1), (1, False, True, 1), (2, False, False, 2),
     (2, False, True, 3), (3, False, False, 1), (2, True, False, 2), (0, True, True, 0)],
)  # fmt: skip
def test_the_encryption_bargain(client: int, in_tls: bool, require: bool, reply: int) -> None:
    assert choose_encryption(client, in_tls=in_tls, require=require) == reply


@pytest.mark.parametrize("body", [b"", b"\x00\x00\x06", b"\x01\x00\x06\x00\x01"])
def test_a_prelogin_without_an_end_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_prelogin(body)


@given(st.binary(max_size=200))
def test_a_broken_login_is_a_protocol_error_and_nothing_else(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_login7(body)


@given(st.binary(max_size=100))
def test_a_broken_rpc_is_a_protocol_error_or_calls(body: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        parse_calls((4).to_bytes(4, "little") + body)


def round_trip(declared: SqlType, value: object) -> tuple[SqlType, object]:
    codec = codec_for(Column("v", declared))
    reader = Reader(codec.type_info + (codec.null if value is None else codec.encode(value)))
    result = read_value(reader)
    assert reader.at_end
    return result


ALL_TYPES = [
    SqlType("tinyint"), SqlType("smallint"), SqlType("int"), SqlType("bigint"), SqlType("bit"), SqlType("real"),
    SqlType("float"), SqlType("decimal", precision=20, scale=4), SqlType("numeric", precision=38), SqlType("money"),
    SqlType("smallmoney"), SqlType("char", length=5), SqlType("varchar", length=5), SqlType("varchar", length=-1),
    SqlType("nchar", length=5), SqlType("nvarchar", length=5), SqlType("nvarchar", length=-1),
    SqlType("binary", length=5), SqlType("varbinary", length=5), SqlType("varbinary", length=-1), SqlType("date"),
    SqlType("time", scale=3), SqlType("datetime"), SqlType("smalldatetime"), SqlType("datetime2", scale=7),
    SqlType("datetimeoffset", scale=7), SqlType("uniqueidentifier"),
]  # fmt: skip


@pytest.mark.parametrize("declared", ALL_TYPES, ids=lambda declared: declared.name)
def test_null_of_every_type(declared: SqlType) -> None:
    decoded, value = round_trip(declared, None)
    assert value is None
    assert decoded.name == declared.name
    assert (decoded.length, decoded.scale) == (declared.length, declared.scale)


@given(st.integers(-(2**63), 2**63 - 1))
def test_bigint(value: int) -> None:
    assert round_trip(SqlType("bigint"), value)[1] == value


@given(st.decimals(1 - 10**34, 10**34 - 1, places=4))
def test_decimal(value: Decimal) -> None:
    assert round_trip(SqlType("decimal", precision=38, scale=4), value)[1] == value


@given(st.decimals(Decimal("-922337203685477.5808"), Decimal("922337203685477.5807"), places=4))
def test_money(value: Decimal) -> None:
    assert round_trip(SqlType("money"), value)[1] == value


@given(st.text(max_size=2_000))
def test_text(value: str) -> None:
    assert round_trip(SqlType("nvarchar", length=4000), value)[1] == value
    assert round_trip(SqlType("nvarchar", length=-1), value)[1] == value


@given(st.binary(max_size=2_000))
def test_binary(value: bytes) -> None:
    assert round_trip(SqlType("varbinary", length=2000), value)[1] == value
    assert round_trip(SqlType("varbinary", length=-1), value)[1] == value


@given(st.datetimes())
def test_datetime2(value: dt.datetime) -> None:
    assert round_trip(SqlType("datetime2", scale=7), value)[1] == value
    assert round_trip(SqlType("datetime2", scale=6), value)[1] == value
    assert round_trip(SqlType("date"), value.date())[1] == value.date()
    assert round_trip(SqlType("time", scale=6), value.time())[1] == value.time()


@given(st.datetimes(dt.datetime(1753, 1, 1)))
def test_datetime_is_right_to_a_three_hundredth(value: dt.datetime) -> None:
    if value < dt.datetime(9999, 12, 31, 23, 59, 59):
        decoded = round_trip(SqlType("datetime"), value)[1]
        assert isinstance(decoded, dt.datetime)
        assert abs(decoded - value) <= dt.timedelta(microseconds=2_500)


@given(st.datetimes(dt.datetime(2, 1, 1), dt.datetime(9998, 1, 1)), st.integers(-14 * 60, 14 * 60))
def test_datetimeoffset(value: dt.datetime, minutes: int) -> None:
    aware = value.replace(tzinfo=dt.timezone(dt.timedelta(minutes=minutes)))
    decoded = round_trip(SqlType("datetimeoffset", scale=7), aware)[1]
    assert isinstance(decoded, dt.datetime)
    assert (decoded, decoded.utcoffset()) == (aware, aware.utcoffset())


@pytest.mark.parametrize(
    ("declarations", "names"),
    [
        ("", []), ("@P1 int", ["@P1"]), ("@a decimal(10,2),@b nvarchar(max) OUTPUT, @c int", ["@a", "@b", "@c"]),
        (" @x  int ,", ["@x"]),
    ],
)  # fmt: skip
def test_declarations(declarations: str, names: list[str]) -> None:
    assert declared_names(declarations) == names


def test_parameter_markers_outside_of_literals_and_comments() -> None:
    statement = "select @P2, '@P3 it''s', [@P4], \"@P5\" /* @P6 */ -- @P7\n, @P1, @P2, @P10x, @@P8 where x = @P11"
    assert undeclared_names(statement) == ["@P2", "@P1", "@P11"]
