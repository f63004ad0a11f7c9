"""Reads one YAML document strictly by a shape: every problem with its line, and no guesses about types."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import yaml

from elastic_jobs.cli.files.problems import did_you_mean
from elastic_jobs.cli.files.shapes import INSTANT, INT_MAX, Field, Kind, Shape

_TAG = "tag:yaml.org,2002:"
_FOUND = {
    "null": "nothing",
    "bool": "a yes or no",
    "int": "a number",
    "float": "a number",
    "timestamp": "a date",
    "str": "text",
    "seq": "a list",
    "map": "keys with values",
}
_INSTANT = re.compile(INSTANT)
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?|[+-]?\.[0-9]+")

Report = Callable[[int, str], None]
"""Takes a line and a reason."""


@dataclass
class Entry:
    """A mapping as it was read. ``values``: what is right, by key; of lists and mappings again entries.

    lines: the line of each key that is there, also when its value is wrong.
    """

    line: int
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a key, or the default when it is absent or wrong."""
        return self.values.get(name, default)

    def at(self, name: str) -> int:
        """The line to name in a problem with this key."""
        return self.lines.get(name, self.line)


def read_document(text: str, shape: Shape, report: Report) -> Entry | None:
    """The document, or None when there is nothing to read; what is wrong is reported."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        report(mark.line + 1 if mark else 0, f"This is no YAML: {error.problem or error.context}.")
        return None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        report(line, f"The character U+{int(error.character):04X} is not allowed in YAML.")
        return None
    except RecursionError:
        report(0, "The file is nested too deeply.")
        return None
    if node is None:
        report(0, f"The file is empty; it must define a {shape.what}.")
        return None
    return _mapping(node, shape, report)


def _line(node: yaml.Node) -> int:
    line: int = node.start_mark.line + 1
    return line


def _kind(node: yaml.Node) -> str:
    return str(node.tag).removeprefix(_TAG)


def _mapping(node: yaml.Node, shape: Shape, report: Report) -> Entry | None:
    if not isinstance(node, yaml.MappingNode) or _kind(node) != "map":
        report(_line(node), f"A {shape.what} must be keys with values, not {_FOUND.get(_kind(node), _kind(node))}.")
        return None
    entry = Entry(_line(node))
    known = [each.name for each in shape.fields]
    for key_node, value_node in node.value:
        line = _line(key_node)
        name = key_node.value if isinstance(key_node, yaml.ScalarNode) else "?"
        found = shape.field(name)
        if found is None:
            report(line, f"A {shape.what} has no key '{name[:64]}'; {did_you_mean(name, known)}")
        elif name in entry.lines:
            report(line, f"The key '{name}' stands here twice, first in line {entry.lines[name]}; leave one out.")
        else:
            entry.lines[name] = line
            value = _value(value_node, found, report)
            if value is not None:
                entry.values[name] = value
    _check_presence(entry, shape, report)
    return entry


def _check_presence(entry: Entry, shape: Shape, report: Report) -> None:
    for each in shape.fields:
        if each.required and each.name not in entry.lines:
            report(entry.line, f"The {shape.what} has no '{each.name}'.")
    if shape.exactly_one:
        given = [name for name in shape.exactly_one if name in entry.lines]
        if len(given) != 1:
            words = " or ".join(f"'{name}'" for name in shape.exactly_one)
            report(entry.line, f"The {shape.what} must have either {words}{', not both' if given else ''}.")


def _value(node: yaml.Node, wanted: Field, report: Report) -> Any:
    if wanted.kind is Kind.SHAPE and wanted.shape is not None:
        return _mapping(node, wanted.shape, report)
    if wanted.kind is Kind.LIST and wanted.shape is not None:
        return _list(node, wanted, wanted.shape, report)
    if not isinstance(node, yaml.ScalarNode):
        report(_line(node), f"'{wanted.name}' must be one value, not {_FOUND.get(_kind(node), _kind(node))}.")
        return None
    if wanted.kind is Kind.FLAG:
        return _flag(node, wanted, report)
    if wanted.kind in {Kind.WHOLE, Kind.NUMBER}:
        return _number(node, wanted, report)
    return _text(node, wanted, report)


def _list(node: yaml.Node, wanted: Field, shape: Shape, report: Report) -> list[Entry] | None:
    if not isinstance(node, yaml.SequenceNode) or _kind(node) != "seq":
        report(_line(node), f"'{wanted.name}' must be a list, not {_FOUND.get(_kind(node), _kind(node))}.")
        return None
    return [entry for entry in (_mapping(each, shape, report) for each in node.value) if entry is not None]


def _flag(node: yaml.ScalarNode, wanted: Field, report: Report) -> bool | None:
    if _kind(node) != "bool" or node.value not in {"true", "false"}:
        report(_line(node), f"'{wanted.name}' must be true or false, not '{node.value[:64]}'.")
        return None
    return bool(node.value == "true")


def _number(node: yaml.ScalarNode, wanted: Field, report: Report) -> int | float | None:
    whole = wanted.kind is Kind.WHOLE
    most: float = INT_MAX if whole else 1e6
    plain = node.style is None and _kind(node) in {"int", "float", "str"}
    if not plain or not (_WHOLE if whole else _NUMBER).fullmatch(node.value):
        what = "a whole number" if whole else "a number"
        report(_line(node), f"'{wanted.name}' must be {what}, not {_shown(node)}.")
        return None
    value = int(node.value) if whole else float(node.value)
    if not wanted.least <= value <= most:
        report(_line(node), f"'{wanted.name}' is {node.value}; it must be from {wanted.least} to {most:.0f}.")
        return None
    return value


def _text(node: yaml.ScalarNode, wanted: Field, report: Report) -> str | None:
    value: str = node.value
    kinds = {"str", "timestamp"} if wanted.kind is Kind.INSTANT else {"str"}
    if _kind(node) not in kinds:
        hint = f"; for the text write '{value[:64]}' in quotes" if _kind(node) in _FOUND and value else ""
        report(_line(node), f"'{wanted.name}' must be text, not {_FOUND.get(_kind(node), _kind(node))}{hint}.")
        return None
    reason = _text_problem(value, wanted)
    if reason is not None:
        report(_line(node), reason)
        return None
    return value


def _text_problem(value: str, wanted: Field) -> str | None:
    """What is wrong with a text, as a sentence."""
    if not value.strip() and not wanted.empty:
        return f"'{wanted.name}' is empty."
    if wanted.kind is Kind.INSTANT:
        if _INSTANT.fullmatch(value):
            return None
        return f"'{wanted.name}' is no instant; write it as 2026-01-31T04:00:00Z."
    if wanted.choices and value not in wanted.choices:
        return f"'{wanted.name}' cannot be '{value[:64]}'; {did_you_mean(value, wanted.choices)}"
    if wanted.pattern is not None and not re.fullmatch(wanted.pattern, value):
        return f"'{wanted.name}' cannot be '{value[:64]}'; write {wanted.hint}."
    if wanted.longest is None:
        return None
    length = len(value.encode("utf-16-le", "surrogatepass")) // 2
    if length > wanted.longest:
        return f"'{wanted.name}' has {length} characters; at most {wanted.longest} are allowed."
    if not wanted.empty and any(unicodedata.category(character) in {"Cc", "Cs"} for character in value):
        return f"'{wanted.name}' contains control characters; remove them."
    return None


def _shown(node: yaml.ScalarNode) -> str:
    return f"'{node.value[:64]}'" if node.value else "nothing"
