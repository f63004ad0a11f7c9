"""Routes of HTTP functions: templates as in ASP.NET Core (`items/{id:int}`, `{*rest}`, `{name?}`). Pure.

Supported constraints: int, long, guid, alpha, bool. Literal segments compare without case; a literal wins over a
parameter, a parameter over a catch-all.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import unquote

from local.functions_host.errors import StartError

T = TypeVar("T")
# These first segments belong to the host itself: no function, not even a catch-all, is ever called for them.
RESERVED = frozenset({"admin", "runtime"})
_PARAMETER = re.compile(r"\{(\*{0,2})([A-Za-z_][A-Za-z0-9_-]*)(?::([a-z]+))?(\?)?\}")
_CONSTRAINTS = {
    "int": re.compile(r"-?\d{1,10}"),
    "long": re.compile(r"-?\d{1,19}"),
    "guid": re.compile(r"\{?[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\}?"),
    "alpha": re.compile(r"[A-Za-z]+"),
    "bool": re.compile(r"true|false", re.IGNORECASE),
}
_LITERAL, _CONSTRAINED, _FREE, _CATCH_ALL = range(4)


@dataclass(frozen=True)
class _Segment:
    kind: int
    text: str  # the literal in lower case, or the parameter's name
    constraint: re.Pattern[str] | None = None
    optional: bool = False


@dataclass(frozen=True)
class _Route(Generic[T]):
    segments: tuple[_Segment, ...]
    methods: frozenset[str] | None
    target: T

    def match(self, parts: list[str]) -> dict[str, str] | None:
        values: dict[str, str] = {}
        for position, segment in enumerate(self.segments):
            if segment.kind == _CATCH_ALL:
                values[segment.text] = unquote("/".join(parts[position:]))
                return values
            if position >= len(parts):
                if segment.optional:
                    continue
                return None
            part = unquote(parts[position])
            if segment.kind == _LITERAL:
                if part.lower() != segment.text:
                    return None
            elif not part or (segment.constraint is not None and segment.constraint.fullmatch(part) is None):
                return None
            else:
                values[segment.text] = part
        return values if len(parts) <= len(self.segments) else None


class Router(Generic[T]):
    """Finds the target of a request. Built once from (template, methods, target); templates carry no prefix."""

    def __init__(self, prefix: str, routes: Iterable[tuple[str, frozenset[str] | None, T]]) -> None:
        compiled = [
            _Route(_compile(f"{prefix}/{template.strip('/')}"), methods, target) for template, methods, target in routes
        ]
        self._routes = sorted(compiled, key=lambda route: [segment.kind for segment in route.segments])

    def find(self, method: str, path: str) -> tuple[T, dict[str, str]] | None:
        """The target and the route's values for `path` (percent-encoded, without the query), or None."""
        parts = path.strip("/").split("/") if path.strip("/") else []
        if parts and parts[0].lower() in RESERVED:
            return None
        for route in self._routes:
            if route.methods is not None and method.upper() not in route.methods:
                continue
            values = route.match(parts)
            if values is not None:
                return route.target, values
        return None


def _compile(template: str) -> tuple[_Segment, ...]:
    text = template.strip("/")
    segments = tuple(_segment(part, template) for part in text.split("/")) if text else ()
    if any(segment.kind == _CATCH_ALL for segment in segments[:-1]):
        raise StartError(f"Route {template!r}: a catch-all parameter must come last.")
    return segments


def _segment(part: str, template: str) -> _Segment:
    if "{" not in part and "}" not in part:
        return _Segment(_LITERAL, part.lower())
    match = _PARAMETER.fullmatch(part)
    if match is None:
        raise StartError(f"Route {template!r}: the local host does not understand the segment {part!r}.")
    stars, name, constraint, optional = match.groups()
    if stars:
        return _Segment(_CATCH_ALL, name)
    if constraint is None:
        return _Segment(_FREE, name, optional=bool(optional))
    if constraint not in _CONSTRAINTS:
        raise StartError(
            f"Route {template!r}: the local host does not know the constraint {constraint!r}; it knows "
            f"{', '.join(sorted(_CONSTRAINTS))}."
        )
    return _Segment(_CONSTRAINED, name, _CONSTRAINTS[constraint], bool(optional))
