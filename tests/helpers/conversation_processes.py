"""Checks of a conversation store that several processes use, some of which are killed."""

import asyncio
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeAlias

import anyio
from paths import ROOT

from greentic_session.conversation import ConversationStore
from greentic_session.testing._conversations.samples import OPS, said, texts

__all__ = ["MakeStore", "check_forked_writers", "check_killed_writers", "check_two_writers", "create", "worker"]

MakeStore: TypeAlias = Callable[[], ConversationStore[Any]]
"""Opens the store of the URL that the processes have."""

WORKERS = ROOT / "tests/helpers/conversation_workers.py"


@contextmanager
def worker(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run a process of `conversation_workers`, which is killed at the end of the block."""
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


def create(make: MakeStore) -> None:
    """Create the conversation that the processes write to."""

    async def run() -> None:
        async with make() as store:
            await store.create(OPS, id="c")

    anyio.run(run)


def check_two_writers(url: str, make: MakeStore, count: int) -> None:
    """Let two processes append so many messages each; none may be lost or out of order."""
    create(make)
    with ExitStack() as stack:
        writers = [stack.enter_context(worker("append", url, writer, count)) for writer in "AB"]
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
        async with make() as store:
            found = [text.split() for text in await texts(store)]
            assert len(found) == 2 * count
            for writer in "AB":
                assert [int(index) for who, index in found if who == writer] == list(range(count))
            assert [summary.message_count for summary in await store.list(OPS)] == [2 * count]

    anyio.run(check)


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


def check_killed_writers(url: str, make: MakeStore, seed: int, names: str) -> None:
    """Kill writers at random points; what they had been told is done must be there."""
    choose = random.Random(seed)
    create(make)
    with ExitStack() as stack:
        processes = [stack.enter_context(worker("everything", url, name, choose.randrange(10**9))) for name in names]
        readers = [Reader(process) for process in processes]
        for reader in readers:
            assert reader.started.wait(30)
        for process in processes:
            time.sleep(choose.random() * 0.1)
            process.kill()
        for reader in readers:
            reader.join()

    async def check() -> None:
        async with make() as store:
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


def check_forked_writers(store: ConversationStore[Any]) -> None:
    """Let a process and a child that it forks append with one store, and close it."""

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
