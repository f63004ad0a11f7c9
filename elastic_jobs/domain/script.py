"""A step's script: where its batches end, and what its scripting variables stand for.

``GO`` is no T-SQL but a line that clients look for, so the agent has to find it, and must not be fooled by a ``GO``
inside a string, a comment or a quoted name. The variables are those of Azure elastic jobs (``jobs.sp_add_jobstep``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto
from uuid import UUID


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What is sent to the server at once. ``line``: its first line in the script, from 1. ``repeat``: the n of GO n."""

    text: str
    line: int
    repeat: int = 1


@dataclass(frozen=True, kw_only=True)
class ScriptVariables:
    """The values of the eight scripting variables, for one step of one execution. The time is aware."""

    job_name: str
    job_id: UUID
    job_version: int
    step_id: int
    step_name: str
    job_execution_id: UUID
    job_execution_create_time: datetime
    target_group_name: str

    def by_name(self) -> Mapping[str, str | int | UUID | datetime]:
        return vars(self)


class _Kind(Enum):
    CODE = auto()
    STRING = auto()
    LINE_COMMENT = auto()
    BLOCK_COMMENT = auto()
    QUOTED = auto()
    BRACKETED = auto()


_COMMENTS = frozenset({_Kind.LINE_COMMENT, _Kind.BLOCK_COMMENT})
_OPENING = re.compile(r"'|\"|\[|--|/\*")
_COMMENT_MARK = re.compile(r"/\*|\*/")
_KIND_OF = {
    "'": _Kind.STRING,
    '"': _Kind.QUOTED,
    "[": _Kind.BRACKETED,
    "--": _Kind.LINE_COMMENT,
    "/*": _Kind.BLOCK_COMMENT,
}
_CLOSING = {_Kind.STRING: "'", _Kind.QUOTED: '"', _Kind.BRACKETED: "]"}

_GO = re.compile(r"[^\S\n]*GO(?:[^\S\n]+(?P<count>[0-9]{1,9}))?[^\S\n]*;?[^\S\n]*", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\(([A-Za-z_][A-Za-z_0-9]*)\)")
_STATEMENT_WORD = re.compile(
    r"(?<![\w@#$.])(?:SELECT|INSERT|UPDATE|DELETE|MERGE|VALUES|SET|DECLARE|PRINT|IF|WHILE|RETURN|RAISERROR|THROW|WITH"
    r"|BEGIN|END|ELSE|AS|EXEC|EXECUTE)(?![\w@#$])",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class _Part:
    """A stretch of the script of one kind, delimiters included."""

    kind: _Kind
    start: int
    end: int


def split(script: str) -> tuple[Batch, ...]:
    """The batches of a script, at each line that holds nothing but ``GO``, in the order in which they run.

    ``GO`` counts in any case, with a number of repetitions, a semicolon or a comment behind it. Batches of blank
    lines, and those with ``GO 0``, are left out.
    """
    batches: list[Batch] = []
    start = 0
    for line_start, line_end, repeat in _separators(script):
        _append(batches, script, start, line_start, repeat)
        start = line_end
    _append(batches, script, start, len(script), 1)
    return tuple(batches)


def substitute(script: str, variables: ScriptVariables) -> str:
    """The script with its scripting variables replaced.

    Outside of strings a variable becomes a literal of its type; in a string, a "quoted" or a [bracketed] name its bare
    text with the closing delimiter doubled. In comments, and where the name is unknown, ``$(name)`` is left alone.
    An argument of EXEC can only be a literal there, so ids and times become strings, which the server converts.
    """
    values = variables.by_name()
    pieces: list[str] = []
    for part in _parts(script):
        text = script[part.start : part.end]
        if part.kind not in _COMMENTS:
            text = _VARIABLE.sub(_replacement(part, script, values), text)
        pieces.append(text)
    return "".join(pieces)


def prepare(script: str, variables: ScriptVariables) -> tuple[Batch, ...]:
    """The batches of a script with the variables replaced. Split first: no value can bring in a separator."""
    return tuple(
        Batch(text=substitute(batch.text, variables), line=batch.line, repeat=batch.repeat) for batch in split(script)
    )


def _replacement(
    part: _Part, script: str, values: Mapping[str, str | int | UUID | datetime]
) -> Callable[[re.Match[str]], str]:
    def replace(match: re.Match[str]) -> str:
        value = values.get(match[1].lower())
        if value is None:
            return match[0]
        if part.kind is _Kind.CODE:
            return _literal(value, script, part.start + match.start())
        closing = _CLOSING[part.kind]
        return _text(value).replace(closing, closing * 2)

    return replace


def _text(value: str | int | UUID | datetime) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(sep="T", timespec="microseconds")
    return str(value)


def _literal(value: str | int | UUID | datetime, script: str, position: int) -> str:
    text = _text(value)
    if isinstance(value, int):
        return text
    if isinstance(value, str):
        return "N'" + text.replace("'", "''") + "'"
    if _in_exec(script, position):
        return f"'{text}'"
    return f"CAST('{text}' AS {'uniqueidentifier' if isinstance(value, UUID) else 'datetime2(7)'})"


def _in_exec(script: str, position: int) -> bool:
    """Whether the statement around the position began with EXEC, and no parenthesis is open since."""
    word, after = "", 0
    code = "".join(
        script[part.start : part.end] if part.kind is _Kind.CODE else " " * (part.end - part.start)
        for part in _parts(script)
        if part.start < position
    )[:position]
    for match in _STATEMENT_WORD.finditer(code):
        word, after = match[0].upper(), match.end()
    tail = code[after:]
    return word in {"EXEC", "EXECUTE"} and ";" not in tail and tail.count("(") <= tail.count(")")


def _append(batches: list[Batch], script: str, start: int, end: int, repeat: int) -> None:
    text = script[start:end]
    if text.strip() and repeat > 0:
        batches.append(Batch(text=text, line=script.count("\n", 0, start) + 1, repeat=repeat))


def _separators(script: str) -> Iterator[tuple[int, int, int]]:
    """Each GO line: its start, where the script goes on behind it, and how often the batch before it runs."""
    parts = list(_parts(script))
    for index, part in enumerate(parts):
        if part.kind is not _Kind.CODE:
            continue
        for match in _lines_with_go(script, part):
            end = _end_of_line(script, parts, index, match.end())
            if end is not None:
                yield match.start(), end, int(match["count"] or 1)


def _lines_with_go(script: str, part: _Part) -> Iterator[re.Match[str]]:
    line = part.start
    if line > 0 and script[line - 1] != "\n":
        line = script.find("\n", part.start, part.end) + 1
        if line == 0:
            return
    while line < part.end:
        match = _GO.match(script, line, part.end)
        if match:
            yield match
        newline = script.find("\n", line, part.end)
        if newline < 0:
            return
        line = newline + 1


def _end_of_line(script: str, parts: list[_Part], index: int, position: int) -> int | None:
    """The position behind the line if from here on it holds only blanks and comments, otherwise None.

    A block comment that goes on over the line's end is left to the next batch, whole.
    """
    while True:
        part = parts[index]
        if part.kind is _Kind.CODE:
            newline = script.find("\n", position, part.end)
            if script[position : part.end if newline < 0 else newline].strip():
                return None
            if newline >= 0:
                return newline + 1
        elif part.kind not in _COMMENTS:
            return None
        elif "\n" in script[part.start : part.end]:
            return part.start
        index += 1
        if index == len(parts):
            return len(script)
        position = parts[index].start


def _parts(script: str) -> Iterator[_Part]:
    """Cut the script into stretches of one kind; joined they are the script. What is not closed runs to the end."""
    position = 0
    while position < len(script):
        opening = _OPENING.search(script, position)
        start = opening.start() if opening else len(script)
        if start > position:
            yield _Part(_Kind.CODE, position, start)
        if opening is None:
            return
        kind = _KIND_OF[opening[0]]
        position = _end_of_part(script, kind, opening.end())
        yield _Part(kind, start, position)


def _end_of_part(script: str, kind: _Kind, position: int) -> int:
    if kind is _Kind.LINE_COMMENT:
        newline = script.find("\n", position)
        return len(script) if newline < 0 else newline
    if kind is _Kind.BLOCK_COMMENT:
        return _end_of_block_comment(script, position)
    closing = _CLOSING[kind]
    while True:
        end = script.find(closing, position)
        if end < 0:
            return len(script)
        if not script.startswith(closing, end + 1):
            return end + 1
        position = end + 2


def _end_of_block_comment(script: str, position: int) -> int:
    depth = 1
    for mark in _COMMENT_MARK.finditer(script, position):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return mark.end()
    return len(script)
