"""Checks of the fields of wire structs.

The checks that msgspec makes on decoding only, and maps that never change.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

from msgspec import Struct
from msgspec.structs import force_setattr

from greentic_session.errors import InvalidInputError
from greentic_session.ids import plain

__all__ = [
    "NO_ATTRIBUTES",
    "FrozenDict",
    "check_bool",
    "check_choice",
    "check_instance",
    "check_int",
    "check_object",
    "check_text",
    "check_type",
    "freeze",
    "make_plain",
]


class FrozenDict(dict[str, str]):
    """An immutable dict that, unlike a mappingproxy, can be pickled and written as JSON."""

    __slots__ = ()

    if not TYPE_CHECKING:  # pragma: no branch  # to a type checker `attributes` is a Mapping, which has none of these

        def _refuse(self, *_args: object, **_kwargs: object) -> None:
            raise TypeError("attributes cannot be changed; use with_attributes()")

        __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = __ior__ = _refuse

    def __hash__(self) -> int:  # type: ignore[override]  # dict says it has none; this one never changes
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[type["FrozenDict"], tuple[dict[str, str]]]:
        return FrozenDict, (dict(self),)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: object) -> Self:
        return self


NO_ATTRIBUTES = FrozenDict()


def check_text(name: str, value: object, *, optional: bool = True) -> None:
    if not (isinstance(value, str) or (optional and value is None)):
        raise TypeError(f"{name} must be a str{' or None' if optional else ''}, not {type(value).__name__}")


def make_plain(struct: Struct, *fields: str) -> None:
    """Turn str subclasses in these fields of a struct into plain strings; see `ids.plain`."""
    for field in fields:
        value = getattr(struct, field)
        if isinstance(value, str):
            force_setattr(struct, field, plain(value))


def check_type(name: str, value: object, expected: type) -> None:
    if type(value) is not expected:  # a subclass need not be frozen
        raise TypeError(f"{name} must be a {expected.__name__}, not {type(value).__name__}")


def check_instance(name: str, value: object, expected: type) -> None:
    if not isinstance(value, expected):
        raise TypeError(f"{name} must be a {expected.__name__}, not {type(value).__name__}")


def check_bool(name: str, value: object) -> None:
    if type(value) is not bool:
        raise TypeError(f"{name} must be a bool, not {type(value).__name__}")


def check_choice(name: str, value: object, *choices: str) -> None:
    if value not in choices:
        raise InvalidInputError(f"{name} must be {' or '.join(map(repr, choices))}")


def check_int(name: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if not low <= value <= high:
        raise InvalidInputError(f"{name} must be from {low} to {high}")


def check_object(what: str, value: object) -> None:
    """Refuse a decoded JSON value that is no object: a dict."""
    if not isinstance(value, dict):
        raise InvalidInputError(f"{what} must be an object")


def freeze(attributes: object) -> FrozenDict:
    if type(attributes) is FrozenDict:
        return attributes or NO_ATTRIBUTES  # the one that is left out when written, also after unpickling
    if not isinstance(attributes, Mapping):
        raise TypeError(f"attributes must be a mapping, not {type(attributes).__name__}")
    items: dict[object, object] = dict(attributes)
    for key, value in items.items():
        if not (isinstance(key, str) and isinstance(value, str)):
            raise TypeError("attributes must map str to str")
    return FrozenDict(items) if items else NO_ATTRIBUTES  # type: ignore[arg-type]  # str to str: just checked
