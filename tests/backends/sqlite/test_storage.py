"""What is this backend's own: cancelled calls, other writers, expiry, walks, disks, closing."""

# ruff: noqa: ASYNC221, ASYNC240  # calls that block the event loop are fine in a test

import asyncio
import gc
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from cancelling import CancelledAt
from paths import ROOT
from races.threads import wait_until
from sqlite_notes import Held, descriptors, threads
from sqlite_raw import execute
from timers import Timer

from greentic_session import (
    ClaimedError,
    ConflictError,
    CorruptSessionError,
    GreenticError,
    NotFoundError,
    ReplyScope,
    SQLiteSessionStore,
    UnavailableError,
)
from greentic_session.admin import Examination
from greentic_session.testing._sessions.samples import ALICE, CHAT, ctx, data

pytestmark = pytest.mark.asyncio

BOB = ctx("bob", tenant="other")
_PAUSE_S = 60.0


async def examine(store: SQLiteSessionStore) -> Examination:
    inspector = store.backend.inspector()
    assert inspector is not None
    return await inspector.examine(lambda _: None)


# -- cancelled calls

Call = Callable[[SQLiteSessionStore], Awaitable[object]]
CALLS: dict[str, Call] = {
    "create": lambda store: store.create_session(ALICE, data(), key="new"),
    "update": lambda store: store.update_session("k", data(snapshot="2")),
    "remove": lambda store: store.remove_session("k"),
    "park": lambda store: store.register_wait(ALICE, "alice", CHAT, "other", data()),
    "clear": lambda store: store.clear_wait(ALICE, "alice", CHAT),
    "find": lambda store: store.find_wait(ALICE, "alice", CHAT),
    "purge": lambda store: store.purge(ALICE),
}


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_cancelled_call_has_happened_or_not(store: SQLiteSessionStore, path: Path, call: Call, late: bool) -> None:  # noqa: FBT001
    for point in range(1, 20):
        await store.purge(ALICE)
        await store.register_wait(ALICE, "alice", CHAT, "k", data())
        before = rows(path)
        await call(store)
        done = rows(path)
        await store.purge(ALICE)
        await store.register_wait(ALICE, "alice", CHAT, "k", data())
        cancelled = CancelledAt(call(store), point, late=late)
        outcome = await asyncio.gather(asyncio.ensure_future(through(cancelled)), return_exceptions=True)
        await store.health()  # behind it
        assert rows(path) in (before, done)
        assert (await examine(store)).findings == []
        if not cancelled.cancelled:
            assert not isinstance(outcome[0], BaseException)
            return
        assert isinstance(outcome[0], asyncio.CancelledError)
    pytest.fail("it has more points than that")


async def through(cancelled: CancelledAt) -> None:
    await cancelled


def rows(path: Path) -> list[tuple[object, ...]]:
    return execute(path, "SELECT key, place, text FROM sessions ORDER BY key")


@pytest.mark.parametrize("late", [False, True])
async def test_a_cancelled_claim_is_given_back(store: SQLiteSessionStore, late: bool) -> None:  # noqa: FBT001
    await store.register_wait(ALICE, "alice", CHAT, "k", data())
    for point in range(1, 20):
        cancelled = CancelledAt(store.claim_wait(ALICE, "alice", CHAT, lease=600), point, late=late)
        await asyncio.gather(asyncio.ensure_future(through(cancelled)), return_exceptions=True)
        await store.health()
        await store.health()  # the one that gives it back may be in the group of the first
        try:
            claim = await store.claim_wait(ALICE, "alice", CHAT)
        except ClaimedError:
            assert not cancelled.cancelled, "nobody holds it, and nobody can claim it"
            return
        assert cancelled.cancelled
        assert claim is not None
        await claim.release()
    pytest.fail("it has more points than that")


# -- another writer in the file


async def test_a_text_that_is_no_session(store: SQLiteSessionStore, path: Path) -> None:
    await store.register_wait(ALICE, "alice", CHAT, "k", data())
    await store.create_session(ALICE, data(), key="fine")
    execute(path, "UPDATE sessions SET text = x'7b7d' WHERE key = 'k'")
    attempts: list[Call] = [
        lambda store: store.get_session("k"),
        lambda store: store.find_wait(ALICE, "alice", CHAT),
        lambda store: store.update_session("k", data()),
        lambda store: store.claim_wait(ALICE, "alice", CHAT),
    ]
    for attempt in attempts:
        with pytest.raises(CorruptSessionError):
            await attempt(store)
    assert execute(path, "SELECT DISTINCT token FROM sessions") == [("-" * 32,)], "nothing is held"
    assert [wait.key async for wait in store.iter_sessions(ALICE)] == ["fine"]
    assert await store.list_waits_for_user(ALICE, "alice") == ["k"]
    assert await store.find_wait_by_scope(ALICE, "alice", CHAT) == "k"
    assert [finding.name for finding in (await examine(store)).findings] == ["unreadable"]
    assert await store.touch("k", 60, ctx=ALICE)
    assert not await store.touch("k", 60, ctx=BOB)
    assert await store.register_wait(ALICE, "alice", CHAT, "displacing", data()) == "k"
    await store.remove_session("k", ctx=ALICE)
    assert (await examine(store)).findings == []


async def test_a_text_of_somebody_else(store: SQLiteSessionStore, path: Path) -> None:
    await store.register_wait(ALICE, "alice", CHAT, "k", data())
    execute(path, "UPDATE sessions SET text = ? WHERE key = 'k'", data(BOB).to_json())
    assert await store.find_wait(ALICE, "alice", CHAT) is None
    assert await store.claim_wait(ALICE, "alice", CHAT) is None
    assert await store.get_session("k", ctx=ALICE) is None
    assert [wait.key async for wait in store.iter_sessions(ALICE)] == []
    assert [finding.name for finding in (await examine(store)).findings] == ["owner"]
    await store.clear_wait(ALICE, "alice", CHAT)
    with pytest.raises(NotFoundError):
        await store.remove_session("k")


@pytest.mark.parametrize("scope", ["x'7b7d'", "'text'", "NULL", """'{"conversation":"elsewhere"}'"""])
async def test_a_scope_that_was_overwritten(store: SQLiteSessionStore, path: Path, scope: str) -> None:
    await store.register_wait(ALICE, "alice", CHAT, "k", data())
    execute(path, f"UPDATE sessions SET scope = {scope} WHERE key = 'k'")
    found = await store.find_wait(ALICE, "alice", CHAT)
    assert found is not None
    assert found.scope == CHAT
    assert len([wait async for wait in store.iter_sessions(ALICE)]) == 1
    assert [finding.name for finding in (await examine(store)).findings] == ["unreachable"]
    assert await store.register_wait(ALICE, "alice", CHAT, "k", data()) is None
    assert (await examine(store)).findings == []


async def test_a_program_that_holds_the_lock(path: Path) -> None:
    async with SQLiteSessionStore.open(path, timeout=0.02) as store:
        await store.register_wait(ALICE, "alice", CHAT, "k", data())
        with Held(path):
            attempts: list[Call] = [
                lambda store: store.claim_wait(ALICE, "alice", CHAT),
                lambda store: store.health(),
                lambda store: store.remove_session("k"),
            ]
            for attempt in attempts:
                with pytest.raises(UnavailableError, match="held the database's lock"):
                    await attempt(store)
            assert await store.find_wait(ALICE, "alice", CHAT) is not None
        assert await store.claim_wait(ALICE, "alice", CHAT) is not None


# -- expiry


async def test_expired_rows_go_by_themselves_and_their_space_is_used_again(
    path: Path, timer: Timer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greentic_session._sqlite.worker._FIRST_UPKEEP_S", 0.0)
    monkeypatch.setattr("greentic_session.backends.sqlite.backend._SHORTEST_SLEEP_S", 0.001)
    monkeypatch.setattr("greentic_session.backends.sqlite.backend._LONGEST_SLEEP_S", 0.001)
    monkeypatch.setattr("greentic_session.backends.sqlite.backend._FREEING_PAUSE_S", 0.001)
    sizes = []
    async with SQLiteSessionStore.open(path, timer=timer, durability="process") as store:
        await store.create_session(ALICE, data(), key="stays")
        for round_ in range(5):
            async with anyio.create_task_group() as tasks:
                for number in range(300):
                    key = f"{round_}-{number}"
                    tasks.start_soon(
                        store.register_wait, ALICE, "alice", ReplyScope(key), key, data(snapshot="x" * 3000), 60
                    )
            timer.advance(61)
            assert await store.list_waits_for_user(ALICE, "alice") == []
            await anyio.to_thread.run_sync(wait_until, lambda: execute(path, "SELECT count(*) FROM sessions") == [(1,)])
            sizes.append(execute(path, "PRAGMA page_count")[0][0])
    assert len(set(sizes[1:])) == 1, sizes
    assert path.stat().st_size < 3 * 300 * 4096


async def test_what_expired_gives_its_place_key_and_pointer_back(
    store: SQLiteSessionStore, path: Path, timer: Timer
) -> None:
    await store.register_wait(ALICE, "alice", CHAT, "k", data(), ttl=60)
    await store.create_session(ALICE, data(), key="latest", ttl=60)
    timer.advance(60)
    assert await store.register_wait(ALICE, "alice", CHAT, "other", data(), on_conflict="fail") is None
    await store.create_session(ALICE, data(), key="latest")
    assert await store.register_wait(BOB, "bob", CHAT, "k", data(BOB)) is None, "its key is free, even for somebody else"
    assert execute(path, "SELECT count(*) FROM sessions") == [(3,)]
    assert (await examine(store)).findings == []


# -- many


async def test_a_user_with_more_waits_than_a_step_lists(store: SQLiteSessionStore) -> None:
    async with anyio.create_task_group() as tasks:
        for number in range(1100):
            tasks.start_soon(store.register_wait, ALICE, "alice", ReplyScope(f"c{number}"), f"k{number}", data())
    assert await store.list_waits_for_user(ALICE, "alice") == sorted(f"k{number}" for number in range(1100))
    assert len(threads()) == 3, "it has a thread that is not the one of short reads"


@pytest.mark.parametrize("number", [1400, pytest.param(8000, marks=pytest.mark.slow)])
async def test_a_walk_that_pauses_holds_nothing(path: Path, number: int) -> None:
    async with SQLiteSessionStore.open(path, durability="process") as store:
        for key in range(600):
            await store.create_session(ALICE, data(), key=f"k{key}")
        walk = store.iter_sessions(ALICE)
        seen = {(await anext(walk)).key}
        longest = 0
        for round_ in range(number):  # more than the log holds, which begins anew
            await store.update_session("k0", data(snapshot="x" * 8000 + str(round_)))
            longest = max(longest, Path(f"{path}-wal").stat().st_size)
        assert longest < 10 * 1024 * 1024
        seen |= {wait.key async for wait in walk}
        assert seen == {f"k{key}" for key in range(600)}


@pytest.mark.slow
async def test_writers_go_on_for_a_minute_while_walks_pause(path: Path) -> None:
    """Walks hold no state of the file between their steps: the log begins anew all the time."""
    writers = 4
    async with SQLiteSessionStore.open(path) as store, SQLiteSessionStore.open(path) as other:
        for key in range(600):
            await store.create_session(ALICE, data(), key=f"k{key}")
        walks = [store.iter_sessions(ALICE), other.iter_sessions(ALICE)]
        seen = [{(await anext(walk)).key} for walk in walks]
        end = time.monotonic() + _PAUSE_S
        written, longest = [0] * writers, 0

        async def write(number: int) -> None:
            nonlocal longest
            mine = (store, other)[number % 2]
            while time.monotonic() < end:
                await mine.update_session(f"k{number}", data(snapshot="x" * 8000 + str(written[number])))
                written[number] += 1
                longest = max(longest, Path(f"{path}-wal").stat().st_size)

        async with anyio.create_task_group() as tasks:
            for number in range(writers):
                tasks.start_soon(write, number)
        assert longest < 20 * 1024 * 1024
        assert min(written) > 0
        assert sum(written) * 8000 > 2 * longest, "the log did not have to begin anew"
        for walk, keys in zip(walks, seen, strict=True):
            keys |= {wait.key async for wait in walk}
            assert keys == {f"k{key}" for key in range(600)}
        for number in range(writers):
            found = await store.get_session(f"k{number}")
            assert found is not None
            assert found.context_json == "x" * 8000 + str(written[number] - 1)


async def test_long_texts_do_not_come_in_one_step(store: SQLiteSessionStore) -> None:
    for number in range(8):
        await store.create_session(ALICE, data(snapshot="x" * 700_000), key=f"k{number}")
    walk: Any = store.backend.iterate(ALICE)
    first = await anext(walk)
    assert len(walk._found) < 3
    assert {first.key, *[wait.key async for wait in walk]} == {f"k{number}" for number in range(8)}


# -- the disk


FULL = """
import resource, signal, sys, anyio
from typing import Any
from greentic_session import ReplyScope, SQLiteSessionStore, UnavailableError
from greentic_session.testing._sessions.samples import ALICE, data

async def main():
    async with SQLiteSessionStore.open(sys.argv[1]) as store:
        await store.health()
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
        kept, refused = set(), 0
        for number in range(300):
            try:
                await store.register_wait(ALICE, "alice", ReplyScope(f"c{number}"), f"k{number}", data(snapshot="x" * 8000))
                kept.add(f"k{number}")
            except UnavailableError:
                refused += 1
        assert refused, "it was never full"
        assert set(await store.list_waits_for_user(ALICE, "alice")) == kept
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        await store.register_wait(ALICE, "alice", ReplyScope("back"), "back", data(snapshot="x" * 8000))
        assert set(await store.list_waits_for_user(ALICE, "alice")) == kept | {"back"}
        assert (await store.backend.inspector().examine(lambda _: None)).findings == []

anyio.run(main)
"""


async def test_a_full_disk_and_back(path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = await anyio.run_process([sys.executable, "-c", FULL, str(path)], env=environment, check=False)
    assert (process.returncode, process.stderr) == (0, b"")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may mount")
async def test_a_full_file_system_and_back(tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], check=False, capture_output=True
    ).returncode:
        pytest.skip("mounting is not permitted here; RLIMIT_FSIZE does it in the test before")
    try:
        async with SQLiteSessionStore.open(place / "bot.db") as store:
            await store.health()
            ballast = place / "ballast"
            kept = set()
            ballast.write_bytes(b"x" * 1_000_000)
            for number in range(200):
                try:
                    await store.register_wait(
                        ALICE, "alice", ReplyScope(f"c{number}"), f"k{number}", data(snapshot="x" * 8000)
                    )
                    kept.add(f"k{number}")
                except UnavailableError as error:
                    assert "full" in str(error) or "disk" in str(error)  # noqa: PT017
            assert len(kept) < 200
            ballast.unlink()
            await store.register_wait(ALICE, "alice", ReplyScope("back"), "back", data(snapshot="x" * 8000))
            assert set(await store.list_waits_for_user(ALICE, "alice")) == kept | {"back"}
            assert (await examine(store)).findings == []
    finally:
        subprocess.run(["umount", place], check=True)


# -- the lifecycle


async def use(store: SQLiteSessionStore) -> None:
    await store.register_wait(ALICE, "alice", CHAT, "k", data())
    async with await store.claim_wait(ALICE, "alice", CHAT) or pytest.fail("nothing waits") as claim:
        await claim.park(CHAT, data())
    assert [wait.key async for wait in store.iter_sessions(ALICE)] == ["k"]
    await examine(store)


async def test_a_store_that_is_closed_leaves_nothing(path: Path) -> None:
    store = SQLiteSessionStore.open(path)
    await use(store)
    walk = store.iter_sessions(ALICE)
    await store.aclose()
    await store.aclose()
    assert (threads(), descriptors(path.parent)) == ([], [])
    attempts: list[Call] = [*CALLS.values(), lambda _: anext(walk), lambda store: store.health()]
    for attempt in attempts:
        with pytest.raises(UnavailableError, match="the store is closed"):
            await attempt(store)


async def test_a_store_that_nobody_closes_leaves_nothing(path: Path) -> None:
    store = SQLiteSessionStore.open(path)
    await use(store)
    del store
    gc.collect()
    await anyio.to_thread.run_sync(wait_until, lambda: not threads())
    assert descriptors(path.parent) == []


async def test_errors_say_where_and_hold_no_session(path: Path) -> None:
    async with SQLiteSessionStore.open(path) as store:
        await store.register_wait(ALICE, "alice", CHAT, "secret-key", data(snapshot='"secret-text"'))
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    async with SQLiteSessionStore.open(path) as store:
        for attempt in (store.get_session("secret-key"), store.remove_session("secret-key")):
            with pytest.raises(GreenticError, match=str(path)) as caught:
                await attempt
            assert "secret" not in str(caught.value)
        assert [finding.name for finding in (await examine(store)).findings] == ["damaged"]


async def test_two_stores_of_a_process_share_a_file(path: Path) -> None:
    async with SQLiteSessionStore.open(path) as one, SQLiteSessionStore.open(path) as other:
        await one.register_wait(ALICE, "alice", CHAT, "k", data())
        claim = await other.claim_wait(ALICE, "alice", CHAT)
        assert claim is not None
        with pytest.raises(ClaimedError):
            await one.claim_wait(ALICE, "alice", CHAT)
        await claim.complete()
        assert await one.find_wait(ALICE, "alice", CHAT) is None
        with pytest.raises(ConflictError):
            await claim.release()
