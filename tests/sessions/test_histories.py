"""Histories of many calls at once are explained by a sequential model; wrong ones are found out."""

import math
import random
from itertools import count, pairwise

import anyio
import pytest
from anyio.abc import TaskStatus
from histories.linearizability import Search, TooManyStepsError, Unexplained
from histories.place import Call, check_place
from histories.recording import History, RecordingBackend
from histories.workers import PROCESSES, Herd, deliveries_of, owner_of, park_all, scope_of
from short_ways.inboxes import all_inboxes

from greentic_session import ConflictError, InMemorySessionStore, SessionStore

# -- the search


def register(value: str, call: Call) -> list[str]:
    """Step of a register, which is read and written."""
    if call.what == "write":
        return [call.reply]
    return [value] if call.outcome == value else []


def write(value: str, begin: float, end: float = math.inf) -> Call:
    return Call("write", "", begin, end, reply=value)


def read(value: str, begin: float, end: float) -> Call:
    return Call("read", "", begin, end, value)


EXPLAINED = [
    [],
    [write("a", 0, 1), read("a", 2, 3)],
    [write("a", 0, 3), read("", 1, 2), read("a", 2.5, 4)],
    [write("a", 0, 9), write("b", 1, 8), read("b", 2, 3), read("a", 4, 5)],
    [write("a", 0), read("", 1, 2), read("a", 3, 4)],  # no answer: it had its effect late
    [write("a", 0), read("", 1, 2)],  # or never
]
WRONG = [
    [read("a", 0, 1)],
    [write("a", 0, 1), read("", 2, 3)],
    [write("a", 0, 9), read("a", 1, 2), read("", 3, 4)],
    [write("a", 0, 9), write("b", 1, 8), read("b", 2, 3), read("a", 4, 5), read("b", 6, 7)],
    [write("a", 0), read("a", 1, 2), read("", 3, 4)],
    [read("a", 0, 1), write("a", 2)],
]


@pytest.mark.parametrize("calls", EXPLAINED)
def test_an_order_is_found(calls: list[Call]) -> None:
    random.Random(1).shuffle(calls)
    order = Search(calls, register).order("")
    value = ""
    for call in order:
        [value] = register(value, call)
    assert {call for call in calls if call.end < math.inf} <= set(order)
    for earlier, later in pairwise(order):
        assert later.end >= earlier.begin


@pytest.mark.parametrize("calls", WRONG)
def test_no_order_is_found(calls: list[Call]) -> None:
    with pytest.raises(Unexplained) as found:
        Search(calls, register).order("")
    assert found.value.next_calls
    assert len(found.value.explained) < len(calls)


def test_a_search_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("histories.linearizability._MAX_STEPS", 100)
    with pytest.raises(TooManyStepsError):
        Search([*[write(str(n), 0) for n in range(20)], read("x", 1, 2)], register).order("")


# -- the model of a place


def deliver(reply: str, at: float, outcome: str = "queued", token: str = "", held: str = "", **more: float | bool) -> Call:
    return Call("deliver", "p", at, at + 0.1, outcome, token, reply, held, 10.0, **more)  # type: ignore[arg-type]  # any


def ready(token: str, held: str, at: float) -> Call:
    return Call("ready", "p", at, at + 0.1, "claimed", token, "", held, 10.0)


def by_claim(what: str, token: str, at: float, outcome: str = "done", seconds: float = 0.0) -> Call:
    return Call(what, "p", at, at + 0.1, outcome, token, seconds=seconds)


def lies(at: float, *replies: str) -> Call:
    return Call("inbox", "p", at, at + 0.1, " ".join(replies))


def unanswered(call: Call) -> Call:
    return call._replace(end=math.inf, outcome="", held="")


TURN = [deliver("1", 0, "claimed", "t", "1"), deliver("2", 1), by_claim("verdict", "t", 2), ready("u", "2", 3)]
GOOD = {
    "a burst": [*TURN, by_claim("verdict", "u", 4), lies(5), deliver("1", 6, "duplicate")],
    "given back": [*TURN, by_claim("release", "u", 4), ready("v", "2", 5), by_claim("verdict", "u", 6, "over")],
    "a lease that ended": [*TURN, ready("v", "2", 13.5), by_claim("verdict", "u", 14, "over")],
    "a lease that was renewed": [*TURN, by_claim("renew", "u", 12, seconds=10), by_claim("verdict", "u", 20)],
    "put off": [
        *TURN,
        by_claim("put_off", "u", 4, seconds=5),
        deliver("3", 5),
        ready("v", "2", 9.2),
        by_claim("verdict", "v", 10),
        lies(11, "3"),
    ],
    "a verdict without an answer": [*TURN, unanswered(by_claim("verdict", "u", 4)), deliver("2", 5, "duplicate")],
    "one that had no effect": [
        *TURN,
        unanswered(by_claim("verdict", "u", 4)),
        lies(5, "2"),
        ready("v", "2", 13.5),
    ],
    "a claim without an answer": [
        *TURN[:3],
        unanswered(ready("u", "2", 3)),
        deliver("3", 4),  # queued: somebody seems to be at it
        ready("v", "2", 5),  # and has given back what nobody got
    ],
    "a delivery without an answer": [unanswered(deliver("1", 0, claims=False)), deliver("1", 1, claims=False)],
    "without a claim": [deliver("1", 0, claims=False), ready("t", "1", 1)],
    "at the same time": [
        deliver("2", 0, "claimed", "t", "1"),
        deliver("1", 0.05, claims=False),
        by_claim("verdict", "t", 1),
        lies(2, "2"),
    ],
}
BAD = {
    "a lost reply": [*TURN, by_claim("release", "u", 4), lies(5)],
    "lost by a death": [*TURN, by_claim("verdict", "u", 4), deliver("3", 5, "claimed", "v", "3"), lies(6)],
    "two verdicts": [*TURN, by_claim("verdict", "t", 4)],
    "the verdict of a stale runner": [*TURN, ready("v", "2", 13.5), by_claim("verdict", "u", 14)],
    "a verdict behind the lease": [*TURN, by_claim("verdict", "u", 13.5)],
    "refused too early": [*TURN, by_claim("verdict", "u", 4, "over")],
    "two at once": [*TURN, ready("v", "2", 4)],
    "not the oldest": [
        deliver("1", 0, "claimed", "t", "1"),
        deliver("2", 1),
        by_claim("release", "t", 2),
        ready("u", "2", 3),
    ],
    "out of order": [*TURN[:2], deliver("3", 1.5), by_claim("verdict", "t", 2), ready("u", "3", 3)],
    "accepted twice": [deliver("1", 0, "claimed", "t", "1"), deliver("1", 1), lies(2, "1", "1")],
    "settled, and worked on again": [*TURN, by_claim("verdict", "u", 4), ready("v", "2", 5)],
    "a duplicate of what is not settled": [*TURN, deliver("2", 4, "duplicate")],
    "a free wait that queues": [*TURN, by_claim("verdict", "u", 4), deliver("3", 5)],
    "put off, and taken at once": [*TURN, by_claim("put_off", "u", 4, seconds=5), ready("v", "2", 5)],
    "resurrected": [*TURN, by_claim("verdict", "u", 4), lies(5), lies(6, "2")],
}


@pytest.mark.parametrize("calls", GOOD.values(), ids=GOOD)
def test_what_may_happen_is_explained(calls: list[Call]) -> None:
    check_place(calls)


@pytest.mark.parametrize("calls", BAD.values(), ids=BAD)
def test_what_must_not_happen_is_found_out(calls: list[Call]) -> None:
    with pytest.raises(Unexplained):
        check_place(calls)


# -- in one process


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("each", [5, pytest.param(50, marks=pytest.mark.slow)])
def test_runners_of_one_process_have_a_history_that_is_explained(backend: str, each: int) -> None:
    """Four Runners; holders that die, and such as come back when their lease has ended."""
    lines: list[str] = []
    places = 200 if each > 5 else 20
    stale: list[bool] = []
    numbers = count()

    async def die(store: SessionStore) -> None:
        """Claim what is ready, and never be heard of again."""
        await store.claim_ready(limit=2, lease=0.2)

    async def oversleep(store: SessionStore) -> None:
        for claim in await store.claim_ready(limit=2, lease=0.01):
            await anyio.sleep(0.1)
            with pytest.raises(ConflictError):
                await claim.stay()
            stale.append(True)

    async def work(
        store: SessionStore, done: anyio.Event, *, task_status: TaskStatus[anyio.Event] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        sent, number = anyio.Event(), next(numbers)
        task_status.started(sent)
        async with Herd(store, deliveries_of(number, places, each, set()), random.Random(number)).serving():
            sent.set()
            await done.wait()

    async def main() -> None:
        async with InMemorySessionStore() as inner:
            stores = [SessionStore(RecordingBackend(inner.backend, lines.append, str(n))) for n in range(PROCESSES)]
            await park_all(inner, places)
            with anyio.fail_after(100):
                async with anyio.create_task_group() as tasks:
                    done = anyio.Event()
                    sent = [await tasks.start(work, store, done) for store in stores]
                    for turn in range(40):
                        await anyio.sleep(0.005)
                        tasks.start_soon((die, oversleep)[turn % 2], stores[turn % PROCESSES])
                    for each_sent in sent:
                        await each_sent.wait()
                    while all_inboxes(inner._memory):  # noqa: ASYNC110  # nothing else tells
                        await anyio.sleep(0.05)
                    done.set()
            for place in range(places):
                owner = owner_of(place)
                await stores[0].inbox(owner, owner.user_id or "", scope_of(place))

    anyio.run(main, backend=backend)
    history = History(lines)
    assert len(history.accepted) == places * each == history.verdicts()
    history.check()
