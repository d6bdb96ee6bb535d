"""What backends that wrap another one share: they are as open, closed and well as that one."""

from typing import Generic, Protocol, TypeVar, cast

from ._closing import Closable

__all__ = ["Wrapping"]


class _Wrapped(Protocol):
    """What backends of sessions and of conversations have in common."""

    system: str
    closed: bool

    def check_open(self) -> None: ...

    async def health(self) -> None: ...

    async def aclose(self) -> None: ...


B = TypeVar("B", bound=_Wrapped)


class Wrapping(Closable, Generic[B]):
    """The lifecycle of a backend that wraps another. It stands before the kind of backend that it is among the bases.

    Args:
        backend: What is wrapped.
    """

    def __init__(self, backend: B) -> None:
        self._inner = backend
        self.system: str = backend.system

    def _is_closed(self) -> bool:
        return self._inner.closed

    # To type checkers it is the variable that it is everywhere else: a property over one they would refuse in each wrapper.
    closed: bool = cast("bool", property(_is_closed, doc="Whether the wrapped backend is closed."))

    def check_open(self) -> None:
        """Refuse work after `aclose`."""
        self._inner.check_open()

    async def health(self) -> None:
        """Return if the wrapped backend answers, raise UnavailableError if not."""
        await self._inner.health()

    async def aclose(self) -> None:
        """Close the wrapped backend; idempotent."""
        await self._inner.aclose()
