"""A Redis as one side of a copy of conversations."""

import asyncio
import time

from greentic_session._redis.executor import Executor
from greentic_session.conversation.copying import ConversationSide, Glimpse
from greentic_session.conversation.header import Revision
from greentic_session.tenancy import Partition

from .backend import RedisConversationBackend
from .keys import Keys

__all__ = ["RedisConversationSide"]

_ABSENT = -2
_FOR_EVER = -1
"""Answers of PTTL."""
_MAX_DIGITS = 17
"""Of a moment that a script accepts."""


class RedisConversationSide(ConversationSide):
    """The conversations of one namespace of a Redis.

    Args:
        client: Runs the commands; whoever made it closes it.
        keys: The key names of the namespace.
    """

    def __init__(self, client: Executor, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self.backend = RedisConversationBackend(client, keys)

    async def peek(self, partition: Partition, id: str) -> Glimpse | None:
        head, _ = self._keys.conversation(partition, id)
        at = time.monotonic()
        (updated, birth), ttl = await asyncio.gather(
            self._client.call(("HMGET", head, "updated_at", "birth"), repeatable=True),
            self._client.call(("PTTL", head), repeatable=True),
        )
        if ttl == _ABSENT:
            return None
        revision = Revision((birth or b"").decode("utf-8", "replace"), _moment(updated or b""))
        return Glimpse(revision, None if ttl == _FOR_EVER else ttl, at)


def _moment(text: bytes) -> int:
    """Return a moment; what cannot be read counts as the oldest: the scripts refuse it."""
    return int(text) if text.isdigit() and len(text) <= _MAX_DIGITS else 0
