"""T-SQL text into tokens. Comments (nested ones too) and white space go; every token knows its line."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..contract import SqlError

RESERVED = frozenset(
    """
    add all alter and any as asc authorization backup begin between break browse bulk by cascade case check
    checkpoint close clustered coalesce collate column commit compute constraint contains containstable continue
    convert create cross current current_date current_time current_timestamp current_user cursor database dbcc
    deallocate declare default delete deny desc disk distinct distributed double drop dump else end errlvl escape
    except exec execute exists exit external fetch file fillfactor for foreign freetext freetexttable from full
    function goto grant group having holdlock identity identity_insert identitycol if in index inner insert
    intersect into is join key kill left like lineno load merge national nocheck nonclustered not null nullif of off
    offsets on open opendatasource openquery openrowset openxml option or order outer over percent pivot plan
    primary print proc procedure public raiserror read readtext reconfigure references replication restore restrict
    return revert revoke right rollback rowcount rowguidcol rule save schema securityaudit select
    semantickeyphrasetable session_user set setuser shutdown some statistics system_user table tablesample textsize
    then to top tran transaction trigger truncate try_convert tsequal union unique unpivot update updatetext use
    user values varying view waitfor when where while with writetext
    """.split()  # noqa: SIM905 - a list of 180 literals would be no easier to read
)

_PATTERN = re.compile(
    r"""
    (?P<space>[\s\u00a0\ufeff]+)
  | (?P<comment>--[^\n]*)
  | (?P<open_comment>/\*)
  | (?P<binary>0[xX][0-9A-Fa-f]*)
  | (?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
  | (?P<string>[nN]?'(?:[^']|'')*'(?!'))
  | (?P<bracketed>\[(?:[^\]]|\]\])*\](?!\]))
  | (?P<quoted>"(?:[^"]|"")*"(?!"))
  | (?P<money>\$\d+(?:\.\d*)?)
  | (?P<variable>@@?[\w$\#@]+)
  | (?P<word>[^\W\d][\w$\#@]*|\#\#?[\w$\#@]+)
  | (?P<op><>|!=|<=|>=|!<|!>|\+=|-=|\*=|/=|%=|&=|\|=|\^=|::|[-+*/%&|^~=<>(),.;:])
    """,
    re.VERBOSE,
)


@dataclass(slots=True)
class Token:
    """kind: word, name (bracketed or quoted), string, nstring, number, binary, money, variable, op, end.

    text: as written. value: unquoted. key: lower case of a word, the sign itself of an op, otherwise empty, so that a
    quoted identifier is never taken for a keyword. start, end: position in the source.
    """

    kind: str
    text: str
    value: str
    key: str
    line: int
    start: int
    end: int

    @property
    def reserved(self) -> bool:
        return self.kind == "word" and self.key in RESERVED


def tokenize(source: str) -> list[Token]:
    """Errors: 105 unclosed string or name, 113 unclosed comment, 102 a sign that T-SQL does not know."""
    tokens: list[Token] = []
    position, line = 0, 1
    while position < len(source):
        match = _PATTERN.match(source, position)
        if match is None:
            raise _unknown(source, position, line)
        kind, text = match.lastgroup or "", match.group()
        position = match.end()
        if kind == "open_comment":
            position = _end_of_comment(source, match.start(), line)
            line += source.count("\n", match.start(), position)
            continue
        if kind not in ("space", "comment"):
            tokens.append(_token(kind, text, line, match.start(), position))
        line += text.count("\n")
    tokens.append(Token("end", "", "", "", line, len(source), len(source)))
    return tokens


def _token(kind: str, text: str, line: int, start: int, end: int) -> Token:
    value, key = text, ""
    if kind == "word":
        key = text.lower()
    elif kind == "op":
        key = text
    elif kind == "string":
        kind = "nstring" if text[0] in "nN" else "string"
        value = text[text.index("'") + 1 : -1].replace("''", "'")
    elif kind == "bracketed":
        kind, value = "name", text[1:-1].replace("]]", "]")
    elif kind == "quoted":
        kind, value = "name", text[1:-1].replace('""', '"')
    elif kind == "variable":
        value = text.lower()
    return Token(kind, text, value, key, line, start, end)


def _end_of_comment(source: str, start: int, line: int) -> int:
    depth, position = 1, start + 2
    while depth:
        following = [p for p in (source.find("/*", position), source.find("*/", position)) if p >= 0]
        if not following:
            raise SqlError(113, 15, "Missing end comment mark '*/'.", line=line)
        position = min(following)
        depth += 1 if source[position] == "/" else -1
        position += 2
    return position


def _unknown(source: str, position: int, line: int) -> SqlError:
    character = source[position]
    if character in "'\"[" or (character in "nN" and source[position + 1 : position + 2] == "'"):
        rest = source[position + (2 if character in "nN" else 1) :]
        return SqlError(105, 15, f"Unclosed quotation mark after the character string '{rest[:129]}'.", line=line)
    return SqlError(102, 15, f"Incorrect syntax near '{character}'.", line=line)
