"""Operations of a conversation store on messages: append, read, pop, clear, compact."""

import secrets
import sys
from typing import Final, Generic, TypeVar

from anyio.lowlevel import checkpoint

from greentic_session._base.lifecycle import Closing
from greentic_session._json.fields import check_bool, check_int
from greentic_session.conversation.backend import ConversationBackend
from greentic_session.conversation.codec import Codec
from greentic_session.conversation.header import Edit, Lifetime, Reading
from greentic_session.conversation.messages import Messages, reading_of, version_of
from greentic_session.conversation.moments import Clock
from greentic_session.conversation.rules import check_conversation_id, partition_of, warn_skipped
from greentic_session.conversation.turns import Turns
from greentic_session.errors import ConflictError
from greentic_session.models import TenantCtx

__all__ = ["Transcripts", "new_token"]

M = TypeVar("M")

_DECODE_BATCH: Final = 1000
"""Number of messages that are decoded before the event loop runs other tasks."""
_SAME_LIFETIME: Final = Lifetime()
"""For the first of two steps: the second one renews the lifetime."""


class Transcripts(Closing, Generic[M]):
    """The part of `ConversationStore` that reads and writes messages."""

    _backend: ConversationBackend
    _codec: Codec[M]
    _clock: Clock
    _life: Lifetime

    async def append(self, ctx: TenantCtx, id: str, *messages: M) -> int:
        """Append messages to a conversation, without a gap; without messages, nothing changes.

        The cost does not depend on the length of the conversation. The messages of each of several
        writers stay in their order.

        Returns:
            The new number of messages of the conversation.
        """
        self._backend.check_open()
        partition, id = partition_of(ctx), check_conversation_id(id)
        texts = [self._codec.write(message) for message in messages]
        return await self._backend.append(partition, id, texts, self._clock(), self._life)

    async def messages(
        self, ctx: TenantCtx, id: str, *, last: int | None = None, whole_turns: bool = False, skip_corrupt: bool = False
    ) -> Messages[M]:
        """Return the messages of a conversation, oldest first, and their version.

        Args:
            ctx: The caller.
            id: The id of the conversation.
            last: How many of the last messages to return, from 0; the others are not read.
            whole_turns: Return fewer, rather than an answer to a tool call that is left out: models
                refuse that.
            skip_corrupt: Leave out messages that do not decode, with a warning in the log, instead
                of raising an error.

        Raises:
            CorruptSessionError: A message does not decode; `GreenticError.position` has its
                position, from 0. The others can be read: with `last` those behind it, with
                `skip_corrupt` all.
        """
        self._backend.check_open()
        partition, id = partition_of(ctx), check_conversation_id(id)
        check_bool("whole_turns", whole_turns)
        check_bool("skip_corrupt", skip_corrupt)
        if last is not None:
            check_int("last", last, 0, sys.maxsize)
        tail = await self._backend.messages(partition, id, last, self._life)
        texts = await _whole_turns(tail.texts) if whole_turns else tail.texts
        messages = await self._read(id, tail.total, texts, skip_corrupt=skip_corrupt)
        version = version_of(Reading(tail.birth, tail.total)) if len(messages) == len(texts) else ""
        return Messages(messages, version=version, first=tail.total - len(texts), total=tail.total)

    async def pop(self, ctx: TenantCtx, id: str, n: int = 1) -> list[M]:
        """Remove the last messages of a conversation, and return them, oldest first.

        Nobody else gets the same ones, and none is removed that was appended meanwhile: while
        others write at the same moment, it begins again.

        Args:
            ctx: The caller.
            id: The id of the conversation.
            n: How many, from 1; fewer if the conversation has no more.

        Raises:
            CorruptSessionError: One of them does not decode; none is removed.
        """
        self._backend.check_open()
        partition, id = partition_of(ctx), check_conversation_id(id)
        check_int("n", n, 1, sys.maxsize)
        while True:
            tail = await self._backend.messages(partition, id, n, _SAME_LIFETIME, fresh=True)
            if not tail.texts:
                await self._backend.append(partition, id, (), self._clock(), self._life)  # a use, and no change
                return []
            messages = await self._read(id, tail.total, tail.texts, skip_corrupt=False)
            reading, first = Reading(tail.birth, tail.total), tail.total - len(messages)
            edit = Edit(operation="pop", birth=new_token(), first=first, read=reading)
            try:
                await self._backend.edit(partition, id, edit, self._clock(), self._life)
            except ConflictError:
                continue
            return messages

    async def clear(self, ctx: TenantCtx, id: str) -> None:
        """Remove all messages of a conversation, readable or not; all the rest of it stays."""
        self._backend.check_open()
        partition, id = partition_of(ctx), check_conversation_id(id)
        await self._backend.edit(partition, id, Edit(operation="clear", birth=new_token()), self._clock(), self._life)

    async def compact(
        self, ctx: TenantCtx, id: str, upto: int, replacement: list[M] | tuple[M, ...], *, version: str
    ) -> int:
        """Replace the first messages of a conversation, as by a summary, in one step.

        Messages behind them stay, also those that were appended since they were read.

        Args:
            ctx: The caller.
            id: The id of the conversation.
            upto: How many of the first messages go; at most as many as the conversation had when
                `version` was read.
            replacement: What takes their place; may be empty.
            version: `Messages.version` of the messages that were read.

        Returns:
            The new number of messages of the conversation.

        Raises:
            ConflictError: Since they were read, messages were popped, cleared, compacted, or saved:
                nothing is changed. Read again.
        """
        self._backend.check_open()
        partition, id = partition_of(ctx), check_conversation_id(id)
        reading = reading_of(version)
        check_int("upto", upto, 0, reading.total)
        if not isinstance(replacement, list | tuple):
            raise TypeError(f"replacement must be a list of messages, not {type(replacement).__name__}")
        texts = [self._codec.write(message) for message in replacement]
        edit = Edit(operation="compact", birth=new_token(), end=int.__int__(upto), messages=texts, read=reading)
        return await self._backend.edit(partition, id, edit, self._clock(), self._life)

    async def _read(self, id: str, count: int, texts: list[bytes], *, skip_corrupt: bool) -> list[M]:
        """Decode the texts of the last messages, of `count` messages."""
        first = count - len(texts)
        messages: list[M] = []
        for start in range(0, len(texts), _DECODE_BATCH):
            batch = texts[start : start + _DECODE_BATCH]
            messages += self._codec.read(batch, id, first + start, skip_corrupt=skip_corrupt)
            if len(batch) == _DECODE_BATCH:
                await checkpoint()
        warn_skipped("messages of a conversation", len(texts) - len(messages))
        return messages


async def _whole_turns(texts: list[bytes]) -> list[bytes]:
    """Return the messages from which on every answer of a tool has its call before it."""
    turns = Turns()
    for number, text in enumerate(texts, 1):
        turns.see(text)
        if number % _DECODE_BATCH == 0:
            await checkpoint()
    return texts[turns.start :]


def new_token() -> str:
    """Return a fresh `Header.birth`."""
    return secrets.token_hex(8)
