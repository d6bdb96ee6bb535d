"""Damaged and foreign files of conversations: what is still read, and how the rest is refused."""

# ruff: noqa: ASYNC240, PT017  # calls that block are fine in a test; much of what is tried may fail or not

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from conversation_damage import (
    CORRUPT,
    DAMAGED_ENDS,
    changed,
    ended_with,
    inserted,
    log_of_the,
    prepared,
    replaced_by_directory,
    rewritten,
)
from conversation_files import log_of, make, warnings

from greentic_session.conversation import Conversation, Message
from greentic_session.conversation.jsonl import names
from greentic_session.conversation.rules import partition_of
from greentic_session.errors import ConflictError, CorruptSessionError, NotFoundError, SchemaVersionError, UnavailableError
from greentic_session.testing._conversations.by_id import newer
from greentic_session.testing._conversations.samples import OPS, PARTITIONS, said, texts


@pytest_asyncio.fixture
async def directory(tmp_path: Path) -> Path:
    """The directory of a store with one conversation of three messages."""
    directory = tmp_path / "store"
    await prepared(directory)
    return directory


@pytest.mark.parametrize("damage", CORRUPT.values(), ids=CORRUPT)
@pytest.mark.asyncio
async def test_what_cannot_be_read(
    damage: Callable[[Path], object], directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damage(log_of(directory))
    async with make(directory) as store:
        await store.create(OPS, id="sound")
        held = Conversation[Message].new("c")
        calls: list[Callable[[], Any]] = [
            lambda: store.load(OPS, "c"),
            lambda: store.append(OPS, "c", *said("x")),
            lambda: store.append(OPS, "c"),
            lambda: store.messages(OPS, "c"),
            lambda: store.messages(OPS, "c", last=1),
            lambda: store.update_state(OPS, "c", cwd="/x"),
            lambda: store.create(OPS, id="c"),
            lambda: store.save(OPS, held),
        ]
        for call in calls:
            with pytest.raises(CorruptSessionError) as caught:
                await call()
            assert caught.value.conversation_id == "c"
            assert str(caught.value) == "the stored text is no conversation"
        caplog.clear()
        assert [summary.id for summary in await store.list(OPS)] == ["sound"]
        assert warnings(caplog) == ["left out what cannot be read: 1 conversations of a partition"]
        with pytest.raises(NotFoundError):
            await store.list(OPS, after="c")
        await store.save(OPS, held, force=True)
        assert await store.load(OPS, "c") == held
        damage(log_of_c := log_of_the(directory, "c"))
        if log_of_c.exists() or log_of_c.is_symlink():
            await store.delete(OPS, "c")
        with pytest.raises(NotFoundError):
            await store.load(OPS, "c")
        assert await store.purge(OPS) == 1


@pytest.mark.parametrize("damage", DAMAGED_ENDS.values(), ids=DAMAGED_ENDS)
@pytest.mark.asyncio
async def test_a_damaged_end_counts_as_one_message(
    damage: Callable[[Path], object], directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damage(path := log_of(directory))
    damaged = path.read_bytes()
    async with make(directory, ttl=3600) as store:
        rest = [message.text for message in await store.messages(OPS, "c", skip_corrupt=True)]
        assert rest in (["one", "two"], ["one", "two", "three"])  # without the damaged batch, or with a foreign end
        assert warnings(caplog) == ["left out what cannot be read: 1 messages of a conversation"]
        for last, expected in ((0, []), (1, []), (2, rest[-1:]), (100, rest)):
            read = await store.messages(OPS, "c", last=last, skip_corrupt=True)
            assert [message.text for message in read] == expected
        assert await store.messages(OPS, "c", last=0) == []
        calls: list[Callable[[], Any]] = [
            lambda: store.load(OPS, "c"),
            lambda: store.messages(OPS, "c"),
            lambda: store.messages(OPS, "c", last=1),
            lambda: store.append(OPS, "c", *said("x")),
            lambda: store.append(OPS, "c"),
            lambda: store.update_state(OPS, "c", cwd="/x"),
        ]
        for call in calls:
            with pytest.raises(CorruptSessionError) as caught:
                await call()
            assert (caught.value.conversation_id, caught.value.position) == ("c", len(rest))
        with pytest.raises(ConflictError):
            await store.create(OPS, id="c")
        assert path.read_bytes() == damaged
        caplog.clear()
        assert [(summary.id, summary.message_count) for summary in await store.list(OPS)] == [("c", len(rest))]
        assert warnings(caplog) == []

        kept = await store.load(OPS, "c", skip_corrupt=True)
        assert (kept.state.cwd, kept.metadata) == ("/srv", {"a": "b"})
        await store.save(OPS, kept)
        assert await store.append(OPS, "c", *said("four")) == len(rest) + 1
        assert await texts(store) == [*rest, "four"]
        damage(path)
        await store.delete(OPS, "c")
        with pytest.raises(NotFoundError):
            await store.load(OPS, "c")


@pytest.mark.parametrize("before", [b"+ ", b"m ", b"h ", b"= "], ids=["batch", "message", "header", "end of batch"])
@pytest.mark.parametrize(
    "foreign", [b"hello\n", b"hello\nworld\n{}\n", bytes(range(256)) + b"\n", b"\n", b"y" * 300_000 + b"\n"]
)
@pytest.mark.asyncio
async def test_foreign_lines_between_ours_are_left_out(
    foreign: bytes, before: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await prepared(tmp_path)
    inserted(foreign, before)(log_of(tmp_path))
    async with make(tmp_path) as store:
        assert [summary.message_count for summary in await store.list(OPS)] == [3]
        assert warnings(caplog) == []
        assert await texts(store) == ["one", "two", "three"]
        assert await texts(store, last=1) == ["three"]
        found = await store.load(OPS, "c")
        assert (found.state.cwd, found.metadata) == ("/srv", {"a": "b"})
        words = "a conversation's file has text of another program between its lines, which is left out"
        assert warnings(caplog) == [words]
        assert await store.append(OPS, "c", *said("four")) == 4
        await store.update_state(OPS, "c", cwd="/home")
    async with make(tmp_path) as store:
        assert await texts(store) == ["one", "two", "three", "four"]
        assert (await store.load(OPS, "c")).state.cwd == "/home"
        assert warnings(caplog) == []


@pytest.mark.asyncio
async def test_an_old_header_never_stands_for_the_latest(tmp_path: Path) -> None:
    """An older header never replaces a damaged one, wherever foreign lines have moved both."""
    await prepared(tmp_path)
    inserted(b"y" * 10_000 + b"\n", b"m ")(log_of(tmp_path))
    changed(b'"/srv"', b'"/srx"')(log_of(tmp_path))
    async with make(tmp_path) as store:
        for call in (store.load(OPS, "c"), store.messages(OPS, "c"), store.append(OPS, "c", *said("x"))):
            with pytest.raises(CorruptSessionError):
                await call


@pytest.mark.asyncio
async def test_a_write_behind_a_damaged_end_says_what_to_do(tmp_path: Path) -> None:
    await prepared(tmp_path)
    inserted(b"hello\n")(log_of(tmp_path))
    ended_with(b"hello\n")(log_of(tmp_path))
    async with make(tmp_path) as store:
        assert [message.text for message in await store.messages(OPS, "c", skip_corrupt=True)] == ["one", "two", "three"]
        for call in (store.append(OPS, "c", *said("x")), store.update_state(OPS, "c", cwd="/x")):
            with pytest.raises(CorruptSessionError, match=r"load the conversation with skip_corrupt=True and save it"):
                await call


@pytest.mark.asyncio
async def test_an_intact_header_that_is_no_conversation(tmp_path: Path) -> None:
    """Of another program: the list and the messages do not need it."""
    await prepared(tmp_path)
    rewritten(b"h", b"1 []")(log_of(tmp_path))
    async with make(tmp_path) as store:
        for call in (store.load(OPS, "c"), store.update_state(OPS, "c"), store.create(OPS, id="c")):
            with pytest.raises(CorruptSessionError):
                await call
        assert await texts(store) == ["one", "two", "three"]
        await store.delete(OPS, "c")


@pytest.mark.parametrize("damage", (CORRUPT | DAMAGED_ENDS).values(), ids=CORRUPT | DAMAGED_ENDS)
@pytest.mark.asyncio
async def test_purge_removes_what_cannot_be_read(damage: Callable[[Path], object], directory: Path) -> None:
    damage(log_of(directory))
    async with make(directory) as store:
        assert await store.purge(OPS) == 1
        assert list(directory.iterdir()) == []


@pytest.mark.asyncio
async def test_a_newer_layout_and_a_newer_schema(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await prepared(tmp_path)
    changed(b"conversation 1 ", b"conversation 2 what do I know ")(log_of(tmp_path))
    async with make(tmp_path) as store:
        await newer(store, "n")
        caplog.clear()
        assert await store.list(OPS) == []
        assert warnings(caplog) == ["left out what cannot be read: 2 conversations of a partition"]
        for id, words in (("c", "file layout version 2"), ("n", "schema version 2")):
            for call in (store.load(OPS, id), store.append(OPS, id, *said("x")), store.create(OPS, id=id)):
                with pytest.raises(SchemaVersionError, match=words) as caught:
                    await call
                assert caught.value.conversation_id == id
        await store.save(OPS, Conversation[Message].new("c"), force=True)
        assert await texts(store) == []


@pytest.mark.asyncio
async def test_foreign_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with make(tmp_path) as store:
        await store.create(OPS, id="c")
        await store.create(PARTITIONS[1], id="c")
        partition = log_of_the(tmp_path, "c").parent
        (partition / "notes.txt").write_text("mine")
        (partition / "folder").mkdir()
        (partition / "link.log").symlink_to("/etc/passwd")
        (partition / (names.conversation_name("d") + ".log")).write_bytes(log_of_the(tmp_path, "c").read_bytes())
        stranger = tmp_path / names.partition_name(partition_of(PARTITIONS[1])) / (names.conversation_name("c") + ".log")
        (partition / (names.conversation_name("e") + ".log")).write_bytes(stranger.read_bytes())
        caplog.clear()
        assert [summary.id for summary in await store.list(OPS)] == ["c"]
        assert warnings(caplog) == ["left out what cannot be read: 5 conversations of a partition"]
        for id in ("d", "e"):
            with pytest.raises(CorruptSessionError):
                await store.load(OPS, id)
        assert await store.purge(OPS) == 3
        assert sorted(path.name for path in partition.iterdir()) == ["folder", "link.log", "notes.txt"]


@pytest.mark.asyncio
async def test_a_file_without_its_lock(tmp_path: Path) -> None:
    """As from a backup: the empty files are easily forgotten."""
    await prepared(tmp_path)
    log_of(tmp_path, ".lock").unlink()
    async with make(tmp_path) as store:
        assert await texts(store) == ["one", "two", "three"]
        log_of(tmp_path, ".lock").unlink()
        assert await store.append(OPS, "c", *said("four")) == 4


@pytest.mark.asyncio
async def test_every_flipped_bit_is_found_or_does_not_matter(tmp_path: Path) -> None:
    whole = await prepared(tmp_path)
    path = log_of(tmp_path)
    expected = ["one", "two", "three"]
    outcomes = {"right": 0, "one message": 0, "corrupt": 0}
    async with make(tmp_path) as store:
        good = await store.load(OPS, "c")
        for offset in range(len(whole)):
            for bit in (1, 32) if offset % 5 else (1, 2, 4, 8, 16, 32, 64, 128):
                text = bytearray(whole)
                text[offset] ^= bit
                path.unlink()
                path.write_bytes(text)
                try:
                    found = await store.load(OPS, "c")
                    assert found == good
                    outcomes["right"] += 1
                except CorruptSessionError as error:
                    if error.position is None:
                        outcomes["corrupt"] += 1
                        continue
                    outcomes["one message"] += 1
                    rest = await store.messages(OPS, "c", skip_corrupt=True)
                    assert [message.text for message in rest] in (
                        [text for text in expected if text != expected[error.position]],
                        [text for index, text in enumerate(expected) if index not in (error.position, error.position + 1)],
                    )
                except SchemaVersionError:
                    assert whole[offset : offset + 1] == b"1"
    assert min(outcomes.values()) > 20, outcomes


@pytest.mark.asyncio
async def test_a_damaged_message_in_a_long_conversation(tmp_path: Path) -> None:
    async with make(tmp_path) as store:
        await store.create(OPS, id="c")
        await store.append(OPS, "c", *said(*(f"<{index}>{'x' * 1000}" for index in range(300))))
        path = log_of(tmp_path)
        path.write_bytes(path.read_bytes().replace(b"<200>", b"<2OO>"))
        assert len(await store.messages(OPS, "c", last=99)) == 99
        for last in (100, 101, 250, 300, 400):
            with pytest.raises(CorruptSessionError, match="position 200"):
                await store.messages(OPS, "c", last=last)
        assert len(await store.messages(OPS, "c", skip_corrupt=True)) == 299
        assert await store.append(OPS, "c", *said("x")) == 301


@pytest.mark.asyncio
async def test_a_long_message_among_the_last(tmp_path: Path) -> None:
    async with make(tmp_path) as store:
        await store.create(OPS, id="c")
        for index in range(100):
            await store.append(OPS, "c", *said(f"{index}" + "x" * (500_000 if index in (60, 95) else 10)))
        for last in (1, 4, 5, 6, 40, 41, 99, 100):
            found = await texts(store, last=last)
            assert [int(text.rstrip("x")) for text in found] == list(range(100 - last, 100))


@pytest.mark.asyncio
async def test_an_intact_message_without_a_position(tmp_path: Path) -> None:
    await prepared(tmp_path)
    rewritten(b"m", b"x {}")(log_of(tmp_path))
    async with make(tmp_path) as store:
        with pytest.raises(CorruptSessionError, match="position 2"):
            await store.messages(OPS, "c")
        assert len(await store.messages(OPS, "c", skip_corrupt=True)) == 2


@pytest.mark.asyncio
async def test_a_full_directory_in_the_place_of_a_file_is_left_alone(tmp_path: Path) -> None:
    await prepared(tmp_path)
    replaced_by_directory(log_of(tmp_path))
    (log_of(tmp_path) / "precious").touch()
    async with make(tmp_path) as store:
        for call in (
            store.delete(OPS, "c"),
            store.purge(OPS),
            store.save(OPS, Conversation[Message].new("c"), force=True),
        ):
            with pytest.raises(UnavailableError):
                await call
    assert (log_of(tmp_path) / "precious").exists()
