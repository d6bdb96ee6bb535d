"""Encrypted conversations.

What is stored, what a wrong key does, what is bound, and how keys are rotated.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
import redis
from conversation_databases import make
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from greentic_session import CorruptSessionError, DecryptionError, NotFoundError, SchemaVersionError, UnavailableError
from greentic_session.conversation import (
    Conversation,
    ConversationBackend,
    ConversationStore,
    InMemoryConversationStore,
    Message,
    RedisConversationStore,
    TokenUsage,
)
from greentic_session.conversation.backends.encrypted import EncryptedConversationBackend
from greentic_session.conversation.header import Header, Lifetime, Stored
from greentic_session.encryption import EncryptedConversationStore, EncryptionKey, Keyring
from greentic_session.errors import ConflictError
from greentic_session.tenancy import Partition
from greentic_session.testing._conversations.samples import OPS, PARTITIONS, StandingClock, said, texts

OLD, NEW, STRANGE = EncryptionKey.generate("old"), EncryptionKey.generate("new"), EncryptionKey.generate("old")
RING = Keyring(OLD)
KEEP = Lifetime()
HERE: Partition = ("dev", "acme", "ops")


def encrypted(
    plain: ConversationStore[Any], *keys: EncryptionKey, allow_plain: bool = False
) -> EncryptedConversationStore[Message]:
    return EncryptedConversationStore(plain, Keyring(*(keys or (OLD,))), allow_plain=allow_plain)


async def fill(store: ConversationStore[Any], id: str = "c") -> None:
    """Write hush-hush wherever it can be written."""
    new: Conversation[Message] = Conversation.new(id, cwd="/hush-hush/cwd")
    new.messages = said("hush-hush 1", "hush-hush 2")
    new.system_message = "hush-hush system"
    new.metadata = {"topic": "hush-hush topic"}
    new.state.custom = {"step": {"hush-hush": [1, None, "ä"]}}
    new.state.extra = {"more": "hush-hush state"}
    new.extra = {"summary": "hush-hush summary"}
    new.state.token_usage = TokenUsage(1, 2, extra={"cost": "hush-hush cost"})
    new.model = "some-model"
    await store.save(OPS, new)
    await store.append(OPS, id, Message.assistant("hush-hush 3"))
    await store.update_state(
        OPS,
        id,
        cwd="/hush-hush/new",
        add_usage=TokenUsage(10, 20),
        add_events=3,
        custom={"other": "hush-hush other"},
        metadata={"mood": "hush-hush mood"},
    )


async def check(store: ConversationStore[Any], id: str = "c") -> None:
    """Check that all that `fill` wrote is there."""
    loaded = await store.load(OPS, id)
    assert [message.text for message in loaded.messages] == ["hush-hush 1", "hush-hush 2", "hush-hush 3"]
    assert loaded.system_message == "hush-hush system"
    assert loaded.metadata == {"topic": "hush-hush topic", "mood": "hush-hush mood"}
    assert loaded.state.custom == {"step": {"hush-hush": [1, None, "ä"]}, "other": "hush-hush other"}
    assert loaded.state.extra == {"more": "hush-hush state"}
    assert loaded.extra == {"summary": "hush-hush summary"}
    assert loaded.state.token_usage == TokenUsage(11, 22, extra={"cost": "hush-hush cost"})
    assert (loaded.state.cwd, loaded.state.event_count, loaded.model) == ("/hush-hush/new", 3, "some-model")
    assert await texts(store, id=id, last=1) == ["hush-hush 3"]


async def raw_of(plain: ConversationStore[Any], id: str = "c") -> tuple[Header, list[bytes]]:
    """Return what is stored."""
    return await plain.backend.load(HERE, id, KEEP)


def key_ids(stored: tuple[Header, list[bytes]]) -> set[str]:
    """Return the keys that a stored conversation is under."""
    header, messages = stored
    sealed = [header.cwd, *header.metadata.values(), *(message.decode().strip('"') for message in messages)]
    return {text.split(":")[1] if text.startswith("gse1:") else "plain" for text in sealed}


# -- what is stored


@pytest.mark.asyncio
async def test_all_content_is_encrypted_in_memory() -> None:
    async with InMemoryConversationStore() as plain:
        store = encrypted(plain)
        await fill(store)
        await check(store)
        header, messages = await raw_of(plain)
        shown = str(([*header.custom], [bytes(value) for value in header.custom.values()], header, messages))
        assert "hush-hush" not in shown
        assert key_ids((header, messages)) == {"old"}
        assert (header.model, header.usage, header.event_count) == (
            "some-model",
            {"input_tokens": 11, "output_tokens": 22},
            3,
        )
        assert {*header.metadata} == {"topic", "mood"}
        assert [(found.id, found.message_count) for found in await store.list(OPS)] == [("c", 3)]


def test_all_content_is_encrypted_in_a_database(tmp_path: Path) -> None:
    async def use() -> None:
        async with encrypted(make(tmp_path / "bot.db")) as store:
            await fill(store)
            await check(store)

    anyio.run(use)
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"some-model" in everything
    assert b"hush-hush" not in everything


@pytest.mark.asyncio
async def test_all_content_is_encrypted_in_redis(redis_url: str, namespace: str, raw: redis.Redis) -> None:
    async with encrypted(RedisConversationStore.from_url(redis_url, namespace=namespace)) as store:
        await fill(store)
        await check(store)
        found = b""
        for key in raw.scan_iter(f"{namespace}:*"):
            match raw.type(key):
                case b"hash":
                    found += str(raw.hgetall(key)).encode()
                case b"list":
                    found += str(raw.lrange(key, 0, -1)).encode()
                case _:
                    found += key
    assert b"some-model" in found
    assert b"gse1:old:" in found
    assert b"hush-hush" not in found


@given(st.text(max_size=200), st.text(max_size=30))
def test_any_text_survives(text: str, name: str) -> None:
    async def there_and_back() -> None:
        async with encrypted(InMemoryConversationStore()) as store:
            await store.create(OPS, id="c", cwd=text, system_message=text, metadata={name: text})
            await store.append(OPS, "c", Message.user(text))
            await store.update_state(OPS, "c", custom={name: [text]})
            loaded = await store.load(OPS, "c")
            assert loaded.messages == [Message.user(text)]
            assert (loaded.system_message, loaded.state.cwd) == (text, text)
            assert (loaded.metadata, loaded.state.custom) == ({name: text}, {name: [text]})

    anyio.run(there_and_back)


@pytest.mark.asyncio
async def test_messages_of_any_type_and_length() -> None:
    plain: ConversationStore[str | int] = InMemoryConversationStore(message_type=str | int)
    async with EncryptedConversationStore(plain, RING) as store:
        await store.create(OPS, id="c")
        written: list[str | int] = ["gse1:old:AAAA", 7, "", "x" * 2**18, *range(1200)]
        assert await store.append(OPS, "c", *written) == len(written)
        assert await store.messages(OPS, "c") == written


@pytest.mark.asyncio
async def test_it_has_the_options_of_the_store_that_it_wraps() -> None:
    now, clock = [1000.0], StandingClock()
    inner = InMemoryConversationStore(ttl=60, sliding=True, max_message_bytes=1000, clock=clock, timer=lambda: now[0])
    async with encrypted(inner) as store:
        await store.create(OPS, id="c")
        empty = len(b'{"role":"user","content":[{"type":"text","text":""}]}')
        await store.append(OPS, "c", Message.user("x" * (1000 - empty)))  # longer than the limit, encrypted
        with pytest.raises(ValueError, match="limit"):
            await store.append(OPS, "c", Message.user("x" * (1001 - empty)))
        await store.health()
        now[0] += 50
        await store.messages(OPS, "c")
        now[0] += 50
        loaded = await store.load(OPS, "c")
        assert loaded.created_at.timestamp() == clock.now / 1e6
        now[0] += 61
        with pytest.raises(NotFoundError):
            await store.load(OPS, "c")
    with pytest.raises(UnavailableError, match="closed"):
        await inner.health()
    with pytest.raises(UnavailableError, match="closed"):
        await store.reencrypt(OPS)


def test_every_method_of_a_backend_is_handed_on() -> None:
    own = {name for parent in EncryptedConversationBackend.__mro__[:2] for name in vars(parent)}
    assert ConversationBackend.__abstractmethods__ <= own


@pytest.mark.asyncio
async def test_what_was_stored_long_ago_still_decrypts() -> None:
    """The associated data of encrypted content, and its encoding, never change for this prefix."""
    cwd = "gse1:k1:WqwF/D+iRUozg6O9DOqzWg9An/kzxGu8mpMBLOjcTIil"
    value = "gse1:k1:DO0+akRjPS+OZ3eM/OLhUn6dp8+2c4qSiXS0zuTCRis="
    message = (
        "gse1:k1:NfK/A4JSCmGPADW5VzvfGa5FSukfxWuVP8HeZpRnTZFKz9IMan3YGf2dhx2yO5"
        "8Sw45szeMU+9s+cPWI0/Jn94a+mTKMIkrjn3OhEXcjYUKrzWWLsQ=="
    )
    header = Header(created_at=1, updated_at=1, cwd=cwd, metadata={"a": value})
    async with InMemoryConversationStore() as plain:
        await plain.backend.put(HERE, "c", header, [f'"{message}"'.encode()], Stored.NOTHING, KEEP)
        loaded = await encrypted(plain, EncryptionKey("k1", bytes(range(224, 256)))).load(OPS, "c")
        assert (loaded.state.cwd, loaded.metadata, loaded.messages) == ("/hush", {"a": "hush"}, said("hush"))


# -- wrong keys


@pytest.mark.asyncio
@pytest.mark.parametrize("key", [STRANGE, NEW], ids=["another key of the same id", "a keyring without the key"])
async def test_a_wrong_key_is_an_error_and_nothing_is_left_out(key: EncryptionKey) -> None:
    async with InMemoryConversationStore() as plain:
        await fill(encrypted(plain))
        store = encrypted(plain, key)
        reads: list[tuple[int | None, Callable[[], Any]]] = [
            (None, lambda: store.load(OPS, "c")),
            (None, lambda: store.load(OPS, "c", skip_corrupt=True)),
            (0, lambda: store.messages(OPS, "c")),
            (1, lambda: store.messages(OPS, "c", last=2)),
            (1, lambda: store.messages(OPS, "c", last=2, skip_corrupt=True)),
        ]
        for position, read in reads:
            with pytest.raises(DecryptionError) as caught:
                await read()
            assert (caught.value.conversation_id, caught.value.position) == ("c", position)
            for secret in ("hush", "gse1", "acme", *(key.to_text()[4:] for key in (OLD, NEW, STRANGE))):
                assert secret not in f"{caught.value} {caught.value.args} {caught.value.__cause__!r}"
        # What reads no content goes on working.
        assert await store.append(OPS, "c", Message.user("new")) == 4
        assert await texts(store, last=1) == ["new"]
        await store.update_state(OPS, "c", add_events=1)
        assert [found.message_count for found in await store.list(OPS)] == [4]
        await store.delete(OPS, "c")
        await fill(encrypted(plain))
        assert await store.purge(OPS) == 1


@pytest.mark.asyncio
async def test_with_a_wrong_key_nothing_is_popped() -> None:
    async with InMemoryConversationStore() as plain:
        await fill(encrypted(plain))
        with pytest.raises(DecryptionError) as caught:
            await encrypted(plain, STRANGE).pop(OPS, "c")
        assert caught.value.position == 2
        await check(encrypted(plain))


@pytest.mark.asyncio
async def test_a_summary_is_encrypted() -> None:
    async with InMemoryConversationStore() as plain:
        store = encrypted(plain)
        await fill(store)
        read = await store.messages(OPS, "c")
        await store.compact(OPS, "c", 2, said("hush-hush summary"), version=read.version)
        _, messages = await raw_of(plain)
        assert b"hush-hush" not in b"".join(messages)
        assert await texts(store) == ["hush-hush summary", "hush-hush 3"]
        assert [message.text for message in await store.pop(OPS, "c", 2)] == ["hush-hush summary", "hush-hush 3"]


# -- what is bound


@pytest.mark.asyncio
async def test_in_another_conversation_nothing_decrypts() -> None:
    partitions: list[Partition] = [
        (partition.env, partition.tenant_id, partition.effective_team) for partition in PARTITIONS
    ]
    places = [*((partition, "c") for partition in partitions), *((HERE, id) for id in ("C", "d", "c ", "7:c", "cc"))]
    async with InMemoryConversationStore() as plain:
        await fill(encrypted(plain))
        header, messages = await raw_of(plain)
        sealed = EncryptedConversationBackend(plain.backend, encrypted(plain)._encrypted._sealer)
        for partition, id in places:
            if (partition, id) == (HERE, "c"):
                continue
            bare = replace(header, cwd="", metadata={}, system_message=None)
            await plain.backend.put(partition, id, header, messages, Stored.ANYTHING, KEEP)
            with pytest.raises(DecryptionError, match="moved"):
                await sealed.load(partition, id, KEEP)
            with pytest.raises(DecryptionError, match="moved"):
                await sealed.messages(partition, id, 1, KEEP)
            await plain.backend.put(partition, id, bare, [], Stored.ANYTHING, KEEP)
            with pytest.raises(DecryptionError, match="not encrypted"):
                await sealed.load(partition, id, KEEP)


@pytest.mark.asyncio
async def test_no_value_decrypts_in_the_place_of_another() -> None:
    async with InMemoryConversationStore() as plain:
        store = encrypted(plain)
        await fill(store)
        header, messages = await raw_of(plain)
        topic, mood = header.metadata["topic"], header.metadata["mood"]
        swapped = [
            replace(header, metadata={"topic": mood, "mood": topic}),
            replace(header, metadata={"Topic": topic}),
            replace(header, cwd=topic),
            replace(header, system_message=header.cwd),
            replace(header, custom={"step": header.custom["other"]}),
            replace(header, state_extra=header.extra),
            replace(header, extra=header.custom),
            replace(header, usage_extra={"cost": header.extra["summary"]}),
        ]
        for other in swapped:
            await plain.backend.put(HERE, "c", other, messages, Stored.ANYTHING, KEEP)
            with pytest.raises(DecryptionError, match="moved"):
                await store.load(OPS, "c")
        await plain.backend.put(HERE, "c", header, [f'"{topic}"'.encode()], Stored.ANYTHING, KEEP)
        with pytest.raises(DecryptionError, match="moved"):
            await store.messages(OPS, "c")


@given(st.integers(0), st.binary(max_size=2), st.integers(0, 2))
def test_no_change_of_a_stored_message_goes_unnoticed(place: int, put_in: bytes, taken_out: int) -> None:
    async def read() -> None:
        async with InMemoryConversationStore() as plain:
            store = encrypted(plain)
            await store.create(OPS, id="c")
            await store.append(OPS, "c", *said("a", "b", "c"))
            header, messages = await raw_of(plain)
            whole = messages[1]
            at = place % len(whole)
            messages[1] = whole[:at] + put_in + whole[at + taken_out :]
            await plain.backend.put(HERE, "c", header, messages, Stored.ANYTHING, KEEP)
            if messages[1] == whole:
                assert await texts(store) == ["a", "b", "c"]
            else:
                with pytest.raises(DecryptionError) as caught:
                    await texts(store)
                assert caught.value.position == 1
            assert await texts(store, last=1) == ["c"]

    anyio.run(read)


@pytest.mark.asyncio
async def test_a_message_that_is_written_in_another_way_counts_as_changed() -> None:
    async with InMemoryConversationStore() as plain:
        store = encrypted(plain)
        await store.create(OPS, id="c")
        await store.append(OPS, "c", *said("a" * 1000))  # long enough for a slash in its base64
        (sealed,) = (await raw_of(plain))[1]
        assert await texts(store) == ["a" * 1000]
        for other in (sealed + b" ", b" " + sealed, sealed.replace(b"/", b"\\/"), sealed.replace(b"g", b"\\u0067", 1)):
            await plain.backend.append(HERE, "c", [other], 1, KEEP)
            with pytest.raises(DecryptionError):
                await store.messages(OPS, "c", last=1)


# -- moving over, and rotation


@pytest.mark.asyncio
async def test_moving_over(tmp_path: Path) -> None:
    async with make(tmp_path / "bot.db") as plain:
        await fill(plain)
        with pytest.raises(DecryptionError, match="not encrypted"):
            await encrypted(plain).load(OPS, "c")
        with pytest.raises(DecryptionError, match="not encrypted"):
            await encrypted(plain).messages(OPS, "c")
        moving = encrypted(plain, allow_plain=True)
        await check(moving)
        await moving.append(OPS, "c", Message.user("of late"))
        assert key_ids(await raw_of(plain)) == {"plain", "old"}
        assert await moving.reencrypt(OPS) == 1
        assert key_ids(await raw_of(plain)) == {"old"}
        assert await moving.reencrypt(OPS) == 0
        assert await texts(encrypted(plain)) == ["hush-hush 1", "hush-hush 2", "hush-hush 3", "of late"]


@pytest.mark.asyncio
async def test_what_is_plain_and_broken_is_corrupt() -> None:
    async with InMemoryConversationStore() as plain:
        await plain.create(OPS, id="c")
        await plain.backend.append(HERE, "c", [b'"gse1:old:', b'"gse"', b'"gse', b"\xff", b"{}"], 1, KEEP)
        moving = encrypted(plain, allow_plain=True)
        for last in (1, 2, 3, 4, 5):
            with pytest.raises(CorruptSessionError) as caught:
                await moving.messages(OPS, "c", last=last)
            assert caught.value.position == 5 - last


@pytest.mark.asyncio
async def test_what_only_looks_like_a_sealed_text_is_plain() -> None:
    plain: ConversationStore[str] = InMemoryConversationStore(message_type=str)
    async with EncryptedConversationStore(plain, RING, allow_plain=True) as moving:
        await plain.create(OPS, id="c")
        await plain.append(OPS, "c", "gse", "gse:", "gsea1:", '"gse1:', "gse2:k:AAAA")
        with pytest.raises(DecryptionError, match="this version") as caught:
            await moving.messages(OPS, "c")
        assert caught.value.position == 4
        conversation = await plain.load(OPS, "c")
        del conversation.messages[4]
        await plain.save(OPS, conversation)
        assert await moving.messages(OPS, "c") == ["gse", "gse:", "gsea1:", '"gse1:']


@pytest.mark.asyncio
async def test_rotation() -> None:
    now = [1000.0]
    async with InMemoryConversationStore(ttl=60, timer=lambda: now[0]) as plain:
        await fill(encrypted(plain, OLD))
        await fill(encrypted(plain, OLD), "d")
        elsewhere = PARTITIONS[1]
        await encrypted(plain, OLD).create(elsewhere, id="c")
        store = encrypted(plain, NEW, OLD)
        await store.create(OPS, id="fresh")
        before = (await store.list(OPS))[0]
        now[0] += 30

        assert await store.reencrypt(OPS) == 2
        newest = encrypted(plain, NEW)
        for id in ("c", "d"):
            await check(newest, id)
        assert before in await store.list(OPS)
        with pytest.raises(DecryptionError):
            await newest.load(elsewhere, "c")
        now[0] += 31
        assert await store.list(OPS) == []  # their lifetimes went on


@pytest.mark.asyncio
async def test_rotation_sees_every_part_of_a_conversation() -> None:
    """One message, or one value, under the old key is enough to write it anew."""
    changes: list[Callable[[ConversationStore[Any]], Any]] = [
        lambda old: old.append(OPS, "c", Message.user("x")),
        lambda old: old.update_state(OPS, "c", cwd="/x"),
        lambda old: old.update_state(OPS, "c", metadata={"a": "x"}),
        lambda old: old.update_state(OPS, "c", custom={"a": "x"}),
    ]
    for change in changes:
        async with InMemoryConversationStore() as plain:
            store = encrypted(plain, NEW, OLD)
            await store.create(OPS, id="c", system_message="be brief")
            assert await store.reencrypt(OPS) == 0
            await change(encrypted(plain, OLD))
            assert await store.reencrypt(OPS) == 1
            assert await store.reencrypt(OPS) == 0
            await encrypted(plain, NEW).load(OPS, "c")


@pytest.mark.asyncio
async def test_rotation_overwrites_nothing_that_was_written_meanwhile() -> None:
    async with InMemoryConversationStore() as plain:
        old, store = encrypted(plain, OLD), encrypted(plain, NEW, OLD)
        await fill(old)
        inner = plain.backend
        put = inner.put

        def meddle(what: Callable[[], Any]) -> None:
            async def meddle_first(*args: Any) -> Header:
                inner.put = put  # type: ignore[method-assign]  # its own again
                await what()
                return await put(*args)

            inner.put = meddle_first  # type: ignore[assignment,method-assign]  # of this one, for one call

        loaded = await old.load(OPS, "c")
        meddle(lambda: old.append(OPS, "c", Message.user("late")))
        assert await store.reencrypt(OPS) == 1
        assert await texts(encrypted(plain, NEW)) == ["hush-hush 1", "hush-hush 2", "hush-hush 3", "late"]
        with pytest.raises(ConflictError):
            await store.save(OPS, loaded)
        await old.append(OPS, "c", Message.user("later"))
        meddle(lambda: old.delete(OPS, "c"))
        assert await store.reencrypt(OPS) == 0
        assert await plain.list(OPS) == []


@pytest.mark.asyncio
async def test_rotation_sees_to_the_others_where_one_cannot_be_read() -> None:
    async with InMemoryConversationStore() as plain:
        for id in ("a", "lost", "z"):
            await fill(encrypted(plain, STRANGE if id == "lost" else OLD), id)
        store = encrypted(plain, NEW, OLD)
        with pytest.raises(DecryptionError) as caught:
            await store.reencrypt(OPS)
        assert caught.value.conversation_id == "lost"
        await check(encrypted(plain, NEW), "a")
        await check(encrypted(plain, NEW), "z")
        await plain.delete(OPS, "lost")
        newer = Header(schema_version=99, created_at=1, updated_at=1)
        await plain.backend.put(HERE, "newer", newer, [], Stored.NOTHING, KEEP)
        with pytest.raises(SchemaVersionError):
            await store.reencrypt(OPS)
