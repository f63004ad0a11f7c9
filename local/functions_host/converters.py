"""The converters of the azure-functions package, which turn the host's data into Python objects and back.

The Python worker uses them too.

Using the package's own keeps this host honest: an odd value fails here as it fails in Azure.
"""

from typing import Any

from azure.functions import get_binding_registry
from azure.functions.meta import Datum


def decode(binding: str, datum: Datum, metadata: dict[str, Datum] | None = None) -> Any:
    """The Python object that a function with this trigger receives."""
    return _converter(binding).decode(datum, trigger_metadata=metadata)


def encode(binding: str, value: object) -> Datum:
    """What the worker sends to the host for an output value; raises NotImplementedError for a type it does not take."""
    datum: Datum = _converter(binding).encode(value, expected_type=None)
    return datum


def accepts(binding: str, annotation: type) -> bool:
    """Whether a trigger's parameter may carry this annotation."""
    return bool(_converter(binding).check_input_type_annotation(annotation))


def _converter(binding: str) -> Any:
    return get_binding_registry().get(binding)  # type: ignore[no-untyped-call]  # the package is partly untyped
