"""Objects that show less than they hold.

A repr ends up in logs and error trackers, a pickle in files and queues.
"""

from collections.abc import Sized
from typing import Any, ClassVar, NoReturn, Self, TypeVar, cast

__all__ = ["Hiding", "Outlined", "Secret", "outline", "outlined"]

T = TypeVar("T", bound=tuple[Any, ...])


class Hiding:
    """A base of objects whose repr leaves something out. It stands before `msgspec.Struct`."""

    __slots__ = ()

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("hidden", repr(self))]  # rich would ask msgspec's, which hides nothing


class Outlined(Hiding):
    """A base of structs whose repr tells how long fields are, without keys, tokens and texts.

    It stands before `msgspec.Struct`, too.
    """

    __slots__ = ()
    __struct_fields__: ClassVar[tuple[str, ...]]

    def __repr__(self) -> str:
        return outline(self, *self.__struct_fields__)


class Secret(Hiding):
    """A base of immutable objects that hold a secret.

    They cannot be pickled, and a copy of one is the object itself.
    """

    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} cannot be pickled: it holds a secret; make it anew where it is needed")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


def outline(value: object, *names: str, **shown: object) -> str:
    """Return a repr that tells how long fields are, and not what is in them.

    Never fails: the object may be half made, and a field of any type.

    Args:
        value: The object.
        names: Its fields of which the length is shown, or the type where they have none.
        shown: What is shown as it is, behind these.

    >>> outline(ValueError("hush"), "args", code=7)
    'ValueError(args=<1>, code=7)'
    """
    parts = [f"{name}={_length(getattr(value, name, None))}" for name in names]
    return f"{type(value).__name__}({', '.join([*parts, *(f'{name}={part!r}' for name, part in shown.items())])})"


def outlined(kind: type[T]) -> type[T]:
    """Make the repr of a NamedTuple an `outline`: the decorator of its class."""

    def shown(value: T) -> str:
        return outline(value, *kind.__annotations__)

    kind.__repr__ = shown  # type: ignore[assignment]  # of the class that is being made
    return kind


def _length(part: object) -> str:
    if part is None:
        return "None"
    if isinstance(part, str):
        return f"<{len(part)} characters>"
    if isinstance(part, bytes | list | tuple | dict):
        return f"<{len(cast('Sized', part))}>"
    return f"<{type(part).__name__}>"
