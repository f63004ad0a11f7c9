"""Reads the Bicep files: the parsed templates, and the values of simple expressions in them.

There is no Bicep compiler here. pycep-parser refuses what is no Bicep at all, and gives trees in which names and
literal texts look alike: a text is taken as a name when the template has a parameter or variable of that name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pycep import BicepParser

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra"

ENVIRONMENT = {
    "suffixes": {
        "storage": "core.windows.net",
        "sqlServerHostname": ".database.windows.net",
        "keyvaultDns": ".vault.azure.net",
    },
    "authentication": {"loginEndpoint": "https://login.microsoftonline.com/"},
    "resourceManager": "https://management.azure.com/",
}
"""What Bicep's environment() gives in the public cloud."""


@dataclass(frozen=True)
class Template:
    """One parsed Bicep file."""

    file: Path
    tree: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.file.relative_to(INFRA).as_posix()

    def part(self, kind: str) -> Mapping[str, Any]:
        """kind: parameters, variables, resources, modules or outputs."""
        found: Mapping[str, Any] = self.tree.get(kind) or {}
        return found

    def description(self, kind: str, name: str) -> str:
        decorators = self.part(kind)[name].get("decorators") or []
        return next((str(d["argument"]) for d in decorators if d["type"] == "description"), "")

    def required(self) -> set[str]:
        return {name for name, parameter in self.part("parameters").items() if parameter.get("default") is None}


@cache
def templates() -> tuple[Template, ...]:
    """All Bicep files. Raises what the parser raises when one is no Bicep."""
    parser = BicepParser()
    files = sorted(INFRA.rglob("*.bicep"))
    return tuple(Template(file, parser.parse(text=file.read_text(encoding="utf-8"))) for file in files)


def template(name: str) -> Template:
    return next(found for found in templates() if found.name == name)


def body(module: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object of a module or resource, inside its condition and loop."""
    inner: Any = module["config"]
    while "params" not in inner and "properties" not in inner and isinstance(inner.get("config"), dict):
        inner = inner["config"]
    found: Mapping[str, Any] = inner
    return found


def walk(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a tree with its path."""
    yield path, tree
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from walk(value, f"{path}.{key}")
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from walk(value, f"{path}[{index}]")


class Evaluator:
    """Values of the expressions that these templates use; another one is a KeyError that names it.

    names: values of parameters. Variables of the template are worked out when they are asked for.
    """

    def __init__(self, of: Template, names: Mapping[str, Any]) -> None:
        self._template, self._names = of, dict(names)

    def variable(self, name: str) -> Any:
        return self.value(self._template.part("variables")[name]["value"])

    def value(self, tree: Any) -> Any:
        """The value of a parsed expression."""
        if isinstance(tree, str):
            return self._text(tree)
        if isinstance(tree, list):
            return [self.value(item) for item in tree]
        if not isinstance(tree, Mapping):
            return tree
        if "function" in tree:
            return self._function(tree["function"])
        if "operator" in tree and isinstance(tree["operator"], Mapping) and "operands" in tree["operator"]:
            return self._operator(tree["operator"])
        return {key: self.value(item) for key, item in tree.items()}

    def _text(self, text: str) -> Any:
        if text in self._names:
            return self._names[text]
        if text in self._template.part("variables"):
            return self.variable(text)
        return re.sub(r"\$\{([^}]*)\}", lambda match: str(self._interpolated(match.group(1))), text)

    def _interpolated(self, expression: str) -> Any:
        first, *path = expression.split(".")
        value: Any = ENVIRONMENT if first == "environment()" else self._text(first)
        for key in path:
            value = value[key]
        return value

    def _function(self, function: Mapping[str, Any]) -> Any:
        given = {key: self.value(item) for key, item in function.get("parameters", {}).items() if item is not None}
        functions: dict[str, Callable[[], Any]] = {
            "environment": lambda: ENVIRONMENT,
            "subscription": lambda: {"subscriptionId": "11111111-2222-3333-4444-555555555555"},
            "tenant": lambda: {"tenantId": "66666666-7777-8888-9999-000000000000"},
            "string": lambda: str(given["value_to_convert"]),
            "join": lambda: given["delimiter"].join(given["input_array"]),
            "load_text_content": lambda: (self._template.file.parent / given["file_path"]).read_text(encoding="utf-8"),
            "replace": lambda: given["original_string"].replace(given["old_string"], given["new_string"]),
            "max": lambda: max(int(number) for value in given.values() for number in _numbers(value)),
        }
        return functions[function["type"]]()

    def _operator(self, operator: Mapping[str, Any]) -> Any:
        operands = operator["operands"]
        if operator["type"] == "property_accessor":
            return _follow(self.value(operands["operand_1"]), operands["operand_2"])
        left, right = self.value(operands["operand_1"]), self.value(operands["operand_2"])
        operators: dict[str, Callable[[], Any]] = {
            "add": lambda: left + right,
            "substract": lambda: left - right,  # the parser's spelling
            "multiply": lambda: left * right,
            "divide": lambda: left // right,
        }
        return operators[operator["type"]]()


def _numbers(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _follow(value: Any, path: Any) -> Any:
    if isinstance(path, str):
        return value[path]
    operands = path["operator"]["operands"]
    return _follow(value[operands["operand_1"]], operands["operand_2"])
