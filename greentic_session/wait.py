"""What a lookup finds."""

from collections.abc import AsyncIterator
from typing import Any, Self

import msgspec

from ._base.hiding import Hiding
from .errors import CorruptSessionError, InvalidInputError
from .ids import SessionKey
from .models import ReplyScope, SessionData, version_of

__all__ = ["SessionIterator", "Wait", "close_iterator", "wait_of"]


class Wait(Hiding, msgspec.Struct, frozen=True, gc=False):
    """A live session as a lookup found it.

    Attributes:
        key: Its session key.
        data: The snapshot.
        scope: The scope that matched: the one asked for, or that without its correlation. From
            `iter_sessions`, the scope it waits on, where the store knows it. None where nothing was
            matched, and for a session that is no wait.
        text: The stored text, where it may differ from ``data.to_json()`` (another runtime wrote
            it); for backends.

    >>> from greentic_session import TenantCtx
    >>> data = SessionData.new(TenantCtx.new("dev", "acme"), "order", "ask", context=1)
    >>> Wait(SessionKey("k1"), data).version == Wait(SessionKey("k1"), data.new_context(2)).version
    False
    """

    key: SessionKey
    data: SessionData
    scope: ReplyScope | None = None
    text: bytes | None = None

    @property
    def version(self) -> str:
        """The version for ``update_session(if_version=)``; computed when asked for."""
        return version_of(self.data.to_json() if self.text is None else self.text)

    def __repr__(self) -> str:
        # Without the key, which opens the session, and without the stored text.
        data, scope = getattr(self, "data", None), getattr(self, "scope", None)
        return f"Wait(key=<hidden>, data={data!r}, scope={scope!r})"


def wait_of(key: str, text: bytes, scope: ReplyScope | None = None) -> Wait:
    """Return the session that a stored text says; for backends.

    Raises:
        CorruptSessionError: The text is no session.
    """
    try:
        return Wait(key, SessionData.from_json(text), scope, text)  # type: ignore[arg-type]  # a key that leads somewhere is one
    except InvalidInputError as error:
        raise CorruptSessionError("the stored text is not a session", session_key=key) from error


class SessionIterator(AsyncIterator[Wait]):
    """The sessions that `SessionStore.iter_sessions` finds, one after the other.

    It need not be closed; whoever leaves it early may, and lets go of what it holds.
    """

    def __init__(self, waits: AsyncIterator[Wait]) -> None:
        self._waits: AsyncIterator[Wait] | None = waits

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Wait:
        if self._waits is None:
            raise StopAsyncIteration
        return await anext(self._waits)

    async def aclose(self) -> None:
        """End it; idempotent. Nothing comes afterwards."""
        waits, self._waits = self._waits, None
        if waits is not None:
            await close_iterator(waits)


async def close_iterator(iterator: AsyncIterator[Any]) -> None:
    """Close an iterator that can be closed, as an async generator can."""
    aclose = getattr(iterator, "aclose", None)
    if aclose is not None:
        await aclose()
