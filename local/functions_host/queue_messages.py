"""Queue messages as the host gives them to a function and as it takes them from an output. Pure."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from azure.functions.meta import Datum

MAXIMUM_BYTES = 64 * 1024  # of the encoded text; a limit of the storage service


@dataclass(frozen=True)
class ReceivedMessage:
    """A message as the queue service hands it out; `text` is still encoded."""

    id: str
    text: str
    pop_receipt: str
    dequeue_count: int
    inserted_on: datetime
    expires_on: datetime
    next_visible_on: datetime


def decode_text(text: str, base64_encoded: bool) -> str | bytes:
    """The body of a message: text when it is UTF-8, otherwise bytes. Raises ValueError when it is no base64."""
    if not base64_encoded:
        return text
    try:
        content = base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error as error:
        raise ValueError(f"the message is not base64 ({error})") from error
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content


def encode_body(body: str | bytes, base64_encoded: bool) -> str:
    """The text to put into the queue. Raises ValueError when it is longer than the service takes."""
    content = body.encode("utf-8") if isinstance(body, str) else body
    text = base64.b64encode(content).decode("ascii") if base64_encoded else content.decode("utf-8")
    length = len(text.encode("utf-8"))
    if length > MAXIMUM_BYTES:
        raise ValueError(f"The queue message has {length} bytes when encoded, and {MAXIMUM_BYTES} is the most.")
    return text


def trigger_metadata(message: ReceivedMessage, body: str | bytes) -> dict[str, Datum]:
    """What the host says about a message beside its body.

    The top-level properties of a JSON body are added to it, and overwrite what has the same name without case: a body
    {"id": 7} makes the message's id "7". The real host does so.
    """
    metadata = {
        "Id": Datum(message.id, "string"),
        "PopReceipt": Datum(message.pop_receipt, "string"),
        "DequeueCount": Datum(message.dequeue_count, "int"),
        "InsertionTime": Datum(json.dumps(message.inserted_on.isoformat()), "json"),
        "ExpirationTime": Datum(json.dumps(message.expires_on.isoformat()), "json"),
        "NextVisibleTime": Datum(json.dumps(message.next_visible_on.isoformat()), "json"),
    }
    names = {name.lower(): name for name in metadata}
    for name, value in _properties(body).items():
        metadata[names.get(name.lower(), name)] = _property_datum(value)
    return metadata


def output_bodies(datum: Datum) -> list[str | bytes]:
    """The messages that the host makes of one output value.

    A JSON array (a string that is one, too) becomes several messages, a JSON object is re-indented, and a string that
    looks like an object but is not valid JSON raises ValueError.
    """
    if isinstance(datum.value, bytes):
        return [datum.value]
    text = str(datum.value)
    stripped = text.strip()
    if stripped.startswith("["):
        try:
            elements = json.loads(stripped)
        except ValueError:
            return [text]
        return [_element(element) for element in elements]
    if stripped.startswith("{") and stripped.endswith("}"):
        try:
            return [_indented(json.loads(stripped))]
        except ValueError as error:
            raise ValueError(f"A queue output that starts like a JSON object is no valid JSON: {error}.") from error
    return [text]


def _properties(body: str | bytes) -> dict[str, Any]:
    if isinstance(body, bytes) or not body.lstrip().startswith("{"):
        return {}
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _property_datum(value: Any) -> Datum:
    if isinstance(value, dict | list):
        return Datum(json.dumps(value), "json")
    if isinstance(value, bool):
        return Datum(str(value), "string")  # .NET writes True and False as Python does
    return Datum("" if value is None else str(value), "string")


def _element(element: Any) -> str:
    if isinstance(element, str):
        return element
    if isinstance(element, dict | list):
        return _indented(element)
    return json.dumps(element)


def _indented(value: dict[str, Any] | Sequence[Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
