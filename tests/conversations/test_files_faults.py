"""Errors of the operating system in the conversation store in files."""

# ruff: noqa: PTH208, PT017  # calls that block are fine in a test; much of what is tried may fail or not

import errno
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from conversation_files import log_of, make

from greentic_session.conversation import FileConversationStore
from greentic_session.conversation.backends.file import disk, handles, locks
from greentic_session.errors import ConflictError, GreenticError, OperationTimeoutError, UnavailableError
from greentic_session.testing._conversations.samples import OPS, PARTITIONS, said, texts


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
    monkeypatch.setattr(disk, "_WRITE_CHUNK_BYTES", 10)
    fd = disk.open_file(str(tmp_path / "x"), os.O_RDWR | os.O_CREAT)
    disk.write_at(fd, 0, [b"abc", b"d" * 8, b"e", b"f" * 30, b"g"])
    assert disk.read_at(fd, 0, 100) == b"abc" + b"d" * 8 + b"e" + b"f" * 30 + b"g"
    os.close(fd)


def test_errors_without_a_number() -> None:
    assert "TimeoutError" in str(disk.unavailable(TimeoutError()))
    assert issubclass(UnavailableError, GreenticError)
    assert issubclass(ConflictError, GreenticError)
