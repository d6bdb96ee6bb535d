"""The conversation store: what every backend promises.

`ConversationStore` checks the arguments and turns conversations and messages into what is stored,
and hands that to its `ConversationBackend`; so no backend repeats a check, and no bad call ever
reaches one.
"""

import builtins
import secrets
import sys
import uuid
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar, Unpack, overload

from anyio.lowlevel import checkpoint

from greentic_session._json.fields import check_bool, check_int
from greentic_session.conversation.backend import ConversationBackend
from greentic_session.conversation.codec import DEFAULT_MAX_MESSAGE_BYTES, Codec
from greentic_session.conversation.conversation import Conversation, ConversationSummary
from greentic_session.conversation.header import Lifetime, Stored
from greentic_session.conversation.message import Message
from greentic_session.conversation.moments import Clock, as_datetime, as_moment, utc_now
from greentic_session.conversation.options import StoreOptions
from greentic_session.conversation.packing import pack, pack_change, unpack
from greentic_session.conversation.rules import check_conversation_id, partition_of, warn_skipped
from greentic_session.conversation.state import ConversationState, TokenUsage
from greentic_session.errors import CorruptSessionError, InvalidInputError
from greentic_session.expiry import Ttl, default_ttl_ms
from greentic_session.models import TenantCtx

__all__ = ["ConversationStore"]

M = TypeVar("M")

_DECODE_BATCH: Final = 1000
"""How many messages are decoded before others may run."""


class ConversationStore(Generic[M]):
    """Keeps the transcripts and states of agent sessions.

    The store of a real backend is `InMemoryConversationStore` and its like; this class is what they
    share, and what a program that takes "a store" should name as its type. It is usable at once;
    use it as an async context manager, or call `aclose` at the end.

    Every operation acts in one *partition*: env, ``tenant_id`` and effective team of its `ctx`. A
    user in `ctx` does not matter. Conversations of another partition are absent. The team ``-`` is
    refused everywhere.

    Every operation may raise, besides what its own docstring names: NotFoundError for an id that is
    not in the partition (`save`, `create`, `list` without `after`, `purge` and `health` aside);
    InvalidInputError for an argument that breaks a rule (nothing was written); TypeError for one of
    a wrong type; CorruptSessionError where what is stored cannot be read; SchemaVersionError where
    a newer version wrote it; UnavailableError after `aclose` or when the backend is away;
    OperationTimeoutError when it does not answer in time. `GreenticError.conversation_id` tells
    which conversation it was about; no message does.

    Args:
        backend: Where the conversations are kept.
        message_type: What messages are: `Message`, or any type that msgspec writes and reads, a
            union too. A message that would not read back is refused.
        ttl: How long a conversation is kept: a number of seconds or a timedelta; None and NEVER are
            for ever. The lifetime begins with the creation; when it ends all of the conversation is
            gone, at once.
        sliding: Whether every use (`load`, `messages`, `append`, `update_state`, `save`) begins the
            lifetime anew.
        max_message_bytes: The longest message, in bytes of its JSON text.
        clock: Tells the time in microseconds since the Unix epoch. Lifetimes do not depend on it.

    Raises:
        InvalidInputError: An option is out of range.
        TypeError: An option has a wrong type.

    >>> import asyncio
    >>> from greentic_session.conversation import InMemoryConversationStore
    >>> async def count():
    ...     ctx = TenantCtx.new("dev", "acme")
    ...     async with InMemoryConversationStore() as conversations:
    ...         await conversations.create(ctx, id="order-7")
    ...         await conversations.update_state(ctx, "order-7", add_usage=TokenUsage(12, 5), custom={"mood": "calm"})
    ...         state = (await conversations.load(ctx, "order-7")).state
    ...         return state.token_usage.input_tokens, state.custom
    >>> asyncio.run(count())
    (12, {'mood': 'calm'})
    """

    @overload
    def __init__(
        self: "ConversationStore[Message]", backend: ConversationBackend, **options: Unpack[StoreOptions]
    ) -> None: ...

    @overload
    def __init__(self, backend: ConversationBackend, *, message_type: type[M], **options: Unpack[StoreOptions]) -> None: ...

    @overload
    def __init__(self, backend: ConversationBackend, *, message_type: Any, **options: Unpack[StoreOptions]) -> None: ...

    def __init__(
        self,
        backend: ConversationBackend,
        *,
        message_type: Any = Message,
        ttl: Ttl = None,
        sliding: bool = False,
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
        clock: Clock = utc_now,
    ) -> None:
        check_bool("sliding", sliding)
        self._life = Lifetime(default_ttl_ms(ttl, "ttl"), sliding)
        if sliding and self._life.ttl_ms is None:
            raise InvalidInputError("sliding needs a ttl: there is no lifetime to begin anew")
        self._backend = backend
        self._codec: Codec[M] = Codec(message_type, max_message_bytes)
        self._clock = clock

    @property
    def backend(self) -> ConversationBackend:
        """The storage below, for wrappers and administration. It checks no arguments."""
        return self._backend

    def _take_over(self, store: "ConversationStore[M]", backend: ConversationBackend) -> None:
        """Become the same store on another backend: the constructor of wrappers."""
        self._life = store._life  # noqa: SLF001  # of the same class
        self._codec = store._codec  # noqa: SLF001  # of the same class
        self._clock = store._clock  # noqa: SLF001  # of the same class
        self._backend = backend

    # -- whole conversations

    async def create(
        self,
        ctx: TenantCtx,
        *,
        id: str | None = None,
        model: str = "",
        max_turns: int = 0,
        system_message: str | None = None,
        cwd: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> Conversation[M]:
        """Store a conversation without messages, and return it.

        Args:
            ctx: The caller.
            id: Its id, from 1 to 255 characters; by default a fresh random UUID4.
            model: The name of the model.
            max_turns: How many turns an agent may take; 0 where nobody says.
            system_message: The instruction to the model.
            cwd: The working directory.
            metadata: Text by text.

        Raises:
            ConflictError: The partition has a conversation with this id.
        """
        self._backend.check_open()
        partition = partition_of(ctx)
        now = as_datetime(self._clock())
        draft: Conversation[M] = Conversation(
            id=check_conversation_id(str(uuid.uuid4()) if id is None else id),
            state=ConversationState(cwd),
            model=model,
            max_turns=max_turns,
            system_message=system_message,
            metadata={} if metadata is None else metadata,  # type: ignore[arg-type]  # it is copied
            created_at=now,
            updated_at=now,
        )
        header = pack(draft, _token())
        return unpack(draft.id, await self._backend.put(partition, draft.id, header, (), Stored.NOTHING, self._life), [])

    async def save(self, ctx: TenantCtx, conversation: Conversation[M], *, force: bool = False) -> None:
        """Store a conversation: a new one, or over the one that it was loaded from or saved as.

        What is done to `conversation` afterwards changes nothing of what is stored. Its
        `updated_at` moves, and its `created_at` becomes that of the stored one, if there was one. A
        lifetime goes on, unless it is sliding.

        Args:
            ctx: The caller.
            conversation: What to store.
            force: Store it whatever is there: over changes of others, over one that was never
                loaded, over one that cannot be read, and again after it was deleted or has expired.
                So to copy one to another partition or store.

        Raises:
            ConflictError: What is stored was changed (or deleted) since this object was loaded or
                saved; for an object that never was, the partition has a conversation with this id.
        """
        self._backend.check_open()
        partition = partition_of(ctx)
        if not isinstance(conversation, Conversation):
            raise TypeError(f"conversation must be a Conversation, not {type(conversation).__name__}")
        check_bool("force", force)
        id = check_conversation_id(conversation.id)
        header = pack(conversation, _token(), self._clock())
        if not isinstance(conversation.messages, builtins.list | tuple):
            raise TypeError(f"messages must be a list, not {type(conversation.messages).__name__}")
        messages = [self._codec.write(message) for message in conversation.messages]
        expected = Stored.ANYTHING if force else conversation._revision or Stored.NOTHING  # noqa: SLF001  # it is the store's
        stored = await self._backend.put(partition, id, header, messages, expected, self._life)
        conversation.created_at = as_datetime(stored.created_at)
        conversation.updated_at = as_datetime(stored.updated_at)
        conversation.schema_version = stored.schema_version
        conversation._revision = stored.revision  # noqa: SLF001

    async def load(self, ctx: TenantCtx, id: str, *, skip_corrupt: bool = False) -> Conversation[M]:
        """Return a whole conversation.

        Args:
            ctx: The caller.
            id: Its id.
            skip_corrupt: Leave out messages that do not decode, with a warning in the log, instead
                of raising. If the object is saved then, they are gone.

        Raises:
            CorruptSessionError: A message does not decode; `GreenticError.position` tells which.
        """
        self._backend.check_open()
        partition, id = partition_of(ctx), check_conversation_id(id)
        check_bool("skip_corrupt", skip_corrupt)
        header, texts = await self._backend.load(partition, id, self._life)
        return unpack(id, header, await self._read(id, len(texts), texts, skip_corrupt=skip_corrupt))

    async def delete(self, ctx: TenantCtx, id: str) -> None:
        """Remove a conversation, whether it can be read or not."""
        self._backend.check_open()
        partition, id = partition_of(ctx), check_conversation_id(id)
        await self._backend.delete(partition, id)

    # -- messages and state

    async def append(self, ctx: TenantCtx, id: str, *messages: M) -> int:
        """Append messages to a conversation, without a gap; without any, nothing changes.

        It costs the same however long the conversation is. Of many writers each sees its own
        messages in its own order.

        Returns:
            How many messages there are now.
        """
        self._backend.check_open()
        partition, id = partition_of(ctx), check_conversation_id(id)
        texts = [self._codec.write(message) for message in messages]
        return await self._backend.append(partition, id, texts, self._clock(), self._life)

    async def messages(
        self, ctx: TenantCtx, id: str, *, last: int | None = None, skip_corrupt: bool = False
    ) -> builtins.list[M]:
        """Return the messages of a conversation, oldest first.

        Args:
            ctx: The caller.
            id: The id of the conversation.
            last: Only the last so many, from 0; the others are not even read.
            skip_corrupt: Leave out those that do not decode, with a warning in the log, instead of
                raising.

        Raises:
            CorruptSessionError: One of them does not decode; `GreenticError.position` tells which,
                from 0. The others are still there: `last` reads those behind it, `skip_corrupt` all
                of them.
        """
        self._backend.check_open()
        partition, id = partition_of(ctx), check_conversation_id(id)
        check_bool("skip_corrupt", skip_corrupt)
        if last is not None:
            check_int("last", last, 0, sys.maxsize)
        count, texts = await self._backend.messages(partition, id, last, self._life)
        return await self._read(id, count, texts, skip_corrupt=skip_corrupt)

    async def update_state(
        self,
        ctx: TenantCtx,
        id: str,
        *,
        cwd: str | None = None,
        add_usage: TokenUsage | None = None,
        add_events: int = 0,
        custom: Mapping[str, Any] | None = None,
        metadata: Mapping[str, str] | None = None,
        remove_custom: Collection[str] = (),
        remove_metadata: Collection[str] = (),
    ) -> None:
        """Change the state of a conversation in one step, whoever else changes it at the same time.

        Args:
            ctx: The caller.
            id: The id of the conversation.
            cwd: The new working directory.
            add_usage: Token counts to add to what is there; None in one of them adds nothing.
            add_events: What to add to the event count.
            custom: Values to merge into what is there, name by name; None as a value is JSON's
                null, and removes nothing: `remove_custom` does.
            metadata: Texts to merge in, name by name.
            remove_custom: Names of custom values to remove; one that is not there is no error.
            remove_metadata: Names of metadata to remove, likewise.

        Raises:
            InvalidInputError: Besides the usual: a counter would exceed 2**53 - 1; or a name is
                both merged in and removed.
        """
        self._backend.check_open()
        partition, id = partition_of(ctx), check_conversation_id(id)
        change = pack_change(cwd, add_usage, add_events, custom, metadata, remove_custom, remove_metadata)
        await self._backend.update(partition, id, change, self._clock(), self._life)

    # -- the partition, and the store as a whole

    async def list(
        self, ctx: TenantCtx, *, limit: int | None = None, after: str | ConversationSummary | None = None
    ) -> builtins.list[ConversationSummary]:
        """Return the summaries of a partition, newest `updated_at` first, then by id.

        No message is read for it.

        Args:
            ctx: The caller.
            limit: At most so many, from 0; by default all.
            after: The last one seen: its summary, or its id. A summary goes on exactly from there,
                whatever has become of the conversation: nothing is seen twice, and what was written
                meanwhile is at the front, with the next beginning. An id goes on from where that
                conversation stands now.

        Raises:
            NotFoundError: `after` is an id, and the partition has no such conversation (any more).
        """
        self._backend.check_open()
        partition = partition_of(ctx)
        if limit is not None:
            check_int("limit", limit, 0, sys.maxsize)
        since = as_moment(after.updated_at, "after.updated_at") if isinstance(after, ConversationSummary) else None
        last_seen = after.id if isinstance(after, ConversationSummary) else after
        if last_seen is not None:
            last_seen = check_conversation_id(last_seen)
        return await self._backend.recent(partition, limit, last_seen, since)

    async def purge(self, ctx: TenantCtx) -> int:
        """Remove all conversations of a partition.

        A `ctx` without a team removes those that belong to no team, not those of teams.

        What is created meanwhile may or may not be removed. A purge that was cut short can be
        repeated.

        Returns:
            How many were removed.
        """
        self._backend.check_open()
        return await self._backend.purge(partition_of(ctx))

    async def health(self) -> None:
        """Return if the backend answers.

        Raises:
            UnavailableError: It does not, or the store is closed.
        """
        self._backend.check_open()
        await self._backend.health()

    async def aclose(self) -> None:
        """Close the store; idempotent. Every later call raises UnavailableError."""
        await self._backend.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _read(self, id: str, count: int, texts: builtins.list[bytes], *, skip_corrupt: bool) -> builtins.list[M]:
        """Decode the last of `count` messages."""
        read = self._codec.read
        first = count - len(texts)
        messages: builtins.list[M] = []
        skipped = 0
        for position, text in enumerate(texts, first):
            try:
                messages.append(read(text, id, position))
            except CorruptSessionError:
                if not skip_corrupt:
                    raise
                skipped += 1
            if (position - first) % _DECODE_BATCH == _DECODE_BATCH - 1:
                await checkpoint()
        warn_skipped("messages of a conversation", skipped)
        return messages


def _token() -> str:
    return secrets.token_hex(8)
