"""The lifecycle of a store and its backend: open until closed, and refusing work afterwards."""

from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar, cast

from greentic_session.errors import UnavailableError

__all__ = ["Closable", "Closing", "Wrapping"]


class Closable:
    """The lifecycle that every backend has: open until it is closed, then closed for good."""

    closed: bool = False

    def check_open(self) -> None:
        """Refuse work after `aclose`.

        Raises:
            UnavailableError: The store was closed.
        """
        if self.closed:
            raise UnavailableError("the store is closed")


class Closing:
    """The lifecycle that every store has: ``async with`` closes it."""

    async def aclose(self) -> None:
        """Close the store; idempotent. Every later call raises UnavailableError."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


class _Wrapped(Protocol):
    """Base of the backends of sessions and of conversations."""

    system: str
    closed: bool

    def check_open(self) -> None: ...

    async def health(self) -> None: ...

    async def aclose(self) -> None: ...


B = TypeVar("B", bound=_Wrapped)


class Wrapping(Closable, Generic[B]):
    """The lifecycle of a backend that wraps another.

    Among the bases of a class it comes before the kind of backend.

    Args:
        backend: What is wrapped.
    """

    def __init__(self, backend: B) -> None:
        self._inner = backend
        self.system: str = backend.system

    def _is_closed(self) -> bool:
        return self._inner.closed

    # To type checkers it is the variable that it is everywhere else: a property over one they would
    # refuse in each wrapper.
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
