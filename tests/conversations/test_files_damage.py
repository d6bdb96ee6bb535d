"""The conversation store in files: names, damaged and foreign files, torn ends, and what the system refuses."""

# ruff: noqa: ASYNC240, PTH208, PT017  # what a test looks at may block it; most of what is tried here may fail or not

import errno
import os
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from conversation_files import log_of, make, warnings
from hypothesis import given
from hypothesis import strategies as st
from timers import Timer

from greentic_session.conversation import Conversation, FileConversationStore, Message
from greentic_session.conversation.backends.file import disk, file, framing, handles, locks, names
from greentic_session.conversation.header import Header
from greentic_session.conversation.rules import partition_of
from greentic_session.errors import (
    ConflictError,
    CorruptSessionError,
    GreenticError,
    NotFoundError,
    OperationTimeoutError,
    SchemaVersionError,
    UnavailableError,
)
from greentic_session.models import TenantCtx
from greentic_session.testing._conversations.by_id import newer
from greentic_session.testing._conversations.samples import ODD_IDS, OPS, PARTITIONS, said, texts

# -- names

ids = st.sampled_from(ODD_IDS) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=255
)
parts = st.sampled_from(["..", ".", "CON", "-a", "a", "A"]) | st.from_regex(r"[A-Za-z0-9._-]{1,300}", fullmatch=True)
some_partitions = st.tuples(parts, parts, st.none() | parts)


@given(ids, ids)
def test_two_ids_have_two_names(one: str, two: str) -> None:
    first, second = names.conversation_name(one), names.conversation_name(two)
    assert (first == second) == (one == two)
    assert names.base_of(first + ".log") == (first, ".log")
    assert first.isascii()
    assert first == first.lower()
    assert len(first) + len(".lock") <= 100
    assert not set(first) & set('/\\:*?"<>|. %\0')


@given(some_partitions, some_partitions)
def test_two_partitions_have_two_names(one: Any, two: Any) -> None:
    first, second = names.partition_name(one), names.partition_name(two)
    assert (first == second) == (one == two)
    assert not set(first) & set('/\\:*?"<>|. %\0')
    assert first == first.lower()
    assert len(first) < 100


@given(st.lists(ids, max_size=4, unique=True))
def test_every_file_stays_inside(several: list[str]) -> None:
    async def run(directory: Path) -> None:
        async with make(directory / "store") as store:
            for id in several:
                await store.create(OPS, id=id)
                await store.append(OPS, id, *said(id))
            assert sorted(summary.id for summary in await store.list(OPS)) == sorted(several)
            assert [await texts(store, id=id) for id in several] == [[id] for id in several]
        found = [path.relative_to(directory).parts for path in directory.rglob("*") if not path.is_dir()]
        assert {parts[:2] for parts in found} <= {("store", names.partition_name(partition_of(OPS)))}
        assert len(found) == 2 * len(several)

    directory = Path(os.path.realpath(os.environ.get("TMPDIR", "/tmp"))) / f"inside-{os.getpid()}"
    try:
        anyio.run(run, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


# -- damaged and foreign files


async def prepared(directory: Path) -> bytes:
    """Make a conversation of three messages, and return its file."""
    async with make(directory) as store:
        await store.create(OPS, id="c", metadata={"a": "b"})
        await store.append(OPS, "c", *said("one", "two"))
        await store.update_state(OPS, "c", cwd="/srv")
        await store.append(OPS, "c", *said("three"))
    return log_of(directory).read_bytes()


def replaced_by_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replaced_by_link(path: Path) -> None:
    outside = path.parent.parent.parent / "outside"
    path.rename(outside)
    path.symlink_to(outside)


def replaced_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def changed(old: bytes, new: bytes, count: int = -1) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(path.read_bytes().replace(old, new, count))


def of_another(path: Path) -> None:
    """A whole and sound file, under the name of another conversation."""
    target = path.with_name(names.conversation_name("c") + ".log")
    other = path.with_name(names.conversation_name("d") + ".log")
    path.rename(other)
    text = other.read_bytes()
    line = text.split(b"\n")[1]
    partition, _ = framing.read_identity(line) or (("", "", None), "")
    target.write_bytes(text.replace(line + b"\n", framing.identity_line(partition, "d")))
    other.unlink()


def rewritten(kind: bytes, payload: bytes) -> Callable[[Path], object]:
    """Put an intact line with other content in the place of the last one of its kind."""

    def rewrite(path: Path) -> None:
        lines = path.read_bytes().split(b"\n")
        last = max(number for number, line in enumerate(lines) if line.startswith(kind + b" "))
        lines[last] = framing._line(kind, payload.ljust(len(lines[last]) - 11))[:-1]
        path.write_bytes(b"\n".join(lines))

    return rewrite


CORRUPT: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "one byte": lambda path: path.write_bytes(b"#"),
    "text": lambda path: path.write_text("hello\nworld\n"),
    "binary": lambda path: path.write_bytes(bytes(range(256)) * 40),
    "zeros": lambda path: path.write_bytes(bytes(10_000)),
    "JSON": lambda path: path.write_text('{"schema_version":1,"messages":[]}'),
    "another version of nothing": changed(b"conversation 1 ", b"conversation x "),
    "an older layout": changed(b"conversation 1 ", b"conversation 0 "),
    "only the first line": lambda path: os.truncate(path, framing.PREAMBLE_LENGTH),
    "less than the first batch": lambda path: os.truncate(path, framing.PREAMBLE_LENGTH + 200),
    "first line": changed(b" 0000000000000000 ", b" 0000000000000001 ", 1),
    "identity": changed(b'"acme"', b'"acne"', 1),
    "identity that is no JSON": rewritten(b"!", b"{"),
    "identity of something else": rewritten(b"!", b"[]"),
    "of another": of_another,
    "header": changed(b'"/srv"', b'"/srx"'),
    "header without version": rewritten(b"h", b"{}"),
    "directory": replaced_by_directory,
    "link": replaced_by_link,
    "pipe": replaced_by_pipe,
}

DAMAGED_ENDS: dict[str, Callable[[Path], object]] = {
    "last line": lambda path: path.write_bytes(path.read_bytes()[:-12] + b"0 000 0 000\n"),
    "no last newline": lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x"),
    "last line of letters": rewritten(b"=", b"a b c d e f g"),
    "last line too short": rewritten(b"=", b"1 2 3"),
    "header beyond the end": rewritten(b"=", b"3 1 1 0 100 100000 0"),
    "header before the beginning": rewritten(b"=", b"3 1 1 0 -100 100 0"),
    "a time beyond all": rewritten(b"=", b"3 1 99999999999999999999 0 100 100 0"),
    "more messages than bytes": rewritten(b"=", b"999999999 1 1 0 100 100 0"),
    "a line at the end": lambda path: path.write_bytes(path.read_bytes() + b"hello, this is no batch\n"),
    "a short line at the end": lambda path: path.write_bytes(path.read_bytes() + b"hello\n"),
    "a foreign line after a long one": lambda path: path.write_bytes(path.read_bytes() + b"x" * 200_000 + b"\n{}\n"),
}
"""How the end of a file may be damaged. What is before it is sound."""


@pytest.mark.parametrize("damage", CORRUPT.values(), ids=CORRUPT)
@pytest.mark.asyncio
async def test_what_cannot_be_read(
    damage: Callable[[Path], object], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "store"
    await prepared(directory)
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
    damage: Callable[[Path], object], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "store"
    await prepared(directory)
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


def log_of_the(directory: Path, id: str) -> Path:
    return directory / names.partition_name(partition_of(OPS)) / (names.conversation_name(id) + ".log")


@pytest.mark.parametrize("damage", (CORRUPT | DAMAGED_ENDS).values(), ids=CORRUPT | DAMAGED_ENDS)
@pytest.mark.asyncio
async def test_purge_removes_what_cannot_be_read(damage: Callable[[Path], object], tmp_path: Path) -> None:
    directory = tmp_path / "store"
    await prepared(directory)
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


# -- torn ends


@pytest.mark.parametrize("way", ["truncated", "zeros", "garbled zeros"])
@pytest.mark.asyncio
async def test_torn_ends(way: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = await prepared(tmp_path)
    path = log_of(tmp_path)
    async with make(tmp_path) as store:
        await store.append(OPS, "c", *said("four", "five"))
    after = path.read_bytes()
    for end in range(len(before) + 1, len(after)):
        text = after[:end] if way == "truncated" else after[:end] + bytes(len(after) - end)
        if way == "garbled zeros":
            text = before + bytes(end - len(before))
        path.write_bytes(text)
        caplog.clear()
        async with make(tmp_path) as store:
            if end % 3 == 0:
                assert await texts(store) == ["one", "two", "three"]
            elif end % 3 == 1:
                assert [summary.message_count for summary in await store.list(OPS)] == [3]
            else:
                assert await store.append(OPS, "c") == 3
            torn = len(text) - len(before)
            words = f"dropped the torn end of a conversation's file: {torn} bytes of an append that was cut short"
            assert warnings(caplog) == [words]
            assert await texts(store) == ["one", "two", "three"]
            assert await store.append(OPS, "c", *said("again")) == 4
            assert await texts(store) == ["one", "two", "three", "again"]
            assert len(await store.list(OPS)) == 1
            assert warnings(caplog) == []


@pytest.mark.asyncio
async def test_a_long_torn_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with make(tmp_path) as store:
        await store.create(OPS, id="c")
        await store.append(OPS, "c", *said("one"))
        length = log_of(tmp_path).stat().st_size
        await store.append(OPS, "c", *said("x" * 1_000_000, "y"))
        whole = log_of(tmp_path).read_bytes()
    for cut in (length + 70_000, len(whole) - 300, len(whole) - 1):
        log_of(tmp_path).write_bytes(whole[:cut])
        caplog.clear()
        async with make(tmp_path) as store:
            assert await texts(store) == ["one"]
            assert len(warnings(caplog)) == 1


@pytest.mark.asyncio
async def test_a_list_while_somebody_writes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What is half written is not there yet; and who writes it is not disturbed."""
    timer = Timer()
    whole = await prepared(tmp_path)
    async with make(tmp_path, timer=timer, lock_timeout=0.05) as store:
        other = handles.Handles(sync=False)
        held = other.take(str(log_of(tmp_path).with_suffix("")), create=False)
        assert held is not None
        for text, found in ((whole[:-20], [2]), (whole + b"+ 0", [3]), (whole[: framing.PREAMBLE_LENGTH - 3], [])):
            log_of(tmp_path).write_bytes(text)
            caplog.clear()
            assert [summary.message_count for summary in await store.list(OPS)] == found
            assert len(warnings(caplog)) == (not found)
            assert log_of(tmp_path).read_bytes() == text
        for call in (store.append(OPS, "c", *said("x")), store.purge(OPS), store.load(OPS, "c")):
            with pytest.raises(OperationTimeoutError):
                await call
        log_of(tmp_path).write_bytes(whole)
        other.give_back(held)
        assert await store.append(OPS, "c", *said("x")) == 4
        other.close()


@pytest.mark.asyncio
async def test_a_list_meets_the_expired_in_use(tmp_path: Path) -> None:
    timer = Timer()
    async with make(tmp_path, timer=timer, ttl=1) as store:
        await store.create(OPS, id="c")
        timer.advance(2)
        other = handles.Handles(sync=False)
        held = other.take(str(log_of(tmp_path).with_suffix("")), create=False)
        assert held is not None
        assert await store.list(OPS) == []
        await store.create(OPS, id="d")  # looks after its neighbour, in vain
        other.give_back(held)
        assert [summary.id for summary in await store.list(OPS)] == ["d"]
        assert len(list(tmp_path.rglob("*.log"))) == 1
        other.close()


# -- what the system refuses


class Fault:
    """A call of the system that fails at times."""

    def __init__(self, patch: pytest.MonkeyPatch, name: str, code: int) -> None:
        self.left: int | None = None
        self.real = getattr(os, name)
        self.code = code
        patch.setattr(os, name, self)

    def __call__(self, *args: Any, **options: Any) -> Any:
        if self.left is not None:
            if self.left == 0:
                raise OSError(self.code, os.strerror(self.code), "/a/secret/path")
            self.left -= 1
        return self.real(*args, **options)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EACCES, errno.EROFS])
@pytest.mark.parametrize("name", ["open", "pwrite", "pread", "fsync", "lstat", "replace", "unlink", "fstat"])
@pytest.mark.asyncio
async def test_a_call_that_fails_has_not_happened(
    name: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FileConversationStore(tmp_path) as store:
        await store.create(OPS, id="c")
        await store.append(OPS, "c", *said("one"))
        failed = 0
        for nth in range(4):
            for operation in ("append", "update", "save", "create"):
                before = await store.load(OPS, "c")
                conversation = await store.load(OPS, "c")
                conversation.messages = [*conversation.messages[:1], *said("saved")]
                calls: dict[str, Callable[[], Any]] = {
                    "append": lambda: store.append(OPS, "c", *said("x")),
                    "update": lambda: store.update_state(OPS, "c", add_events=1),
                    "save": partial(store.save, OPS, conversation),
                    "create": lambda: store.create(OPS, id="new"),
                }
                with monkeypatch.context() as patch:
                    Fault(patch, name, code).left = nth
                    try:
                        await calls[operation]()
                    except UnavailableError as error:
                        failed += 1
                        assert errno.errorcode[code] in str(error)
                        assert "secret" not in str(error)
                        happened = False
                    else:
                        happened = True
                after = await store.load(OPS, "c")
                if not happened and name != "fsync":  # a directory that cannot be synchronised has changed nevertheless
                    assert after == before
                assert [summary.message_count for summary in await store.list(OPS) if summary.id == "c"] == [
                    len(after.messages)
                ]
                if "new" in [summary.id for summary in await store.list(OPS)]:
                    await store.delete(OPS, "new")
        assert failed or name in {"unlink", "fstat"}


@pytest.mark.asyncio
async def test_a_write_that_stops_in_the_middle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with FileConversationStore(tmp_path) as store:
        await store.create(OPS, id="c")
        await store.append(OPS, "c", *said("one"))
        length = log_of(tmp_path).stat().st_size
        real = os.pwrite
        for kept in (0, 1, 50, 200):
            left = [kept]

            def some(fd: int, data: Any, offset: int, left: list[int] = left) -> int:
                if not left[0]:
                    raise OSError(errno.ENOSPC, "full")
                part = bytes(data)[: left[0]]
                left[0] -= len(part)
                return real(fd, part, offset)

            with monkeypatch.context() as patch:
                patch.setattr(os, "pwrite", some)
                with pytest.raises(UnavailableError, match="ENOSPC"):
                    await store.append(OPS, "c", *said("x" * 100))
                assert log_of(tmp_path).stat().st_size == length
                left[0] = kept
                patch.setattr(os, "ftruncate", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "broken")))
                with pytest.raises(UnavailableError, match="EIO"):
                    await store.append(OPS, "c", *said("x" * 100))
            assert await texts(store) == ["one"]
            assert await store.append(OPS, "c", *said("two")) == 2
            conversation = await store.load(OPS, "c")
            conversation.messages.pop()
            await store.save(OPS, conversation)
            length = log_of(tmp_path).stat().st_size
        # Short writes are no failure.
        monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: real(fd, bytes(data)[:7], offset))
        assert await store.append(OPS, "c", *said("short")) == 2
        monkeypatch.setattr(os, "pread", lambda fd, length, offset, real=os.pread: real(fd, min(length, 100), offset))
        assert await texts(store) == ["one", "short"]


@pytest.mark.asyncio
async def test_an_fsync_that_fails_takes_its_append_back_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FileConversationStore(tmp_path) as store:
        for index in range(30):
            await store.create(OPS, id=str(index))
        real, calls = os.fsync, [0]

        def sometimes(fd: int) -> None:
            calls[0] += 1
            if calls[0] % 3 == 0:
                raise OSError(errno.EIO, "broken")
            real(fd)

        done: dict[str, int] = {str(index): 0 for index in range(30)}

        async def write(id: str) -> None:
            for _ in range(10):
                try:
                    await store.append(OPS, id, *said(str(done[id])))
                    done[id] += 1
                except UnavailableError:
                    pass

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", sometimes)
            async with anyio.create_task_group() as tasks:
                for id in done:
                    tasks.start_soon(write, id)
        assert 0 < sum(done.values()) < 300
        for id, count in done.items():
            assert await texts(store, id=id) == [str(index) for index in range(count)]


@pytest.mark.asyncio
async def test_fsync_is_a_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = [0]

    def counted(fd: int, real: Callable[[int], None] = os.fsync) -> None:
        calls[0] += 1
        real(fd)

    monkeypatch.setattr(os, "fsync", counted)
    for fsync in (True, False):
        async with FileConversationStore(tmp_path / str(fsync), fsync=fsync) as store:
            writes: list[Callable[[], Any]] = [
                partial(store.create, OPS, id="c"),
                partial(store.append, OPS, "c", *said("x")),
                partial(store.update_state, OPS, "c"),
                partial(store.delete, OPS, "c"),
                partial(store.create, OPS, id="c"),
                partial(store.purge, OPS),
            ]
            for write in writes:
                before = calls[0]
                await write()
                assert (calls[0] > before) is fsync


@pytest.mark.asyncio
async def test_places_where_no_directory_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "partition").mkdir()
    (tmp_path / "partition" / names.partition_name(partition_of(OPS))).write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "outside").mkdir()
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / names.partition_name(partition_of(OPS))).symlink_to(tmp_path / "outside")
    for directory, healthy in (
        ("file", False),
        ("file/deeper", False),
        ("partition", True),
        ("loop", False),
        ("linked", True),
    ):
        async with make(tmp_path / directory) as store:
            with pytest.raises(UnavailableError):
                await store.create(OPS, id="c")
            with pytest.raises((UnavailableError, NotFoundError)):
                await store.load(OPS, "c")
            with pytest.raises(UnavailableError):
                await store.list(OPS)
            if healthy:
                await store.health()
            else:
                with pytest.raises(UnavailableError):
                    await store.health()
    assert list((tmp_path / "outside").iterdir()) == []


# -- directories that others can change


def named(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return why directories were named in the log, as `directory: reasons`."""
    pattern = r"the directory (.*) of a conversation store is (.*): check that nobody else can put files there"
    found = [re.fullmatch(pattern, line) for line in warnings(caplog)]
    return [f"{Path(match[1]).name}: {match[2]}" for match in found if match is not None]


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.parametrize("namespace", [None, "space"])
@pytest.mark.asyncio
async def test_a_base_that_others_can_change_is_named_once(
    namespace: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Used all the same: volumes of containers are writable for a group, and a link leads to the larger disk."""
    for base, mode in (("own", 0o700), ("read", 0o755), ("group", 0o770), ("all", 0o1777)):
        (tmp_path / base).mkdir()
        (tmp_path / base).chmod(mode)
    (tmp_path / "link").symlink_to(tmp_path / "own")
    (tmp_path / "bad-link").symlink_to(tmp_path / "all")
    found = []
    for base in ("own", "read", "missing", "group", "all", "link", "bad-link"):
        for _ in range(2):
            async with make(tmp_path / base, namespace=namespace) as store:
                await store.create(OPS)
                await store.list(OPS)
                found += named(caplog)
    assert found == [
        "group: writable by other users",
        "all: writable by other users",
        "link: a symbolic link",
        "bad-link: a symbolic link and writable by other users",
    ]


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.asyncio
async def test_a_directory_is_looked_at_when_it_is_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with make(tmp_path / "later") as store:
        assert await store.list(OPS) == []
        assert named(caplog) == []
        (tmp_path / "later").mkdir()
        (tmp_path / "later").chmod(0o777)
        assert await store.list(OPS) == []
        assert named(caplog) == ["later: writable by other users"]


def directory(mode: int, user: int) -> os.stat_result:
    return os.stat_result((mode, 0, 0, 1, user, 0, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("found", "reasons"),
    [
        ([directory(0o40700, 7)], []),
        ([directory(0o40755, 0)], []),
        ([directory(0o40700, 8)], ["owned by another user"]),
        ([directory(0o42770, 0)], ["writable by other users"]),
        ([directory(0o40702, 8)], ["owned by another user", "writable by other users"]),
        ([directory(0o120777, 7), directory(0o40700, 7)], ["a symbolic link"]),
        ([directory(0o120777, 8), directory(0o40700, 7)], ["a symbolic link", "owned by another user"]),
    ],
)
def test_who_can_change_a_directory(found: list[os.stat_result], reasons: list[str]) -> None:
    assert disk.exposures(found, 7) == reasons


@pytest.mark.asyncio
async def test_health_of_a_directory_that_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    async with make(tmp_path) as store:
        with pytest.raises(UnavailableError, match="EACCES"):
            await store.health()


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


@pytest.mark.asyncio
async def test_too_many_open_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with make(tmp_path) as store:
        for id in "ab":
            await store.create(OPS, id=id)
            await store.append(OPS, id, *said("x"))
        await store.create(OPS, id="c")
        failing = Fault(monkeypatch, "open", errno.EMFILE)
        real, failing.left = failing.real, 0

        def until_some_are_closed(*args: Any, **options: Any) -> int:
            if len(os.listdir("/proc/self/fd")) >= limit:
                raise OSError(errno.EMFILE, "too many")
            return int(real(*args, **options))

        failing.real, failing.left = until_some_are_closed, None
        limit = len(os.listdir("/proc/self/fd"))
        assert await texts(store, id="c") == []
        limit = 0
        with pytest.raises(UnavailableError, match="EMFILE"):
            await store.append(OPS, "a", *said("x"))
        limit = 10_000
        assert await store.append(OPS, "a", *said("x")) == 2


@pytest.mark.asyncio
async def test_a_lock_that_is_deleted_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with make(tmp_path, lock_timeout=0.02) as store:
        await store.create(OPS, id="c")
        real = locks.try_lock

        def deleted(fd: int) -> bool:
            log_of(tmp_path, ".lock").unlink()
            return real(fd)

        with monkeypatch.context() as patch:
            patch.setattr(handles, "try_lock", deleted)
            with pytest.raises(OperationTimeoutError):
                await store.append(OPS, "c", *said("x"))
        assert await store.append(OPS, "c", *said("x")) == 1
        with monkeypatch.context() as patch:
            patch.setattr(handles, "make_directory", lambda *_, **__: None)
            with pytest.raises(UnavailableError):
                await store.create(PARTITIONS[1], id="c")


def test_pieces_are_gathered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "_PIECE", 10)
    fd = disk.open_file(str(tmp_path / "x"), os.O_RDWR | os.O_CREAT)
    disk.write_at(fd, 0, [b"abc", b"d" * 8, b"e", b"f" * 30, b"g"])
    assert disk.read_at(fd, 0, 100) == b"abc" + b"d" * 8 + b"e" + b"f" * 30 + b"g"
    os.close(fd)


def test_a_directory_that_another_makes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.mkdir

    def late(path: str, mode: int) -> None:
        real(path, mode)
        real(path, mode)

    monkeypatch.setattr(os, "mkdir", late)
    disk.make_directory(str(tmp_path / "a" / "b"), sync=True)
    assert (tmp_path / "a" / "b").is_dir()


def test_the_windows_of_a_search_overlap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the boundary between two parts falls, the last intact batch is found."""

    async def run() -> None:
        async with make(tmp_path) as store:
            await store.create(OPS, id="c")
            await store.append(OPS, "c", *said("one"))

    anyio.run(run)
    whole = log_of(tmp_path).read_bytes()
    fd = disk.open_file(str(log_of(tmp_path)), os.O_RDWR)
    monkeypatch.setattr(file, "_WINDOW", 300)
    for extra in range(400):
        torn = framing._line(b"+", b"%016d" % 10_000) + b"x" * extra
        os.pwrite(fd, torn, len(whole))
        size = len(whole) + len(torn)
        os.ftruncate(fd, size)
        assert file.examine(fd, size, "c").state.end == len(whole)
    os.close(fd)


@pytest.mark.asyncio
async def test_a_partition_with_a_very_long_name(tmp_path: Path) -> None:
    ctx = TenantCtx.new("e" * 255, "t" * 255, team="m" * 255)
    async with make(tmp_path) as store:
        await store.create(ctx, id="\1" * 255)
        assert await store.append(ctx, "\1" * 255, *said("x")) == 1
        assert [summary.message_count for summary in await store.list(ctx)] == [1]


def test_a_partition_with_a_name_that_is_longer_than_any_now(tmp_path: Path) -> None:
    """Ids had no bound once: such a file tells whose it is."""
    partition = ("e" * 10_000, "t" * 10_000, None)
    with (tmp_path / "c.log").open("w+b", buffering=0) as opened:
        fd = opened.fileno()
        header = Header(created_at=1, updated_at=1)
        state = file.write_new(fd, partition, "c", header, [b"{}"], 0, sync=False)
        seen = file.examine(fd, state.end, "c")
        assert (seen.partition, seen.id, seen.state) == (partition, "c", state)
        os.ftruncate(fd, 9000)
        with pytest.raises(CorruptSessionError):
            file.examine(fd, 9000, "c")


@pytest.mark.asyncio
async def test_an_intact_message_without_a_position(tmp_path: Path) -> None:
    await prepared(tmp_path)
    rewritten(b"m", b"x {}")(log_of(tmp_path))
    async with make(tmp_path) as store:
        with pytest.raises(CorruptSessionError, match="position 2"):
            await store.messages(OPS, "c")
        assert len(await store.messages(OPS, "c", skip_corrupt=True)) == 2


@pytest.mark.asyncio
async def test_a_list_does_not_mind_what_goes_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with make(tmp_path) as store:
        await store.create(OPS, id="c")
        real = os.listdir

        def gone(path: str) -> list[str]:
            names = real(path)
            for file_path in tmp_path.rglob("*.lo*"):
                file_path.unlink()
            return names

        monkeypatch.setattr(os, "listdir", gone)
        assert await store.list(OPS) == []


@pytest.mark.asyncio
async def test_what_was_open_before_a_fork_is_not_used_after_it(tmp_path: Path) -> None:
    keeper = handles.Handles(sync=False)
    await prepared(tmp_path)
    base = str(log_of(tmp_path).with_suffix(""))
    for owner in (os.getpid(), -1):
        held = keeper.take(base, create=False)
        assert held is not None
        assert held.fd is not None
        held.seen = file.examine(held.fd, held.size, "c")
        descriptor = held.lock
        keeper.give_back(held)
        keeper._owner = owner
        again = keeper.take(base, create=False)
        assert again is not None
        assert (again is held) is (owner == os.getpid())
        assert descriptor
        keeper.give_back(again)
    keeper.close()


def test_errors_without_a_number() -> None:
    assert "TimeoutError" in str(disk.refused(TimeoutError()))
    assert issubclass(UnavailableError, GreenticError)
    assert issubclass(ConflictError, GreenticError)
