"""The in-memory conversation store.

For tests, single-process programs, and as the yardstick for every other backend.
"""

import time
from typing import Any, TypeVar, Unpack, overload

from greentic_session._expiry.expiring import Timer
from greentic_session.conversation.backends.memory.backend import MemoryConversationBackend
from greentic_session.conversation.message import Message
from greentic_session.conversation.options import StoreOptions
from greentic_session.conversation.store import ConversationStore

__all__ = ["InMemoryConversationStore"]

M = TypeVar("M")


class InMemoryConversationStore(ConversationStore[M]):
    """A `ConversationStore` in this process's memory; it is gone with the process.

    It may be shared by threads and event loops, and runs on asyncio and trio. Expired conversations
    are freed by the writes that follow and, when there are none, by a daemon thread that the store
    starts when something may expire.

    Args:
        message_type: What messages are; `Message` by default.
        timer: Seconds, from any start, never going back: lifetimes are measured by it. With a timer
            of your own (in tests) there is no daemon thread.
        options: Those of every `ConversationStore`: `ttl`, `sliding`, `max_message_bytes`, `clock`.

    Raises:
        InvalidInputError: An option is out of range.
        TypeError: An option has a wrong type.
    """

    @overload
    def __init__(
        self: "InMemoryConversationStore[Message]", *, timer: Timer = ..., **options: Unpack[StoreOptions]
    ) -> None: ...

    @overload
    def __init__(self, *, message_type: type[M], timer: Timer = ..., **options: Unpack[StoreOptions]) -> None: ...

    @overload
    def __init__(self, *, message_type: Any, timer: Timer = ..., **options: Unpack[StoreOptions]) -> None: ...

    def __init__(
        self, *, message_type: Any = Message, timer: Timer = time.monotonic, **options: Unpack[StoreOptions]
    ) -> None:
        self._memory = MemoryConversationBackend(timer)
        super().__init__(self._memory, message_type=message_type, **options)
