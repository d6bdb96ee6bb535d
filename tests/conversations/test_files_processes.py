"""The conversation store in files, used by several processes, some of which are killed."""

import asyncio
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import anyio
import pytest
from conversation_files import make
from paths import ROOT

from greentic_session.conversation import FileConversationStore
from greentic_session.testing._conversations.samples import OPS, said, texts

WORKERS = ROOT / "tests/helpers/conversation_file_workers.py"


@contextmanager
def worker(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        [sys.executable, str(WORKERS), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def create(directory: Path) -> None:
    async def run() -> None:
        async with make(directory) as store:
            await store.create(OPS, id="c")

    anyio.run(run)


def check_two_writers(directory: Path, count: int) -> None:
    create(directory)
    with ExitStack() as stack:
        writers = [stack.enter_context(worker("append", directory, writer, count)) for writer in "AB"]
        for process in writers:
            assert process.stdout is not None
            assert process.stdin is not None
            assert process.stdout.readline() == "ready\n"
        for process in writers:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in writers:
            assert process.stdout is not None
            assert process.stdout.readline() == "done\n"

    async def check() -> None:
        async with make(directory) as store:
            found = [text.split() for text in await texts(store)]
            assert len(found) == 2 * count
            for writer in "AB":
                assert [int(index) for who, index in found if who == writer] == list(range(count))
            assert [summary.message_count for summary in await store.list(OPS)] == [2 * count]

    anyio.run(check)


def test_two_processes_append(tmp_path: Path) -> None:
    check_two_writers(tmp_path, 300)


@pytest.mark.slow
def test_two_processes_append_at_length(tmp_path: Path) -> None:
    check_two_writers(tmp_path, 10_000)


class Reader(threading.Thread):
    """Reads what a process says, to the end; the last whole line counts."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        super().__init__(daemon=True)
        self.process = process
        self.started = threading.Event()
        self.last = "0 0 0"
        self.start()

    def run(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.endswith("\n"):
                self.last = line
                self.started.set()


def crash(directory: Path, seed: int) -> None:
    """Kill writers at random points; what they had been told is done must be there."""
    choose = random.Random(seed)
    create(directory)
    names = "AB" if seed % 2 else "A"
    with ExitStack() as stack:
        processes = [stack.enter_context(worker("everything", directory, name, choose.randrange(10**9))) for name in names]
        readers = [Reader(process) for process in processes]
        for reader in readers:
            assert reader.started.wait(30)
        for process in processes:
            time.sleep(choose.random() * 0.1)
            process.kill()
        for reader in readers:
            reader.join()

    async def check() -> None:
        async with make(directory) as store:
            conversation = await store.load(OPS, "c")
            found = [message.text.split() for message in conversation.messages]
            assert all(len(text) == 3 and set(text[2]) == {"x"} for text in found)
            for name, reader in zip(names, readers, strict=True):
                appended, events, saved = map(int, reader.last.split())
                own = [int(index) for who, index, _ in found if who == name]
                # One call more may have happened that nobody has heard of, all of it.
                assert own == list(range(len(own)))
                assert appended <= len(own) <= appended + 4
                assert conversation.state.custom.get(name, 0) in (events, events + 1)
                assert int(conversation.metadata.get(name, "0")) in (saved, saved + 1)
            assert [summary.message_count for summary in await store.list(OPS)] == [len(found)]
            assert await store.append(OPS, "c", *said("on")) == len(found) + 1
            await store.save(OPS, await store.load(OPS, "c"))
            assert await store.purge(OPS) == 1

    anyio.run(check)
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("seed", range(3))
def test_killed_writers(seed: int, tmp_path: Path) -> None:
    crash(tmp_path, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 160))
def test_killed_writers_at_length(seed: int, tmp_path: Path) -> None:
    crash(tmp_path, seed)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_does_not_share_its_parents_locks(tmp_path: Path) -> None:
    store = FileConversationStore(tmp_path, fsync=False)

    async def write(writer: str, count: int) -> None:
        for index in range(count):
            await store.append(OPS, "c", *said(f"{writer} {index}"))

    async def begin() -> None:
        await store.create(OPS, id="c")
        await write("parent", 1)

    asyncio.run(begin())
    child = os.fork()
    if child == 0:
        try:
            asyncio.run(write("child", 200))
        finally:
            os._exit(0)
    asyncio.run(write("parent", 200))
    assert os.waitpid(child, 0) == (child, 0)

    async def check() -> None:
        found = [text.split() for text in await texts(store)]
        assert [index for who, index in found if who == "child"] == [str(index) for index in range(200)]
        assert len(found) == 401
        await store.aclose()

    asyncio.run(check())
