"""Search for the part of a value that JSON cannot carry.

Its path and the broken rule, and never the value.
"""

import dataclasses
import enum
import math
from collections.abc import Iterator
from typing import Any

import msgspec

__all__ = ["Fault", "find_fault", "key_path"]

_MAX_KEY_CHARACTERS = 64
"""A longer key of a map is more likely data than the name of a field, and is not shown."""
_MAX_DEPTH = 200
"""How deep a value is looked through: this is done for a message only."""
_SCALARS = (str, int, float, type(None))


@dataclasses.dataclass(frozen=True)
class Fault:
    """Why JSON cannot carry a value.

    Attributes:
        path: Where it is: ``$.order.lines[2].price``.
        rule: What is wrong there, as the end of a sentence.
        is_type: Whether it is a value of a wrong type.
    """

    path: str
    rule: str
    is_type: bool = False

    def __str__(self) -> str:
        return f"{self.path} {self.rule}"


def find_fault(value: Any, encoder: msgspec.json.Encoder, path: str, *, is_type: bool) -> Fault | None:
    """Return the first fault of a value, in the order of writing; None if it has none.

    Args:
        value: What shall be written.
        encoder: Which writes it: what it refuses with a TypeError is a fault.
        path: How the value itself is called.
        is_type: Whether a wrong type is looked for.
    """
    return next((fault for fault in _faults(value, encoder, path, _MAX_DEPTH) if fault.is_type is is_type), None)


def key_path(path: str, key: object) -> str:
    """Return the path of the value under a key.

    A key that is no name is not shown: it may be data.
    """
    if isinstance(key, str) and key.isidentifier() and len(key) <= _MAX_KEY_CHARACTERS:
        return f"{path}.{str.__str__(key)}"
    return f"{path}[...]"


def _faults(value: Any, encoder: msgspec.json.Encoder, path: str, depth: int) -> Iterator[Fault]:
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, float) and not math.isfinite(value):
        yield Fault(path, "is not a finite number")
    if depth == 0 or isinstance(value, _SCALARS):
        return
    parts = _parts(value, path)
    if parts is None:
        try:
            encoder.encode(value)
        except TypeError:
            yield Fault(path, f"is of type {type(value).__name__}", is_type=True)
        except Exception:  # noqa: BLE001, S110  # another rule, which its encoding as a whole tells
            pass
        return
    if isinstance(value, dict):
        yield from _key_faults(value, encoder, path)
    for inner, part in parts:
        yield from _faults(part, encoder, inner, depth - 1)


def _key_faults(value: dict[Any, Any], encoder: msgspec.json.Encoder, path: str) -> Iterator[Fault]:
    written: set[bytes] = set()
    for key in value:
        try:
            text = encoder.encode({key: None})
        except TypeError:
            yield Fault(path, f"has a key of type {type(key).__name__}", is_type=True)
        except Exception:  # noqa: BLE001, S112  # as above
            continue
        else:
            if text in written:
                yield Fault(path, "has two keys that are written alike")
            written.add(text)


def _parts(value: Any, path: str) -> Iterator[tuple[str, Any]] | None:
    """Return the parts of a value with their paths, as they are written; None for a scalar."""
    if isinstance(value, dict):
        return ((key_path(path, key), part) for key, part in value.items())
    if isinstance(value, (list, tuple, set, frozenset)):
        return ((f"{path}[{number}]", part) for number, part in enumerate(value))
    if isinstance(value, type):
        return None
    if isinstance(value, msgspec.Struct):
        config, defaults = value.__struct_config__, value.__struct_defaults__
        fields = zip(value.__struct_encode_fields__, (getattr(value, name) for name in value.__struct_fields__), strict=True)
        return (
            (key_path(path, name), part)
            for name, part in fields
            if part is not msgspec.UNSET and not (config.omit_defaults and any(part is default for default in defaults))
        )
    if dataclasses.is_dataclass(value):
        return ((key_path(path, field.name), getattr(value, field.name, None)) for field in dataclasses.fields(value))
    if hasattr(type(value), "__attrs_attrs__"):
        return ((key_path(path, field.name), getattr(value, field.name, None)) for field in type(value).__attrs_attrs__)
    return None
