"""Reading messages by plain commands in one MULTI block, so that no text passes through Lua.

What the block reads is what `lua/messages.lua` reads. Where the header is not as usual (there is
none, or somebody else wrote it), it says so, and the script tells what that means.

Before Redis 7, LRANGE walks a list from its first message to the last ones, LINDEX from the end. So
of a conversation that was long when this client saw it last, the last few are read one by one.
"""

import re
from typing import Any, Final

from greentic_session._redis.blocks import Blocks
from greentic_session._redis.executor import Executor
from greentic_session.conversation.rules import SCHEMA_VERSION

__all__ = ["PlainMessages"]

_LONG: Final = 400
"""How many times as many messages as are read make a conversation long, as in `messages.lua`."""
_MAX_LONG: Final = 1024
"""Limit of the long conversations that are remembered."""
_FIELDS: Final = (b"birth", b"schema_version", b"updated_at", b"created_at", b"max_turns", b"event_count")
_USUAL: Final = re.compile(rb"(0|[1-9]\d{0,19})(?: (?:0|[1-9]\d{0,16})){2}(?: (?:0|[1-9]\d{0,19})){2}")
"""What the fields behind the birth are, as in `lua/_numbers.lua`: a version, moments, counts."""
_HEADER: Final = b"".join(
    [
        b"*%d\r\n$5\r\nHMGET\r\n$%%d\r\n%%b\r\n" % (len(_FIELDS) + 2),
        *[b"$%d\r\n%b\r\n" % (len(name), name) for name in _FIELDS],
        b"*2\r\n$4\r\nLLEN\r\n$%d\r\n%b\r\n",
    ]
)
_RANGE: Final = b"*4\r\n$6\r\nLRANGE\r\n$%d\r\n%b\r\n$%d\r\n%d\r\n$2\r\n-1\r\n"
_ONE: Final = b"*3\r\n$6\r\nLINDEX\r\n$%d\r\n%b\r\n$%d\r\n%d\r\n"
_BEFORE: Final = 2
"""How many commands come before those for messages."""


class PlainMessages:
    """Reads messages on one server."""

    def __init__(self, executor: Executor) -> None:
        self._blocks = Blocks(executor)
        self._long: dict[str, None] = {}

    async def read(self, head: str, messages: str, last: int | None) -> list[Any] | None:
        """Return the answer of `messages.lua`; None where only the script has one.

        Args:
            head: The key of the header.
            messages: The key of the messages.
            last: How many of the last ones, from 1; None for all.
        """
        if not self._blocks.may_be_sent:
            return None
        header, key = head.encode(), messages.encode()
        reads, count = _HEADER % (len(header), header, len(key), key), _BEFORE + 1
        if last is not None and messages in self._long:
            reads += b"".join([_ONE % (len(key), key, len(str(at)), at) for at in range(-last, 0)])
            count = _BEFORE + last
        else:
            first = 0 if last is None else -last
            reads += _RANGE % (len(key), key, len(str(first)), first)
        found = await self._blocks.read(reads, count, key)
        if found is None or not _is_usual(found):
            return None
        fields, total, *texts = found
        if last is not None:
            self._learn(messages, is_long=total > _LONG * last)
        if count == _BEFORE + 1 and type(texts[0]) is list:
            texts = texts[0]
        return [b"ok", total, fields[0] or b"", [text for text in texts if text is not None]]

    def _learn(self, messages: str, *, is_long: bool) -> None:
        if is_long:
            self._long[messages] = None
            if len(self._long) > _MAX_LONG:
                del self._long[next(iter(self._long))]
        elif self._long:
            self._long.pop(messages, None)


def _is_usual(found: list[Any]) -> bool:
    """Say whether a header is as `lua/_header.lua` demands, and the messages are a list."""
    fields, total = found[0], found[1]
    if type(fields) is not list or type(total) is not int or len(fields) != len(_FIELDS):
        return False
    try:
        usual = _USUAL.fullmatch(b" ".join(fields[1:]))
    except TypeError:  # a field is missing
        return False
    return usual is not None and int(usual[1]) <= SCHEMA_VERSION
