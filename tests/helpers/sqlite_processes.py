"""Several processes at work on one database, started by a program that has nothing of it open.

Run as a program, because a test's process has threads, and must not fork. Each command ends with 0
if all is as it should be.
"""

import json
import os
import random
import signal
import sqlite3
import sys
import time
import traceback
from collections.abc import Awaitable, Callable

import anyio

from greentic_session import Claim, ClaimedError, ConflictError, ReplyScope, SQLiteSessionStore, Start
from greentic_session.testing._sessions.samples import ALICE, ctx, data

__all__: list[str] = []  # run as a program

PROCESSES = 4
ANSWERER = "answerer"
TASKS = 8


def fork(work: Callable[[], Awaitable[None]]) -> int:
    """Run a coroutine in a child; return its process id."""
    child = os.fork()
    if child:
        return child
    try:
        anyio.run(work)
    except BaseException:  # noqa: BLE001  # told by the exit status
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def all_well(children: list[int]) -> bool:
    """Wait for children; say whether all ended with 0."""
    ended = [os.waitpid(child, 0)[1] for child in children]
    return set(ended) == {0}


def is_whole(path: str) -> bool:
    """Say whether SQLite finds the file undamaged."""
    with sqlite3.connect(path, timeout=30) as raw:
        answer = raw.execute("PRAGMA integrity_check").fetchall()
    raw.close()
    return answer == [("ok",)]


# -- killed under load


class Load:
    """One of the processes: it counts up in the snapshots of sessions of its own.

    Args:
        path: The database.
        number: Which process.
        begin: Where to begin counting.
        acknowledged: The pipe that is told of what was acknowledged: "key count".

    One task more delivers answers, and settles them now and then. It tells of each that was
    accepted ("accepted-number count"), then up to which it will settle them ("begun-..."), and that
    it has ("settled-...").
    """

    def __init__(self, path: str, number: int, begin: int, acknowledged: int) -> None:
        self._path, self._number, self._begin, self._acknowledged = path, number, begin, acknowledged

    async def run(self) -> None:
        async with SQLiteSessionStore.open(self._path, timeout=60) as store, anyio.create_task_group() as tasks:
            for task in range(TASKS):
                tasks.start_soon(self._count, store, task)
            tasks.start_soon(self._answer, store)

    async def _count(self, store: SQLiteSessionStore, task: int) -> None:
        count, user = self._begin, f"user-{self._number}"
        owner, key, scope = ctx(user), f"{self._number}-{task}", ReplyScope(f"chat-{task}")
        while True:
            count += 1
            snapshot = data(owner, snapshot=json.dumps({"count": count, "more": "x" * random.randrange(6000)}))
            claim = None
            if count % 3 == 0:
                try:
                    claim = await store.claim_wait(owner, user, scope, lease=0.05)
                except ClaimedError:
                    pass
            try:
                if claim is None:
                    await store.register_wait(owner, user, scope, key, snapshot, ttl=3600)
                else:
                    await claim.park(scope, snapshot, ttl=3600)
            except ConflictError:
                continue  # its lease was over
            os.write(self._acknowledged, f"{key} {count}\n".encode())

    async def _answer(self, store: SQLiteSessionStore) -> None:
        count, owner = self._begin, ctx(ANSWERER)
        scope, start = ReplyScope(f"answers-{self._number}"), Start(data(owner), key=f"answered-{self._number}")
        while True:
            count += 1
            body = f"{count} {'x' * random.randrange(3000)}"
            delivery = await store.deliver(
                owner, ANSWERER, scope, body, delivery_id=str(count), start=start, claim=count % 5 == 0, lease=0.05
            )
            self._tell(f"accepted-{self._number} {count}")
            if delivery.claim is None:
                continue  # or one that was killed has left its claim: its lease is short
            try:
                taken = (*delivery.claim.replies, *await delivery.claim.take())
                last = int(taken[-1].body.split()[0])
                self._tell(f"begun-{self._number} {last}")
                await delivery.claim.stay()
                self._tell(f"settled-{self._number} {last}")
            except ConflictError:
                pass  # as above

    def _tell(self, line: str) -> None:
        os.write(self._acknowledged, f"{line}\n".encode())


class Herd:
    """The processes, and what they say was acknowledged.

    Attributes:
        counted: The last acknowledged count of each session.
        accepted: Of each process, the counts of the answers that were accepted.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._running: dict[int, tuple[int, int]] = {}
        self._rest: dict[int, bytes] = {}
        self.counted: dict[str, int] = {}
        self.accepted: dict[str, set[int]] = {}

    def of(self, number: int) -> dict[str, int]:
        """Return what one process counted."""
        return {key: count for key, count in self.counted.items() if key.startswith(f"{number}-")}

    def start(self, number: int) -> None:
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        told = (*self.of(number).values(), *self.accepted.get(str(number), ()))
        load = Load(self._path, number, max(told, default=0) + 1000, writing)
        self._running[number] = (fork(load.run), reading)
        self._rest[number] = b""
        os.close(writing)

    def listen(self) -> None:
        """Take note of what was acknowledged until now."""
        for number, (_, reading) in self._running.items():
            while True:
                try:
                    said = os.read(reading, 65_536)
                except BlockingIOError:
                    break
                if not said:
                    break
                *lines, self._rest[number] = (self._rest[number] + said).split(b"\n")
                for key, count in (line.decode().split() for line in lines):
                    if key.startswith("accepted-"):
                        self.accepted.setdefault(key.removeprefix("accepted-"), set()).add(int(count))
                    self.counted[key] = int(count)

    def end_all(self) -> None:
        for number in list(self._running):
            self.end(number)

    def end(self, number: int) -> None:
        child, reading = self._running[number]
        os.kill(child, signal.SIGKILL)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL, "it had ended by itself"
        self.listen()
        os.close(reading)
        del self._running[number]


def kill(path: str, rounds: int) -> None:
    """Kill processes at random moments; nothing that was acknowledged is lost."""
    herd = Herd(path)
    try:
        kill_some(path, herd, rounds)
    finally:
        herd.end_all()


def kill_some(path: str, herd: Herd, rounds: int) -> None:
    """Do so, and leave what still runs to the caller."""
    for number in range(PROCESSES):
        herd.start(number)
    for _ in range(rounds):
        time.sleep(random.uniform(0.0, 0.08))
        number = random.randrange(PROCESSES)
        herd.end(number)
        assert is_whole(path)
        assert_kept(path, herd.of(number))
        assert_answered(path, herd, number)
        herd.start(number)
    while not all(herd.of(number) and herd.counted.get(f"settled-{number}") for number in range(PROCESSES)):
        time.sleep(0.01)
        herd.listen()
    for number in range(PROCESSES):
        herd.end(number)
    assert is_whole(path)
    for number in range(PROCESSES):
        assert_kept(path, herd.of(number))
        assert_answered(path, herd, number)
    assert anyio.run(findings_in, path) == []


async def findings_in(path: str) -> list[str]:
    """Return what an examination of the file finds."""
    async with SQLiteSessionStore.open(path, timeout=60) as store:
        inspector = store.backend.inspector()
        assert inspector is not None
        return [finding.name for finding in (await inspector.examine(lambda _: None)).findings]


def assert_answered(path: str, herd: Herd, number: int) -> None:
    """Check that each answer that was accepted is there, in order, or was settled."""
    accepted = herd.accepted.get(str(number))
    if not accepted:
        return  # perhaps there are no tables yet
    with sqlite3.connect(path, timeout=30) as raw:
        rows = raw.execute(
            "SELECT body FROM replies WHERE CAST(at AS TEXT) LIKE ? ORDER BY serial", (f'%"answers-{number}"%',)
        ).fetchall()
    raw.close()
    lying = [int(body.split()[0]) for (body,) in rows]
    assert lying == sorted(set(lying))
    begun, settled = herd.counted.get(f"begun-{number}", 0), herd.counted.get(f"settled-{number}", 0)
    lost = {count for count in accepted if count > begun} - set(lying)
    assert not lost, f"{sorted(lost)} were accepted, and are gone"
    again = [count for count in lying if count <= settled]
    assert not again, f"{again} were settled, and are there"


def assert_kept(path: str, counted: dict[str, int]) -> None:
    """Check that no session is older than what was acknowledged of it."""
    with sqlite3.connect(path, timeout=30) as raw:
        for key, count in counted.items():
            (text,) = raw.execute("SELECT text FROM sessions WHERE key = ?", (key,)).fetchone()
            stored = json.loads(json.loads(text)["context_json"])["count"]
            assert stored >= count, f"{key}: {count} was acknowledged, and {stored} is stored"
    raw.close()


# -- a fresh file


def open_at_once(path: str, rounds: int) -> None:
    """Let eight processes open a file at the same moment that is not there yet."""
    for round_ in range(rounds):
        file, (reading, writing) = f"{path}.{round_}", os.pipe()

        async def one(number: int, file: str = file, reading: int = reading, writing: int = writing) -> None:
            store = SQLiteSessionStore.open(file, timeout=60)
            os.close(writing)
            os.read(reading, 1)  # until all are there, and the writing end is closed everywhere
            async with store:
                await store.create_session(ALICE, data(), key=f"k{number}")
                assert await store.get_session(f"k{number}") == data()

        children = [fork(lambda number=number: one(number)) for number in range(8)]  # type: ignore[misc]  # mypy infers no default
        os.close(writing)
        os.close(reading)
        assert all_well(children)
        with sqlite3.connect(file) as raw:
            assert raw.execute("SELECT count(*) FROM sessions").fetchone() == (8,)
        raw.close()


# -- races


def race(path: str, rounds: int) -> None:  # noqa: PLR0915  # one story
    """Let processes run for the same claims, keys, places and versions: one wins each."""
    won = f"{path}.won"

    async def one(number: int) -> None:
        chance = random.Random(number)
        wins: list[str] = []
        async with SQLiteSessionStore.open(path, timeout=60) as store:
            for turn in chance.sample(range(rounds), rounds):
                scope = ReplyScope(f"chat-{turn}")
                try:
                    await store.create_session(ALICE, data(), key=f"created-{turn}")
                    wins.append(f"created-{turn}")
                except ConflictError:
                    pass
                try:
                    await store.register_wait(ALICE, "alice", scope, f"{number}-{turn}", data(), on_conflict="fail")
                    wins.append(f"parked-{turn}")
                except ConflictError:
                    pass
                try:
                    claim = await store.claim_wait(ALICE, "alice", scope, lease=600)
                    assert claim is not None
                    wins.append(f"claimed-{turn}")
                except ClaimedError:
                    pass
                while True:
                    found = await store.get_versioned("counter")
                    assert found is not None
                    count = data(snapshot=str(int(found.data.context_json) + 1))
                    try:
                        await store.update_session("counter", count, if_version=found.version)
                        break
                    except ConflictError:
                        pass
        with open(won, "a", encoding="ascii") as lines:  # noqa: ASYNC230, PTH123  # short
            lines.write("".join(f"{win}\n" for win in wins))

    async def begin() -> None:
        async with SQLiteSessionStore.open(path) as store:
            await store.create_session(ALICE, data(snapshot="0"), key="counter")

    async def check() -> None:
        async with SQLiteSessionStore.open(path) as store:
            found = await store.get_session("counter")
            assert found is not None
            assert int(found.context_json) == PROCESSES * rounds
            assert len(await store.list_waits_for_user(ALICE, "alice")) == rounds

    anyio.run(begin)
    children = [fork(lambda number=number: one(number)) for number in range(PROCESSES)]  # type: ignore[misc]  # as above
    assert all_well(children)
    with open(won, encoding="ascii") as lines:  # noqa: PTH123  # as above
        wins = lines.read().split()
    assert sorted(wins) == sorted(f"{what}-{turn}" for what in ("created", "parked", "claimed") for turn in range(rounds))
    anyio.run(check)
    assert is_whole(path)


def answer(path: str, rounds: int) -> None:
    """Let processes deliver the same answers, and run for what is ready: each is settled once."""
    settled = f"{path}.settled"

    async def one(number: int) -> None:
        chance = random.Random(number)
        lines: list[str] = []

        async def settle(claim: Claim) -> None:
            taken = (*claim.replies, *(await claim.take() if chance.random() < 0.5 else ()))
            if chance.random() < 0.2:
                await claim.release()
            else:
                await claim.stay()
                lines.extend(reply.body for reply in taken)

        async with SQLiteSessionStore.open(path, timeout=60) as store:
            for turn in chance.sample(range(rounds), rounds):
                user, scope = f"user-{turn % 5}", ReplyScope(f"chat-{turn % 7}")
                owner = ctx(user, tenant=f"tenant-{turn % 3}")
                delivery = await store.deliver(
                    owner, user, scope, str(turn), delivery_id=f"d-{turn}", start=Start(data(owner)), claim=turn % 2 == 0
                )
                assert delivery.accepted
                if delivery.claim is not None:
                    await settle(delivery.claim)
                for claim in await store.claim_ready(limit=2, lease=600):
                    await settle(claim)
        with open(settled, "a", encoding="ascii") as file:  # noqa: ASYNC230, PTH123  # short
            file.write("".join(f"{line}\n" for line in lines))

    async def rest() -> list[str]:
        found: list[str] = []
        async with SQLiteSessionStore.open(path) as store:
            while claims := await store.claim_ready(limit=100):
                for claim in claims:
                    found.extend(reply.body for reply in claim.replies)
                    await claim.stay()
        return found

    children = [fork(lambda number=number: one(number)) for number in range(PROCESSES)]  # type: ignore[misc]  # as above
    assert all_well(children)
    with open(settled, encoding="ascii") as file:  # noqa: PTH123  # as above
        bodies = file.read().split()
    assert sorted([*bodies, *anyio.run(rest)]) == sorted(str(turn) for turn in range(rounds))
    assert anyio.run(findings_in, path) == []
    assert is_whole(path)


if __name__ == "__main__":
    {"answer": answer, "kill": kill, "open": open_at_once, "race": race}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
