"""The JSON schema of definition files, for editors. It says what the reader says, made of the same table."""

from __future__ import annotations

from typing import Any

from elastic_jobs.cli.files.shapes import GROUP, INSTANT, INT_MAX, JOB, Field, Kind, Shape

DRAFT = "https://json-schema.org/draft/2020-12/schema"
SHAPES = {"group": GROUP, "job": JOB}


def json_schema(kind: str) -> dict[str, Any]:
    """The schema of one kind of file: ``group`` or ``job``."""
    shape = SHAPES[kind]
    return {"$schema": DRAFT, "title": f"elastic-jobs: {shape.what}", **_of_shape(shape)}


def _of_shape(shape: Shape) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {field.name: {**_of_field(field), "description": field.about} for field in shape.fields},
    }
    required = [field.name for field in shape.fields if field.required]
    if required:
        found["required"] = required
    if shape.exactly_one:
        found["oneOf"] = [{"required": [name]} for name in shape.exactly_one]
    return found


def _of_field(field: Field) -> dict[str, Any]:
    if field.kind is Kind.SHAPE and field.shape is not None:
        return _of_shape(field.shape)
    if field.kind is Kind.LIST and field.shape is not None:
        return {"type": "array", "items": _of_shape(field.shape)}
    if field.kind is Kind.FLAG:
        return {"type": "boolean"}
    if field.kind is Kind.WHOLE:
        return {"type": "integer", "minimum": field.least, "maximum": INT_MAX}
    if field.kind is Kind.NUMBER:
        return {"type": "number", "minimum": field.least, "maximum": 1e6}
    if field.kind is Kind.INSTANT:
        return {"type": "string", "pattern": f"^{INSTANT}$"}
    return _of_text(field)


def _of_text(field: Field) -> dict[str, Any]:
    if field.choices:
        return {"type": "string", "enum": list(field.choices)}
    found: dict[str, Any] = {"type": "string"}
    if field.longest is not None:
        found["maxLength"] = field.longest
    if field.pattern is not None:
        found["pattern"] = f"^({field.pattern})$"
    if not field.empty:
        # Something else than blanks.
        found["minLength"] = 1
        found.setdefault("pattern", r"\S")
    return found
