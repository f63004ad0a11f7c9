"""Dates and times of T-SQL: reading them from text, showing them by style, and counting with them."""

from __future__ import annotations

import calendar
import datetime as dt
import re

from ..contract import SqlError, SqlType
from . import types

# T-SQL's date and time types have no zone, hence naive values throughout.
EPOCH = dt.datetime(1900, 1, 1)  # noqa: DTZ001
_SQL_MIN = dt.datetime(1753, 1, 1)  # noqa: DTZ001 - the first day of datetime
_PARTS = {
    "year": "year", "yy": "year", "yyyy": "year", "quarter": "quarter", "qq": "quarter", "q": "quarter",
    "month": "month",
    "mm": "month", "m": "month", "dayofyear": "dayofyear", "dy": "dayofyear", "y": "dayofyear", "day": "day",
    "dd": "day", "d": "day", "week": "week", "wk": "week", "ww": "week", "weekday": "weekday", "dw": "weekday",
    "w": "weekday", "hour": "hour", "hh": "hour", "minute": "minute", "mi": "minute", "n": "minute", "second": "second",
    "ss": "second", "s": "second", "millisecond": "millisecond", "ms": "millisecond", "microsecond": "microsecond",
    "mcs": "microsecond", "nanosecond": "nanosecond", "ns": "nanosecond", "iso_week": "iso_week", "isowk": "iso_week",
    "isoww": "iso_week",
}  # fmt: skip
_SECONDS = {"week": 604800, "day": 86400, "dayofyear": 86400, "weekday": 86400, "hour": 3600, "minute": 60, "second": 1}
_CLOCK = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.:](?P<fraction>\d{1,9}))?)?\s*(?P<half>[AaPp][Mm])?"
)
_ZONE = r"\s*(?P<zone>Z|[+-]\d{2}:\d{2})?"
_MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name}
_FORMATS = [
    re.compile(rf"\s*{day}(?:(?:T|\s+){_CLOCK}{_ZONE})?\s*$")
    for day in (
        r"(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})",
        r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})",
        r"(?P<year>\d{4})/(?P<month>\d{1,2})/(?P<day>\d{1,2})",
        r"(?P<month>\d{1,2})[/.-](?P<day>\d{1,2})[/.-](?P<year>\d{4})",
        r"(?P<name>[A-Za-z]{3})[a-z]*\s+(?P<day>\d{1,2}),?\s+(?P<year>\d{4})",
        r"(?P<day>\d{1,2})\s+(?P<name>[A-Za-z]{3})[a-z]*,?\s+(?P<year>\d{4})",
    )
]
_TIME_ONLY = re.compile(rf"\s*{_CLOCK}{_ZONE}\s*$")


def moment(stored: str) -> dt.datetime:
    """A stored date, time, datetime2 or datetimeoffset as a naive datetime (local to its own offset)."""
    if len(stored) > 26:
        return offset_moment(stored).replace(tzinfo=None)
    if stored[2:3] == ":":
        return dt.datetime.combine(EPOCH.date(), dt.time.fromisoformat(stored))
    return dt.datetime.fromisoformat(stored)


def offset_moment(stored: str) -> dt.datetime:
    """A stored datetimeoffset (UTC instant and offset) as an aware datetime."""
    sign = -1 if stored[27] == "-" else 1
    offset = sign * dt.timedelta(hours=int(stored[28:30]), minutes=int(stored[31:33]))
    return dt.datetime.fromisoformat(stored[:26]).replace(tzinfo=dt.UTC).astimezone(dt.timezone(offset))


def shape(value: dt.datetime, target: SqlType) -> str:
    """The stored form of a moment as the target type, rounded as that type does."""
    if target.name == "date":
        return value.date().isoformat()
    if target.name == "datetimeoffset":
        return _shape_offset(value)
    value = value.replace(tzinfo=None)
    if target.name == "datetime":
        if value < _SQL_MIN:
            raise _out_of_range("datetime2", target)
        ticks = int(value.microsecond * 3 / 10000 + 0.5)  # datetime counts three-hundredths of a second
        value = value.replace(microsecond=0) + dt.timedelta(milliseconds=int(ticks * 10 / 3 + 0.5))
    elif target.name == "smalldatetime":
        value = (value + dt.timedelta(seconds=30)).replace(second=0, microsecond=0)
    elif target.scale < 6:
        unit = 10 ** (6 - target.scale)
        rounded = (value.microsecond + unit // 2) // unit * unit
        value = value.replace(microsecond=0) + dt.timedelta(microseconds=rounded)
    if target.name == "time":
        return value.time().isoformat("microseconds")
    return value.isoformat(" ", "microseconds")


def _shape_offset(value: dt.datetime) -> str:
    aware = value if value.tzinfo is not None else value.replace(tzinfo=dt.UTC)
    utc = aware.astimezone(dt.UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
    return f"{utc} {aware.isoformat()[-6:]}"


def _out_of_range(source: str, target: SqlType) -> SqlError:
    text = f"The conversion of a {source} data type to a {target.name} data type resulted in an out-of-range value."
    return SqlError(242, 16, text, 3)


def parse(text: str, target: SqlType, style: int, source: str = "varchar") -> str:
    """Errors: 241 when the text is no date or time, 242 when its numbers are out of range."""
    match = next((found for pattern in _FORMATS if (found := pattern.match(text))), None) or _TIME_ONLY.match(text)
    if text.strip() == "":
        return shape(EPOCH, target)
    if match is None:
        raise SqlError(241, 16, "Conversion failed when converting date and/or time from character string.")
    groups = match.groupdict()
    month, day = groups.get("month"), groups.get("day")
    if style in (103, 104, 105) and not text.strip()[:4].isdigit():
        month, day = day, month
    try:
        number = _MONTHS[groups["name"].lower()] if groups.get("name") else int(month or 1)
        clock = _clock(groups)
        value = dt.datetime.combine(dt.date(int(groups.get("year") or 1900), number, int(day or 1)), clock)
    except (ValueError, KeyError):
        if target.name in ("datetime", "smalldatetime"):
            raise _out_of_range(source, target) from None
        raise SqlError(241, 16, "Conversion failed when converting date and/or time from character string.") from None
    return shape(_zoned(value, groups.get("zone"), target), target)


def _clock(groups: dict[str, str | None]) -> dt.time:
    hour = int(groups.get("hour") or 0)
    half = (groups.get("half") or "").lower()
    if half:
        hour = hour % 12 + (12 if half == "pm" else 0)
    micro = round(float(f"0.{groups['fraction']}") * 1_000_000) if groups.get("fraction") else 0
    return dt.time(hour, int(groups.get("minute") or 0), int(groups.get("second") or 0), min(micro, 999_999))


def _zoned(value: dt.datetime, zone: str | None, target: SqlType) -> dt.datetime:
    if zone is None or target.name not in ("datetimeoffset",):
        return value
    if zone == "Z":
        return value.replace(tzinfo=dt.UTC)
    minutes = int(zone[1:3]) * 60 + int(zone[4:6])
    return value.replace(tzinfo=dt.timezone(dt.timedelta(minutes=-minutes if zone[0] == "-" else minutes)))


def to_text(stored: str, source: SqlType, style: int) -> str:
    """CONVERT's text of a date or time. Errors: 281 for a style that is not known."""
    value = moment(stored)
    if source.name == "date" and style in (0, 20, 21, 25, 120, 121, 126, 127, 23):
        return value.date().isoformat()
    if source.name == "time" and style in (0, 108, 114, 120, 121, 126, 8, 14, 20, 21):
        return value.strftime("%H:%M:%S") + _fraction(value, source.scale)
    zone = f" {stored[27:33]}" if source.name == "datetimeoffset" else ""
    if style == 0 and source.name in ("datetime2", "datetimeoffset"):
        style = 121
    if style in (21, 25, 121):
        return value.strftime("%Y-%m-%d %H:%M:%S") + _fraction(value, source.scale) + zone
    if style in (126, 127):
        shown = value.isoformat(timespec="seconds")
        return (
            shown
            + (_fraction(value, source.scale) if value.microsecond else "")
            + ("Z" if style == 127 else zone.strip())
        )
    return _styled(value, style)


def _styled(value: dt.datetime, style: int) -> str:
    if style in (0, 100, 9, 109):
        hour = value.hour % 12 or 12
        seconds = f":{value:%S}:{value.microsecond // 1000:03d}" if style in (9, 109) else ""
        return (
            f"{value:%b} {value.day:2d} {value.year} {hour:2d}:{value:%M}{seconds}{'AM' if value.hour < 12 else 'PM'}"
        )
    known = {
        1: "%m/%d/%y", 101: "%m/%d/%Y", 102: "%Y.%m.%d", 103: "%d/%m/%Y", 104: "%d.%m.%Y", 105: "%d-%m-%Y",
        106: "%d %b %Y", 107: "%b %d, %Y", 8: "%H:%M:%S", 108: "%H:%M:%S", 110: "%m-%d-%Y", 111: "%Y/%m/%d",
        12: "%y%m%d",
        112: "%Y%m%d", 20: "%Y-%m-%d %H:%M:%S", 120: "%Y-%m-%d %H:%M:%S", 23: "%Y-%m-%d", 24: "%H:%M:%S",
    }  # fmt: skip
    if style in (14, 114):
        return f"{value:%H:%M:%S}:{value.microsecond // 1000:03d}"
    if style not in known:
        text = f"{style} is not a valid style number when converting from datetime to a character string."
        raise SqlError(281, 16, text)
    return value.strftime(known[style])


def _fraction(value: dt.datetime, scale: int) -> str:
    return "." + f"{value.microsecond:06d}0"[:scale] if scale else ""


# ------------------------------------------------------------------------------------------------- counting


def part_name(part: str) -> str:
    """Errors: 155 for an unknown date part."""
    name = _PARTS.get(part.lower())
    if name is None:
        raise SqlError(155, 15, f"'{part}' is not a recognized datepart option.")
    return name


def add(part: str, number: int, stored: str, result: SqlType) -> str:
    """DATEADD. Errors: 517 when the result leaves the calendar."""
    value = offset_moment(stored) if result.name == "datetimeoffset" else moment(stored)
    name = part_name(part)
    try:
        if name in ("year", "quarter", "month"):
            value = _add_months(value, number * {"year": 12, "quarter": 3, "month": 1}[name])
        elif name in _SECONDS:
            value += dt.timedelta(seconds=number * _SECONDS[name])
        else:
            value += dt.timedelta(microseconds=number * {"millisecond": 1000, "microsecond": 1}.get(name, 0.001))
    except (OverflowError, ValueError):
        raise SqlError(517, 16, f"Adding a value to a '{result.name}' column caused an overflow.") from None
    return shape(value, result)


def _add_months(value: dt.datetime, months: int) -> dt.datetime:
    index = value.year * 12 + value.month - 1 + months
    year, month = divmod(index, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return value.replace(year=year, month=month + 1, day=min(value.day, last))


def difference(part: str, start: str, end: str) -> int:
    """DATEDIFF: how many boundaries of the part lie between the two."""
    name = part_name(part)
    first, second = moment(start), moment(end)
    months = (second.year * 12 + second.month) - (first.year * 12 + first.month)
    if name == "month":
        return months
    if name == "year":
        return second.year - first.year
    if name == "quarter":
        return (second.year * 4 + (second.month - 1) // 3) - (first.year * 4 + (first.month - 1) // 3)
    if name == "week":  # weeks begin on Sunday whatever DATEFIRST says
        return (second.toordinal() // 7) - (first.toordinal() // 7)
    return _count(second, name) - _count(first, name)


def _count(value: dt.datetime, name: str) -> int:
    whole = value.toordinal() * 86400 + value.hour * 3600 + value.minute * 60 + value.second
    if name in _SECONDS:
        return whole // _SECONDS[name]
    per_second = {"millisecond": 1000, "microsecond": 1_000_000, "nanosecond": 1_000_000_000}[name]
    return whole * per_second + value.microsecond * per_second // 1_000_000


def part(name: str, stored: str) -> int:
    """DATEPART, with Sunday as the first day of the week (DATEFIRST 7)."""
    name, value = part_name(name), moment(stored)
    if name == "iso_week":
        return value.isocalendar().week
    if name == "week":
        first = dt.date(value.year, 1, 1)
        return (value.timetuple().tm_yday + first.isoweekday() % 7 - 1) // 7 + 1
    if name == "nanosecond":
        return value.microsecond * 1000
    computed = {
        "quarter": (value.month - 1) // 3 + 1, "dayofyear": value.timetuple().tm_yday,
        "weekday": value.isoweekday() % 7 + 1, "millisecond": value.microsecond // 1000,
    }  # fmt: skip
    return computed[name] if name in computed else int(getattr(value, name))


def part_text(name: str, stored: str) -> str:
    """DATENAME."""
    value = moment(stored)
    texts = {"month": f"{value:%B}", "weekday": f"{value:%A}"}
    return texts.get(part_name(name)) or str(part(name, stored))


def end_of_month(stored: str, months: int) -> str:
    value = _add_months(moment(stored).replace(day=1), months)
    return value.replace(day=calendar.monthrange(value.year, value.month)[1]).date().isoformat()


def delay_seconds(text: str) -> float:
    """The length of ``WAITFOR DELAY 'hh:mm[:ss[.fff]]'``. Errors: 148."""
    match = re.fullmatch(r"\s*(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:[.:](\d{1,7}))?)?\s*", text)
    if match is None or int(match[1]) > 23 or int(match[2]) > 59 or int(match[3] or 0) > 59:
        raise SqlError(148, 15, f"Incorrect time syntax in time string '{text}' used with WAITFOR.")
    return int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3] or 0) + float(f"0.{match[4] or 0}")


def datetime_type(sql_type: SqlType) -> SqlType:
    """The type in which a date part is added to a value: text counts as datetime."""
    return sql_type if types.family(sql_type) == "temporal" else types.DATETIME
