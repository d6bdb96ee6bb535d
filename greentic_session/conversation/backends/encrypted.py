"""Encryption of the content of conversations, over any other backend.

Encrypted are every message, the system message, the working directory, and the values of
`metadata`, of `state.custom`, and of all `extra` fields, each value by itself: so an append and an
update write only new values, on every backend. Not encrypted are values that stores compute with or
sort by (the id, times, counts, token usage, schema version), the names in `metadata`, `custom` and
`extra`, `model` and `max_turns`.

Every value decrypts only in its own conversation (env, tenant, team and id) and under its own name.
The position of a message is not bound to its text, because several writers append at the same time
and none of them knows the position. Not detected is an attacker who reorders, repeats or drops
messages of one conversation; deletes its metadata, custom values, other values or system message;
or restores an older state, also from before it was deleted and created again under the same id.
"""

import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Final, TypeVar

from anyio.lowlevel import checkpoint
from msgspec import Raw
from msgspec.structs import replace

from greentic_session._base.lifecycle import Wrapping
from greentic_session._crypto.keyring import Keyring
from greentic_session._crypto.sealing import Box, Resealing, Sealer, parts
from greentic_session._json.fields import check_instance
from greentic_session.admin import Step
from greentic_session.conversation.backend import ConversationBackend, Glimpse
from greentic_session.conversation.conversation import ConversationSummary
from greentic_session.conversation.header import Change, Edit, Expected, Header, Lifetime, Tail
from greentic_session.conversation.rules import partition_of
from greentic_session.conversation.store import ConversationStore
from greentic_session.errors import ConflictError, NotFoundError
from greentic_session.models import TenantCtx
from greentic_session.tenancy import Partition

__all__ = ["EncryptedConversationBackend", "EncryptedConversationStore"]

M = TypeVar("M")

_SEAL_BATCH: Final = 500
"""How many messages are sealed or opened before the event loop runs other tasks."""
_MESSAGE: Final = parts("message")
_SEALED: Final = re.compile(b'"gse[0-9]+:')
_SAME_LIFETIME: Final = Lifetime()
"""Keeps the lifetime of a stored conversation."""


class EncryptedConversationStore(ConversationStore[M]):
    """Conversation store that encrypts content, over any other.

    Use ``EncryptedConversationStore(store, keyring)`` instead of `store`.

    It needs the extra: ``python -m pip install 'greentic-session[encryption]'``. It has the options
    of the store that it wraps, and closes it when it is closed. `max_message_bytes` counts the
    plain message; the stored one is longer by a third and some 60 bytes.

    Besides the errors of `ConversationStore`, every operation that returns content raises
    DecryptionError if stored content does not decrypt; for a message the error has its `position`.
    ``skip_corrupt`` does not skip such a message: with a wrong key it would skip all messages, and
    saving the rest would erase them.

    Args:
        store: The store of the encrypted conversations. Direct writes to it are not encrypted.
        keyring: The keys.
        allow_plain: Whether content that is not encrypted is read as it is. To migrate: turn it
            on, call `reencrypt` for every partition, turn it off. While it is on, anybody who can
            write to the storage can forge content.

    Raises:
        TypeError: An argument has a wrong type.
        UnavailableError: The extra is not installed.
    """

    def __init__(self, store: ConversationStore[M], keyring: Keyring, *, allow_plain: bool = False) -> None:
        check_instance("store", store, ConversationStore)
        self._sealed = store
        sealer = Sealer(keyring, allow_plain=allow_plain)
        self._encrypted = EncryptedConversationBackend(store.backend, sealer)
        self._take_over(store, self._encrypted)

    async def reencrypt(self, ctx: TenantCtx) -> int:
        """Encrypt content of a partition that is plain or under an older key with the primary key.

        It loads all conversations of the partition. Lifetimes stay; `updated_at` of a conversation
        that is written grows by a microsecond, so to `save` one that was loaded before is a
        ConflictError. Simultaneous writes are never overwritten. It can be interrupted and
        repeated.

        Returns:
            How many conversations were written.

        Raises:
            CorruptSessionError: One cannot be read; all others are done.
            DecryptionError: Something in one does not decrypt; all others are done.
            SchemaVersionError: A newer version wrote one; all others are done.
        """
        self._encrypted.check_open()
        partition = partition_of(ctx)
        resealing = Resealing()
        for summary in await self._encrypted.recent(partition, None, None, None):
            await resealing.see_to(self._encrypted.reseal(partition, summary.id))
        return resealing.end()

    async def aclose(self) -> None:
        """Close this store and the one that it wraps; idempotent."""
        await self._sealed.aclose()


class EncryptedConversationBackend(Wrapping[ConversationBackend], ConversationBackend):
    """Backend that seals values before another backend stores them, and opens them afterwards."""

    def __init__(self, backend: ConversationBackend, sealer: Sealer) -> None:
        super().__init__(backend)
        self._sealer = sealer

    async def put(
        self, partition: Partition, id: str, header: Header, messages: Sequence[bytes], expected: Expected, life: Lifetime
    ) -> Header:
        box = self._box(partition, id)
        texts = await _seal_messages(box, messages)
        stored = await self._inner.put(partition, id, _seal_header(box, header), texts, expected, life)
        return replace(header, created_at=stored.created_at, updated_at=stored.updated_at)

    async def load(self, partition: Partition, id: str, life: Lifetime) -> tuple[Header, list[bytes]]:
        header, texts = await self._inner.load(partition, id, life)
        box = self._box(partition, id)
        return _open_header(box, header), await _open_messages(box, texts, 0)

    async def delete(self, partition: Partition, id: str) -> None:
        await self._inner.delete(partition, id)

    async def append(self, partition: Partition, id: str, messages: Sequence[bytes], now: int, life: Lifetime) -> int:
        texts = await _seal_messages(self._box(partition, id), messages)
        return await self._inner.append(partition, id, texts, now, life)

    async def messages(
        self, partition: Partition, id: str, last: int | None, life: Lifetime, *, fresh: bool = False
    ) -> Tail:
        tail = await self._inner.messages(partition, id, last, life, fresh=fresh)
        opened = await _open_messages(self._box(partition, id), tail.texts, tail.total - len(tail.texts))
        return Tail(tail.birth, tail.total, opened)

    async def edit(self, partition: Partition, id: str, edit: Edit, now: int, life: Lifetime) -> int:
        texts = await _seal_messages(self._box(partition, id), edit.messages)
        return await self._inner.edit(partition, id, replace(edit, messages=texts), now, life)

    async def update(self, partition: Partition, id: str, change: Change, now: int, life: Lifetime) -> None:
        box = self._box(partition, id)
        sealed = replace(
            change,
            cwd=None if change.cwd is None else _seal_text(box, change.cwd, "cwd"),
            custom=_seal_json(box, change.custom, "custom"),
            metadata=_seal_texts(box, change.metadata, "metadata"),
        )
        await self._inner.update(partition, id, sealed, now, life)

    async def recent(
        self, partition: Partition, limit: int | None, after: str | None, since: int | None
    ) -> list[ConversationSummary]:
        return await self._inner.recent(partition, limit, after, since)

    async def purge(self, partition: Partition) -> int:
        return await self._inner.purge(partition)

    def purging(self, env: str, tenant: str, team: str | None) -> AsyncGenerator[Step, None]:
        return self._inner.purging(env, tenant, team)

    def walk(self) -> AsyncGenerator[list[tuple[Partition, str]], None]:
        return self._inner.walk()

    async def peek(self, partition: Partition, id: str) -> Glimpse | None:
        return await self._inner.peek(partition, id)

    async def reseal(self, partition: Partition, id: str) -> bool:
        """Encrypt a stored conversation under the primary key; return False if it was already."""
        while True:
            try:
                header, texts = await self._inner.load(partition, id, _SAME_LIFETIME)
            except NotFoundError:
                return False
            if all(map(self._sealer.is_current, [*_texts_of(header), *map(_text_of, texts)])):
                return False
            box = self._box(partition, id)
            opened = _open_header(box, header), await _open_messages(box, texts, 0)
            try:
                await self.put(partition, id, *opened, header.revision, _SAME_LIFETIME)
            except ConflictError:  # written meanwhile
                continue
            return True

    def _box(self, partition: Partition, id: str) -> Box:
        return Box(self._sealer, parts("conversation", *partition, id), conversation_id=id)


def _seal_header(box: Box, header: Header) -> Header:
    return replace(
        header,
        system_message=None if header.system_message is None else _seal_text(box, header.system_message, "system_message"),
        cwd=_seal_text(box, header.cwd, "cwd"),
        metadata=_seal_texts(box, header.metadata, "metadata"),
        custom=_seal_json(box, header.custom, "custom"),
        extra=_seal_json(box, header.extra, "extra"),
        state_extra=_seal_json(box, header.state_extra, "state_extra"),
        usage_extra=_seal_json(box, header.usage_extra, "usage_extra"),
    )


def _open_header(box: Box, header: Header) -> Header:
    return replace(
        header,
        system_message=None if header.system_message is None else _open_text(box, header.system_message, "system_message"),
        cwd=_open_text(box, header.cwd, "cwd"),
        metadata={name: _open_text(box, text, "metadata", name) for name, text in header.metadata.items()},
        custom=_open_json(box, header.custom, "custom"),
        extra=_open_json(box, header.extra, "extra"),
        state_extra=_open_json(box, header.state_extra, "state_extra"),
        usage_extra=_open_json(box, header.usage_extra, "usage_extra"),
    )


def _texts_of(header: Header) -> list[str]:
    """Return all values of a stored header that should be sealed."""
    json = [header.custom, header.extra, header.state_extra, header.usage_extra]
    texts = [header.cwd, *header.metadata.values(), *(_text_of(bytes(raw)) for fields in json for raw in fields.values())]
    return texts if header.system_message is None else [*texts, header.system_message]


def _seal_text(box: Box, text: str, *name: str) -> str:
    return box.seal(text.encode(), parts(*name))


def _open_text(box: Box, text: str, *name: str) -> str:
    return box.open(text, parts(*name)).decode("utf-8", "surrogatepass")


def _seal_texts(box: Box, texts: Mapping[str, str], what: str) -> dict[str, str]:
    return {name: _seal_text(box, text, what, name) for name, text in texts.items()}


# A JSON text is sealed, and becomes a JSON string, so that the stored value is JSON again.


def _seal_json(box: Box, fields: Mapping[str, Raw], what: str) -> dict[str, Raw]:
    return {name: Raw(f'"{box.seal(bytes(raw), parts(what, name))}"') for name, raw in fields.items()}


def _open_json(box: Box, fields: Mapping[str, Raw], what: str) -> dict[str, Raw]:
    return {name: Raw(box.open(_text_of(bytes(raw)), parts(what, name))) for name, raw in fields.items()}


async def _seal_messages(box: Box, messages: Sequence[bytes]) -> list[bytes]:
    sealed: list[bytes] = []
    for message in messages:
        sealed.append(f'"{box.seal(message, _MESSAGE)}"'.encode())
        if len(sealed) % _SEAL_BATCH == 0:
            await checkpoint()
    return sealed


async def _open_messages(box: Box, texts: Sequence[bytes], first: int) -> list[bytes]:
    opened: list[bytes] = []
    for position, text in enumerate(texts, first):
        opened.append(box.open(_text_of(text), _MESSAGE, position=position))
        if len(opened) % _SEAL_BATCH == 0:
            await checkpoint()
    return opened


def _text_of(raw: bytes) -> str:
    """Return the sealed text in a canonical JSON string; for other JSON, the JSON itself."""
    if _SEALED.match(raw) and raw.endswith(b'"'):
        raw = raw[1:-1]
    return raw.decode("utf-8", "surrogateescape")
