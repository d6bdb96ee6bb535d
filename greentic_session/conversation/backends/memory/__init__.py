"""In-memory conversation store: for tests and programs of one process.

All other backends are compared with it.
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
    """Conversation store in the memory of this process; its data are lost with the process.

    It may be shared by threads and event loops, and runs on asyncio and trio. Expired conversations
    are freed by later writes and, without writes, by a daemon thread that the store
    starts with the first lifetime.

    Args:
        message_type: The type of messages; `Message` by default.
        timer: Returns seconds from any start, never going back, by which lifetimes are measured.
            With a timer of your own (in tests) the store starts no daemon thread.
        options: The options of every `ConversationStore`: `ttl`, `sliding`, `max_message_bytes`,
            `clock`.

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
