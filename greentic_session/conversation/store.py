"""`ConversationStore`: the operations and promises that all conversation stores share.

`ConversationStore` checks the arguments, encodes conversations and messages, and calls its
`ConversationBackend`. So no backend repeats a check, and no invalid call reaches a backend.
"""

import builtins
import sys
import uuid
from collections.abc import Collection, Mapping
from typing import Any, TypeVar, Unpack, overload

from greentic_session._json.fields import check_bool, check_int
from greentic_session.conversation.backend import ConversationBackend
from greentic_session.conversation.codec import Codec
from greentic_session.conversation.conversation import Conversation, ConversationSummary
from greentic_session.conversation.header import Stored
from greentic_session.conversation.message import Message
from greentic_session.conversation.moments import as_datetime, as_moment
from greentic_session.conversation.options import Options, StoreOptions
from greentic_session.conversation.packing import pack, pack_change, unpack
from greentic_session.conversation.rules import check_conversation_id, partition_of
from greentic_session.conversation.state import ConversationState, TokenUsage
from greentic_session.conversation.transcripts import Transcripts, new_token
from greentic_session.models import TenantCtx

__all__ = ["ConversationStore"]

M = TypeVar("M")


class ConversationStore(Transcripts[M]):
    """Store of transcripts and states of agent sessions.

    `InMemoryConversationStore` and the other stores are subclasses; use this class as the type of
    "any store". A store is usable at once; use it as an async context manager, or call `aclose` at
    the end.

    Every operation acts in one *partition*: env, ``tenant_id`` and effective team of its `ctx`. A
    user in `ctx` does not matter. Conversations of other partitions are absent. The team ``-`` is
    always refused.

    Besides the errors in its own docstring, every operation may raise: NotFoundError for an id that
    is not in the partition (except `save`, `create`, `list` without `after`, `purge` and `health`);
    InvalidInputError for an argument that breaks a rule (nothing was written); TypeError for one of
    a wrong type; CorruptSessionError if the stored text cannot be read; SchemaVersionError if a
    newer version wrote it; UnavailableError after `aclose`, or if the backend cannot be reached;
    OperationTimeoutError if it does not answer in time. `GreenticError.conversation_id` has the id
    of the conversation; no error message has it.

    Args:
        backend: The storage of the conversations.
        message_type: The type of messages: `Message`, any type that msgspec writes and reads, also
            a union, or a `TypeAdapter` of pydantic. A message that would not read back is refused.
        options: `ttl`, `sliding`, `max_message_bytes` and `clock`, as `options.StoreOptions`
            describes them.

    Raises:
        InvalidInputError: An option is out of range.
        TypeError: An option has a wrong type.

    >>> import asyncio
    >>> from greentic_session.conversation import InMemoryConversationStore
    >>> async def count():
    ...     ctx = TenantCtx.new("dev", "acme")
    ...     async with InMemoryConversationStore() as conversations:
    ...         await conversations.create(ctx, id="order-7")
    ...         await conversations.update_state(
    ...             ctx, "order-7", add_usage=TokenUsage(12, 5), custom={"mood": "calm"}
    ...         )
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
        **options: Unpack[StoreOptions],
    ) -> None:
        chosen = Options.of(options)
        self._life = chosen.life
        self._backend = backend
        self._codec = Codec(message_type, chosen.max_message_bytes)
        self._clock = chosen.clock

    @property
    def backend(self) -> ConversationBackend:
        """The backend, for wrappers and administration. It checks no arguments."""
        return self._backend

    def _take_over(self, store: "ConversationStore[M]", backend: ConversationBackend) -> None:
        """Initialise this store as a copy of another on a different backend, for wrappers."""
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
        """Store a new conversation without messages, and return it.

        Args:
            ctx: The caller.
            id: The id, from 1 to 255 characters; by default a random UUID4.
            model: The name of the model.
            max_turns: How many turns an agent may take; 0 if unknown.
            system_message: The instruction to the model.
            cwd: The working directory.
            metadata: Texts by name.

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
            metadata={} if metadata is None else metadata,  # type: ignore[arg-type]  # `pack` copies it
            created_at=now,
            updated_at=now,
        )
        header = pack(draft, new_token())
        return unpack(draft.id, await self._backend.put(partition, draft.id, header, (), Stored.NOTHING, self._life), [])

    async def save(self, ctx: TenantCtx, conversation: Conversation[M], *, force: bool = False) -> None:
        """Store a conversation: a new one, or over the one that it was loaded from or saved as.

        Later changes of the object do not change the stored conversation. `conversation.updated_at`
        is set, and `created_at` becomes that of the old stored conversation, if any. The lifetime
        of an old one goes on, unless it is sliding.

        Args:
            ctx: The caller.
            conversation: What to store.
            force: Store it over any conversation with this id: over changes of others, over one
                that was never loaded or cannot be read, and after it was deleted or has expired.
                Use it to copy a conversation to another partition or store.

        Raises:
            ConflictError: The stored conversation was changed or deleted since this object was
                loaded or saved; or, for an object that never was, the id is taken.
        """
        self._backend.check_open()
        partition = partition_of(ctx)
        if not isinstance(conversation, Conversation):
            raise TypeError(f"conversation must be a Conversation, not {type(conversation).__name__}")
        check_bool("force", force)
        id = check_conversation_id(conversation.id)
        header = pack(conversation, new_token(), self._clock())
        if not isinstance(conversation.messages, builtins.list | tuple):
            raise TypeError(f"messages must be a list, not {type(conversation.messages).__name__}")
        messages = [self._codec.write(message) for message in conversation.messages]
        expected = Stored.ANYTHING if force else conversation._revision or Stored.NOTHING  # noqa: SLF001  # private to the store
        stored = await self._backend.put(partition, id, header, messages, expected, self._life)
        conversation.created_at = as_datetime(stored.created_at)
        conversation.updated_at = as_datetime(stored.updated_at)
        conversation.schema_version = stored.schema_version
        conversation._revision = stored.revision  # noqa: SLF001

    async def load(self, ctx: TenantCtx, id: str, *, skip_corrupt: bool = False) -> Conversation[M]:
        """Return a whole conversation.

        Args:
            ctx: The caller.
            id: The id of the conversation.
            skip_corrupt: Leave out messages that do not decode, with a warning in the log, instead
                of raising an error. To save the object then removes these messages.

        Raises:
            CorruptSessionError: A message does not decode; `GreenticError.position` has its
                position.
        """
        self._backend.check_open()
        partition, id = partition_of(ctx), check_conversation_id(id)
        check_bool("skip_corrupt", skip_corrupt)
        header, texts = await self._backend.load(partition, id, self._life)
        return unpack(id, header, await self._read(id, len(texts), texts, skip_corrupt=skip_corrupt))

    async def delete(self, ctx: TenantCtx, id: str) -> None:
        """Remove a conversation, readable or not."""
        self._backend.check_open()
        partition, id = partition_of(ctx), check_conversation_id(id)
        await self._backend.delete(partition, id)

    # -- the state

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
        """Change the state of a conversation in one atomic step.

        Args:
            ctx: The caller.
            id: The id of the conversation.
            cwd: The new working directory.
            add_usage: Token counts to add; a count that is None adds nothing.
            add_events: The number to add to the event count.
            custom: Custom values to set, by name; the value None is JSON's null, and removes
                nothing: use `remove_custom`.
            metadata: Metadata to set, by name.
            remove_custom: Names of custom values to remove; a missing one is no error.
            remove_metadata: Names of metadata to remove; a missing one is no error.

        Raises:
            InvalidInputError: Besides the usual reasons: a counter would exceed 2**53 - 1; or a
                name is both set and removed.
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

        No message is read.

        Args:
            ctx: The caller.
            limit: The largest number of summaries, from 0; by default all.
            after: The last summary of the page before, or its id. With a summary the list continues
                exactly behind it, even if that conversation has changed or is gone: no conversation
                is listed twice, and those changed meanwhile are on the next first page. With an id
                the list continues behind the current position of that conversation.

        Raises:
            NotFoundError: `after` is an id that is not (or no longer) in the partition.
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

        A `ctx` without a team removes only conversations without a team.

        Conversations that are created meanwhile may or may not be removed. A purge that was
        interrupted can be repeated.

        Returns:
            How many conversations were removed.
        """
        self._backend.check_open()
        return await self._backend.purge(partition_of(ctx))

    async def health(self) -> None:
        """Check that the backend answers.

        Raises:
            UnavailableError: It does not answer, or the store is closed.
        """
        self._backend.check_open()
        await self._backend.health()

    async def aclose(self) -> None:
        """Close the store; idempotent. Every later call raises UnavailableError."""
        await self._backend.aclose()
