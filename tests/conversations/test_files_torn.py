"""Torn ends of conversation files, and files that change while a list reads them."""

# ruff: noqa: ASYNC240  # calls that block the event loop are fine in a test

import os
from pathlib import Path

import anyio
import pytest
from conversation_damage import prepared
from conversation_files import log_of, make, warnings
from timers import Timer

from greentic_session.conversation.backends.file import disk, file, framing, handles
from greentic_session.errors import OperationTimeoutError
from greentic_session.testing._conversations.samples import OPS, said, texts


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


def test_the_windows_of_a_search_overlap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the boundary between two parts falls, the last intact batch is found."""

    async def run() -> None:
        async with make(tmp_path) as store:
            await store.create(OPS, id="c")
            await store.append(OPS, "c", *said("one"))

    anyio.run(run)
    whole = log_of(tmp_path).read_bytes()
    fd = disk.open_file(str(log_of(tmp_path)), os.O_RDWR)
    monkeypatch.setattr(file, "_READ_WINDOW_BYTES", 300)
    for extra in range(400):
        torn = framing._line(b"+", b"%016d" % 10_000) + b"x" * extra
        os.pwrite(fd, torn, len(whole))
        size = len(whole) + len(torn)
        os.ftruncate(fd, size)
        assert file.examine(fd, size, "c").state.end == len(whole)
    os.close(fd)


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
        held.info = file.examine(held.fd, held.size, "c")
        descriptor = held.lock
        keeper.give_back(held)
        keeper._owner = owner
        again = keeper.take(base, create=False)
        assert again is not None
        assert (again is held) is (owner == os.getpid())
        assert descriptor
        keeper.give_back(again)
    keeper.close()
