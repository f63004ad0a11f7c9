"""Dates and times as TDS stores them, in both directions.

date: days since 0001-01-01 (3 bytes). time(n): units of 10**-n s since midnight (3-5 bytes). datetime: days since
1900-01-01 and 1/300 s. smalldatetime: days since 1900-01-01 and minutes. Python keeps microseconds, so scale 7 loses
its last digit on the way in, as with every Python client.
"""

from __future__ import annotations

import datetime as dt
import struct

_DAY_ONE = dt.date(1, 1, 1).toordinal()
_DAY_1900 = dt.date(1900, 1, 1).toordinal()
_SECONDS_PER_DAY = 86_400
_TEN_TO = tuple(int(10**exponent) for exponent in range(8))


def time_bytes(scale: int) -> int:
    """Length of a time of this scale: 3 bytes up to 2 digits, 4 up to 4, 5 up to 7."""
    if scale <= 2:
        return 3
    return 4 if scale <= 4 else 5


def encode_date(value: dt.date) -> bytes:
    return (value.toordinal() - _DAY_ONE).to_bytes(3, "little")


def decode_date(data: bytes) -> dt.date:
    return dt.date.fromordinal(int.from_bytes(data, "little") + _DAY_ONE)


def _units(value: dt.time | dt.datetime, scale: int) -> int:
    """Units since midnight, rounded half up as SQL Server rounds; may be a whole day."""
    micros = ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond
    if scale >= 6:
        return micros * _TEN_TO[scale - 6]
    step = _TEN_TO[6 - scale]
    return (micros + step // 2) // step


def encode_time(value: dt.time, scale: int) -> bytes:
    # time has no next day: 23:59:59.9999999 rounded up becomes midnight, as on the server.
    units = _units(value, scale) % (_SECONDS_PER_DAY * _TEN_TO[scale])
    return units.to_bytes(time_bytes(scale), "little")


def decode_time(data: bytes, scale: int) -> dt.time:
    units = int.from_bytes(data, "little")
    micros = units * _TEN_TO[6 - scale] if scale <= 6 else units // _TEN_TO[scale - 6]
    seconds, micro = divmod(micros, 1_000_000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return dt.time(hour, minute, second, micro)


def encode_datetime2(value: dt.datetime, scale: int) -> bytes:
    units, day = _units(value, scale), value.toordinal() - _DAY_ONE
    whole_day = _SECONDS_PER_DAY * _TEN_TO[scale]
    if units >= whole_day:
        units, day = units - whole_day, day + 1
    return units.to_bytes(time_bytes(scale), "little") + day.to_bytes(3, "little")


def decode_datetime2(data: bytes, scale: int) -> dt.datetime:
    return dt.datetime.combine(decode_date(data[-3:]), decode_time(data[:-3], scale))


def encode_datetimeoffset(value: dt.datetime, scale: int) -> bytes:
    """UTC date and time, then the offset in minutes; a naive value counts as UTC."""
    offset = value.utcoffset() or dt.timedelta()
    utc = value.replace(tzinfo=None) - offset
    return encode_datetime2(utc, scale) + struct.pack("<h", int(offset.total_seconds() // 60))


def decode_datetimeoffset(data: bytes, scale: int) -> dt.datetime:
    utc = decode_datetime2(data[:-2], scale).replace(tzinfo=dt.UTC)
    (minutes,) = struct.unpack("<h", data[-2:])
    return utc.astimezone(dt.timezone(dt.timedelta(minutes=minutes)))


def encode_datetime(value: dt.datetime) -> bytes:
    micros = ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond
    ticks, day = (micros * 3 + 5_000) // 10_000, value.toordinal() - _DAY_1900
    if ticks >= _SECONDS_PER_DAY * 300:
        ticks, day = 0, day + 1
    return struct.pack("<iI", day, ticks)


def decode_datetime(data: bytes) -> dt.datetime:
    day, ticks = struct.unpack("<iI", data)
    # The server shows milliseconds (.000, .003, .007), not the exact third.
    millis = (ticks * 10 + 1) // 3
    return dt.datetime.fromordinal(day + _DAY_1900) + dt.timedelta(milliseconds=millis)


def encode_smalldatetime(value: dt.datetime) -> bytes:
    minutes, day = value.hour * 60 + value.minute, value.toordinal() - _DAY_1900
    if value.second >= 30:
        minutes += 1
    if minutes >= 1440:
        minutes, day = 0, day + 1
    return struct.pack("<HH", day, minutes)


def decode_smalldatetime(data: bytes) -> dt.datetime:
    day, minutes = struct.unpack("<HH", data)
    return dt.datetime.fromordinal(day + _DAY_1900) + dt.timedelta(minutes=minutes)
