"""The conversation store in files: cancelled calls, and the threads that do them."""

import asyncio
import functools
import gc
import os
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from cancelling import CancelledAt
from conversation_files import make
from shared_connection import until

from greentic_session._concurrency.workers import Steps, WorkerPool
from greentic_session.conversation import FileConversationStore
from greentic_session.errors import ConflictError
from greentic_session.testing._conversations.samples import OPS, said, texts

OPERATIONS: dict[str, Callable[[Any], Awaitable[object]]] = {
    "append": lambda store: store.append(OPS, "c", *said("x", "y")),
    "update": lambda store: store.update_state(OPS, "c", add_events=1),
    "create": lambda store: store.create(OPS, id="new"),
    "load": lambda store: store.load(OPS, "c"),
    "delete": lambda store: store.delete(OPS, "c"),
    "list": lambda store: store.list(OPS),
    "purge": lambda store: store.purge(OPS),
}


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.asyncio
async def test_a_cancelled_call_has_happened_or_not(operation: str, busy: bool, late: bool, tmp_path: Path) -> None:  # noqa: FBT001
    async with make(tmp_path) as store, make(tmp_path, lock_timeout=1) as other:
        for point in range(1, 4):
            await store.purge(OPS)
            await store.create(OPS, id="c")
            await store.append(OPS, "c", *said("a"))
            before = await store.load(OPS, "c")
            attempt = CancelledAt(OPERATIONS[operation](store), point, late=late)

            async def run(attempt: CancelledAt = attempt) -> None:
                await attempt

            others = [store.append(OPS, f"c{index}") for index in range(20)] if busy else []
            results = await asyncio.gather(*others, run(), return_exceptions=True)
            if attempt.cancelled:
                assert isinstance(results[-1], asyncio.CancelledError)
            # No lock is left, and what was done is done: another store, which waits for nobody,
            # sees it at once.
            summaries = {summary.id: summary for summary in await other.list(OPS)}
            if "c" in summaries:
                found = await other.load(OPS, "c")
                assert [message.text for message in found.messages] in (["a"], ["a", "x", "y"])
                assert found.state.event_count in (0, 1)
                if found.updated_at == before.updated_at:
                    assert found == before
                await other.append(OPS, "c", *said("z"))
                assert (await texts(store))[-1] == "z"
            else:
                assert operation in {"delete", "purge"}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_cancelled_again_and_again(backend: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with make(tmp_path) as store:
            await store.create(OPS, id="c")
            done = [0]

            async def write(delay: float) -> None:
                with anyio.move_on_after(delay):
                    while True:
                        await store.append(OPS, "c", *said("x"))
                        done[0] += 1

            async with anyio.create_task_group() as tasks:
                for index in range(40):
                    tasks.start_soon(write, index * 0.002)
            count = len(await texts(store))
            assert done[0] <= count <= done[0] + 40
            assert await store.append(OPS, "c") == count

    anyio.run(run, backend=backend)


# -- the pool


def plain(work: Callable[[], Any]) -> Callable[[], Steps[Any]]:
    def steps() -> Steps[Any]:
        yield from ()
        return work()

    return steps


@pytest.mark.asyncio
async def test_calls_with_the_same_key_come_one_by_one_in_order() -> None:
    pool = WorkerPool(3, 4)
    running: set[str] = set()
    seen: list[tuple[str, int]] = []

    def work(key: str, index: int) -> None:
        assert key not in running
        running.add(key)
        time.sleep(0.0005)
        seen.append((key, index))
        running.discard(key)

    async def call(key: str, index: int) -> None:
        await pool.run(key, plain(lambda: work(key, index)))

    async with anyio.create_task_group() as tasks:
        for index in range(20):
            for key in "abcde":
                tasks.start_soon(call, key, index)
    for key in "abcde":
        assert [index for other, index in seen if other == key] == list(range(20))
    assert (pool._jobs, list(pool._ready), pool._leaders) == ({}, [], 0)


@pytest.mark.asyncio
async def test_errors_are_the_callers_own() -> None:
    pool = WorkerPool(1, 10)

    async def call(index: int) -> int:
        def work() -> int:
            if index % 2:
                raise ConflictError(str(index))
            return index

        return await pool.run(index % 7, plain(work))

    found = await asyncio.gather(*(call(index) for index in range(50)), return_exceptions=True)
    assert [str(one) for one in found] == [str(index) for index in range(50)]
    assert [type(one) for one in found[:2]] == [int, ConflictError]


@pytest.mark.asyncio
async def test_who_is_cancelled_while_waiting_leaves_no_trace() -> None:
    """Cancelled behind others of its key, first of its key, or just made the leader."""
    for cancelled in range(8):
        pool = WorkerPool(1, 1)
        gate, begun = threading.Event(), threading.Event()
        done: list[int] = []

        async def call(
            index: int,
            pool: WorkerPool = pool,
            gate: threading.Event = gate,
            begun: threading.Event = begun,
            done: list[int] = done,
        ) -> None:
            def work() -> None:
                begun.set()
                gate.wait(60)
                done.append(index)

            await pool.run("abca"[index % 4], plain(work))

        tasks = [asyncio.create_task(call(index)) for index in range(8)]
        await until(begun.is_set, "it does not begin")
        tasks[cancelled].cancel()
        await asyncio.sleep(0.001)
        gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(result, asyncio.CancelledError) for result in results] == [
            index == cancelled for index in range(8)
        ]
        # The first was being done; it came to its end.
        assert sorted(done) == [index for index in range(8) if index != cancelled or index == 0]
        assert (pool._jobs, list(pool._ready), pool._leaders) == ({}, [], 0)


@pytest.mark.asyncio
async def test_who_is_cancelled_when_told_to_lead_passes_it_on() -> None:
    for after in range(4):
        pool = WorkerPool(1, 1)
        done: list[int] = []
        tasks: list[asyncio.Task[None]] = []

        async def call(
            index: int,
            pool: WorkerPool = pool,
            done: list[int] = done,
            tasks: list[asyncio.Task[None]] = tasks,
            after: int = after,
        ) -> None:
            try:
                await pool.run(index % 3, plain(lambda: done.append(index)))
            finally:
                if index == after:  # the next has just been told, and has not heard it yet
                    for task in tasks[after + 1 : after + 3]:
                        task.cancel()

        tasks += [asyncio.create_task(call(index)) for index in range(8)]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        gone = [index for index, result in enumerate(results) if isinstance(result, asyncio.CancelledError)]
        assert gone
        assert set(range(8)) - set(gone) <= set(done)
        assert (pool._jobs, list(pool._ready), pool._leaders) == ({}, [], 0)


@pytest.mark.asyncio
async def test_who_is_cancelled_while_another_does_its_call_hears_of_it_afterwards() -> None:
    pool = WorkerPool(1, 10)
    first, second = threading.Event(), threading.Event()
    done: list[int] = []
    begun: list[int] = []

    async def call(index: int) -> None:
        def work() -> None:
            begun.append(index)
            (second if index else first).wait(60)
            done.append(index)

        await pool.run(index, plain(work))

    tasks = [asyncio.create_task(call(index)) for index in range(6)]
    await until(lambda: begun == [0], "it does not begin")
    first.set()
    await until(lambda: len(begun) == 2, "it does not go on")  # those who waited are done together
    tasks[3].cancel()
    await asyncio.sleep(0.01)
    assert not tasks[3].done()
    second.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(result, asyncio.CancelledError) for result in results] == [index == 3 for index in range(6)]
    assert done == list(range(6))


@pytest.mark.asyncio
async def test_a_closed_store_leaves_no_threads(tmp_path: Path) -> None:
    def helpers() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name.startswith("greentic-session-fsync")]

    async def use(number: int) -> None:
        async with FileConversationStore(tmp_path / str(number)) as store:
            for index in range(40):
                await store.create(OPS, id=str(index))
            async with anyio.create_task_group() as tasks:
                for index in range(40):
                    tasks.start_soon(store.append, OPS, str(index), *said("x"))
            assert helpers()
            if number:  # closed under the hands of a thread
                for pool in store._backend._pools:  # type: ignore[attr-defined]  # the file backend's
                    pool.close()
                async with anyio.create_task_group() as tasks:
                    for index in range(40):
                        tasks.start_soon(store.append, OPS, str(index), *said("y"))
                assert await texts(store, id="7") == ["x", "y"]

    for number in range(2):
        await use(number)
        for _ in range(100):
            if not helpers():
                break
            await asyncio.sleep(0.01)
        assert helpers() == []


@pytest.mark.asyncio
async def test_where_no_thread_is_to_be_had_each_file_is_synced_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pool keeps work that found no thread, and would sync files that are closed by then."""
    start, sync = threading.Thread.start, os.fsync
    started: list[threading.Thread] = []
    synced: list[int] = []

    def start_one(thread: threading.Thread) -> None:
        if thread.name.startswith("greentic-session-fsync"):
            started.append(thread)
            if len(started) > 1:
                raise RuntimeError("can't start new thread")
        start(thread)

    def fsync(file: int) -> None:
        synced.append(file)
        time.sleep(0.001)  # a disk
        sync(file)

    def steps(number: int) -> Steps[int]:
        for name in ("a", "b"):
            with (tmp_path / f"{number}{name}").open("wb") as file:
                yield file.fileno()
        return number

    monkeypatch.setattr(threading.Thread, "start", start_one)
    monkeypatch.setattr(os, "fsync", fsync)
    pool = WorkerPool(1, 128)
    assert await asyncio.gather(*(pool.run(n, functools.partial(steps, n)) for n in range(60))) == list(range(60))
    pool.close()
    await asyncio.to_thread(started[0].join, 10)
    assert len(started) > 1
    assert len(synced) == 120


@pytest.mark.asyncio
async def test_a_result_is_not_kept() -> None:
    pool = WorkerPool(1, 4)

    class Big:
        pass

    async def fail() -> None:
        big = Big()

        def work() -> None:
            raise ConflictError("no", conversation_id=str(big))

        with pytest.raises(ConflictError):
            await pool.run("a", plain(work))

    await fail()
    gc.collect()
    assert not [one for one in gc.get_objects() if type(one) is Big]
