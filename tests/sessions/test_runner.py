"""A Runner: turns at a time, what becomes of turns without a verdict, and how it closes."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from greentic_session import (
    Claim,
    ConflictError,
    InMemorySessionStore,
    InternalError,
    InvalidInputError,
    MissingVerdictError,
    ReplyScope,
    Runner,
    Start,
)
from greentic_session.backend import Readiness, Readying
from greentic_session.testing import later
from greentic_session.testing._sessions.calls import answer, bodies, park, ready
from greentic_session.testing._sessions.samples import ALICE, CHAT, DAY, ctx, data

Test = Callable[[InMemorySessionStore], Awaitable[None]]


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Callable[[Test], None]:
    """Runs a test with a store, on either loop."""

    def run(test: Test) -> None:
        async def main() -> None:
            with anyio.fail_after(30):
                async with InMemorySessionStore() as store:
                    await test(store)

        anyio.run(main, backend=request.param)

    return run


class Worker:
    """A handler that notes what it was given, and does what it is told."""

    def __init__(self, work: Callable[[Claim], Awaitable[object]] = Claim.stay) -> None:
        self.work = work
        self.claims: list[Claim] = []
        self.attempts: list[int] = []
        self.said: list[str] = []
        self.running = self.most = 0

    async def __call__(self, claim: Claim) -> None:
        self.claims.append(claim)
        self.attempts.append(claim.attempt)
        self.said += bodies(claim.replies)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.work(claim)
        finally:
            self.running -= 1


class Gated(Worker):
    """A worker that waits at a gate before it does what it is told."""

    def __init__(self, work: Callable[[Claim], Awaitable[object]] = Claim.stay) -> None:
        self.gate = anyio.Event()

        async def wait(claim: Claim) -> None:
            await self.gate.wait()
            await work(claim)

        super().__init__(wait)


async def deliver(runner: Runner, body: str = "yes", scope: ReplyScope = CHAT, **options: Any) -> str:
    delivery = await runner.deliver(ALICE, "alice", scope, body, **options)
    assert delivery.claim is None
    return delivery.outcome


async def backlog(store: InMemorySessionStore, waits: int) -> None:
    """Leave so many waits ready: a reply lies at the place of each."""
    for number in range(waits):
        await park(store, f"k{number}", ReplyScope(f"c{number}"))
        await answer(store, str(number), ReplyScope(f"c{number}"), claim=False)


async def quiet() -> None:
    """Wait until nothing goes on; a task that has just ended may be about to wake another."""
    for _ in range(3):
        await anyio.wait_all_tasks_blocked()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # nothing else tells
        await anyio.sleep(0.005)


async def forever(_: Claim) -> None:
    await anyio.sleep(DAY)


@asynccontextmanager
async def at_work(store: InMemorySessionStore, **options: Any) -> AsyncIterator[Worker]:
    """Run the block while a worker is at a turn without an end, in a Runner with these options."""
    worker = Worker(forever)
    await park(store)
    async with Runner(store, worker, **options) as runner:
        await deliver(runner)
        await quiet()
        yield worker


async def try_twice(store: InMemorySessionStore, worker: Worker, *, delay: float, **options: Any) -> None:
    """Deliver to a Runner with these options: its worker tries it, and again after the delay."""
    await park(store)
    async with Runner(store, worker, **options) as runner:
        await deliver(runner)
        await quiet()
        await later(store, delay)
        await quiet()
        assert worker.attempts == [1, 2]


async def nothing(_: Claim) -> None:
    pass


async def fails(_: Claim) -> None:
    raise ZeroDivisionError("hush")


def test_a_burst_is_worked_on_in_order(run: Callable[[Test], None]) -> None:
    async def test(store: InMemorySessionStore) -> None:
        worker = Gated(lambda claim: claim.stay(data(node=f"{len(worker.said)}")))
        await park(store)
        async with Runner(store, worker) as runner:
            assert [await deliver(runner, body) for body in "123"] == ["claimed", "queued", "queued"]
            assert await deliver(runner, "4", ReplyScope("nowhere")) == "unmatched"
            worker.gate.set()
        found = await store.get_session("k")
        assert found is not None
        while len(worker.said) < 3:  # what it did not take is there
            claim = await ready(store)
            await worker(claim)
        assert worker.said == ["1", "2", "3"]
        assert worker.attempts == [1, 1, 1]

    run(test)


def test_it_takes_what_others_have_left(run: Callable[[Test], None]) -> None:
    async def test(store: InMemorySessionStore) -> None:
        await park(store, ttl=60, on_timeout="resume")
        await park(store, "l", ReplyScope("other"))
        await answer(store, "1", scope=ReplyScope("other"), claim=False)
        worker = Worker(Claim.complete)
        async with Runner(store, worker):
            await quiet()
            assert worker.said == ["1"]
            await later(store, 60)
            await quiet()
        assert [claim.timed_out for claim in worker.claims] == [False, True]
        assert await store.purge(ctx(None)) == 0

    run(test)


def test_it_takes_what_its_context_administers(run: Callable[[Test], None]) -> None:
    async def test(store: InMemorySessionStore) -> None:
        await park(store)
        await answer(store, claim=False)
        worker = Worker()
        async with Runner(store, worker, ctx=ctx(None, tenant="globex")):
            await quiet()
            assert worker.claims == []
        async with Runner(store, worker, ctx=ctx(None)):
            await quiet()
            assert len(worker.claims) == 1

    run(test)


def test_concurrency(run: Callable[[Test], None]) -> None:
    async def test(store: InMemorySessionStore) -> None:
        worker = Gated(Claim.complete)
        scopes = [ReplyScope(f"c{number}") for number in range(5)]
        for number, scope in enumerate(scopes):
            await park(store, f"k{number}", scope)
        async with Runner(store, worker, concurrency=2) as runner:
            await quiet()
            outcomes = [await deliver(runner, str(number), scope) for number, scope in enumerate(scopes)]
            assert outcomes == ["claimed", "claimed", "queued", "queued", "queued"]
            await quiet()
            assert len(worker.claims) == 2
            worker.gate.set()
            await quiet()
            assert sorted(worker.said) == list("01234")
        assert worker.most == 2

    run(test)


def test_one_at_a_time_still_claims_what_it_delivers(run: Callable[[Test], None]) -> None:
    async def test(store: InMemorySessionStore) -> None:
        worker = Worker()
        await park(store)
        async with Runner(store, worker, concurrency=1) as runner:
            for body in "123":
                await quiet()
                assert await deliver(runner, body) == "claimed"
            await quiet()
        assert worker.said == ["1", "2", "3"]
        assert worker.most == 1

    run(test)


def test_a_backlog_is_taken_several_at_a_time(run: Callable[[Test], None]) -> None:
    async def test(store: InMemorySessionStore) -> None:
        backend, claim_ready = vars(store._memory), store._memory.claim_ready
        asking = most = asked = 0

        async def ask(readying: Readying) -> Readiness:
            nonlocal asking, most, asked
            asking, asked = asking + 1, asked + 1
            most = max(most, asking)
            await anyio.lowlevel.checkpoint()
            asking -= 1
            return await claim_ready(readying)

        backend.update(claim_ready=ask, answers_at_once=False)
        worker = Worker(Claim.complete)
        await backlog(store, 100)
        async with Runner(store, worker, concurrency=20) as runner:
            await quiet()
            assert sorted(worker.said, key=int) == [str(number) for number in range(100)]
            assert worker.most <= 20
            assert 4 <= most <= 10  # half of the room is kept for deliveries
            asked = 0
            await park(store)
            assert await deliver(runner) == "claimed"
            await quiet()
            store.wake()
            await quiet()
            assert asked <= 4  # nothing is ready: one at a time

    run(test)


def test_what_is_asked_for_when_it_ends_is_given_back(run: Callable[[Test], None]) -> None:
    async def test(store: InMemorySessionStore) -> None:
        backend, claim_ready = vars(store._memory), store._memory.claim_ready
        asked = 0

        async def ask(readying: Readying) -> Readiness:
            nonlocal asked
            asked += 1
            if asked == 3:
                await anyio.sleep(DAY)
            return await claim_ready(readying)

        backend.update(claim_ready=ask, answers_at_once=False)
        worker = Worker(Claim.complete)
        await backlog(store, 3)
        async with Runner(store, worker):
            await quiet()
        assert worker.said == ["0"]
        del backend["claim_ready"]
        claims = await store.claim_ready(limit=3)
        assert [(claim.attempt, *bodies(claim.replies)) for claim in claims] == [(1, "2"), (1, "1")]

    run(test)


def test_start(run: Callable[[Test], None]) -> None:
    async def test(store: InMemorySessionStore) -> None:
        worker = Worker(Claim.complete)
        async with Runner(store, worker) as runner:
            assert await deliver(runner, start=Start(data())) == "claimed"
            assert await deliver(runner, scope=ReplyScope("c"), keep_for=60, delivery_id="d", sender="bob") == "kept"
        [claim] = worker.claims
        assert claim.is_new

    run(test)


def test_a_runner_that_is_never_entered_queues(run: Callable[[Test], None]) -> None:
    """For a process that only takes messages in, while others work on them."""

    async def test(store: InMemorySessionStore) -> None:
        front, worker = Runner(store, Worker()), Worker(Claim.complete)
        assert await deliver(front, start=Start(data())) == "queued"
        async with Runner(store, worker):
            while not worker.said:  # nothing else tells
                await anyio.lowlevel.checkpoint()
        assert worker.said == ["yes"]
        assert await deliver(front) == "unmatched"

    run(test)


def test_a_handler_that_raises_is_awaited_again(run: Callable[[Test], None], caplog: pytest.LogCaptureFixture) -> None:
    async def test(store: InMemorySessionStore) -> None:
        worker = Worker(fails)
        await park(store)
        async with Runner(store, worker) as runner:
            await deliver(runner, "secret")
            await quiet()
            assert worker.attempts == [1]
            await later(store, 1)
            await quiet()
            assert worker.attempts == [1, 2]
            worker.work = Claim.complete
            await later(store, 2)
            await quiet()
        assert worker.attempts == [1, 2, 3]
        assert len({claim.idempotency_key for claim in worker.claims}) == 1

    run(test)
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "ZeroDivisionError" in caplog.text
    assert "hush" not in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize("how", ["nothing", "timeout", "attempts"])
def test_what_has_no_verdict_rests(run: Callable[[Test], None], how: str, caplog: pytest.LogCaptureFixture) -> None:
    async def test(store: InMemorySessionStore) -> None:
        worker = Worker({"nothing": nothing, "timeout": forever, "attempts": fails}[how])
        await park(store)
        turn_timeout, max_attempts = 0.01 if how == "timeout" else None, 1 if how == "attempts" else 8
        async with Runner(store, worker, turn_timeout=turn_timeout, max_attempts=max_attempts) as runner:
            await deliver(runner)
            if how == "timeout":
                await until(lambda: bool(worker.claims) and not worker.running)
            await quiet()
            if how == "attempts":
                await later(store, 1)
                await quiet()
            assert worker.attempts == [1]
            await later(store, 299)
            await quiet()
            assert worker.attempts == [1]
            worker.work = Claim.stay
            await later(store, 2)
            await quiet()
            assert worker.attempts == ([1] if how == "attempts" else [1, 2])

    run(test)
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == (2 if how == "attempts" else 1)


def test_on_failure_decides(run: Callable[[Test], None], caplog: pytest.LogCaptureFixture) -> None:
    async def test(store: InMemorySessionStore) -> None:
        failures: list[Exception] = []

        async def on_failure(claim: Claim, error: Exception) -> None:
            failures.append(error)
            await claim.complete()

        cases: list[tuple[Callable[[Claim], Awaitable[None]], dict[str, Any]]] = [
            (nothing, {}),
            (forever, {"turn_timeout": 0.01}),
            (fails, {"max_attempts": 1}),
        ]
        for work, options in cases:
            await park(store)
            worker = Worker(work)
            async with Runner(store, worker, on_failure=on_failure, **options) as runner:
                await deliver(runner)
                if work is fails:
                    await quiet()
                    await later(store, 1)
                await until(lambda: not any(store._memory.shards))
        assert [type(error) for error in failures] == [MissingVerdictError, TimeoutError, MissingVerdictError]

    run(test)
    assert [record for record in caplog.records if record.levelno == logging.ERROR] == []


def test_an_on_failure_that_raises_or_decides_nothing(run: Callable[[Test], None], caplog: pytest.LogCaptureFixture) -> None:
    async def test(store: InMemorySessionStore) -> None:
        async def on_failure(_: Claim, error: Exception) -> None:
            if isinstance(error, MissingVerdictError) and len(worker.claims) == 1:
                raise ZeroDivisionError

        worker = Worker(nothing)
        await try_twice(store, worker, delay=300, on_failure=on_failure)

    run(test)
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 2


def test_a_handlers_own_timeout_error_is_an_error_like_any_other(run: Callable[[Test], None]) -> None:
    async def test(store: InMemorySessionStore) -> None:
        async def late(_: Claim) -> None:
            raise TimeoutError

        async def on_failure(_: Claim, __: Exception) -> None:
            raise AssertionError

        await try_twice(store, Worker(late), delay=1, turn_timeout=DAY, on_failure=on_failure)

    run(test)


def test_turns_finish_when_the_block_is_left(run: Callable[[Test], None]) -> None:
    async def test(store: InMemorySessionStore) -> None:
        worker = Gated()
        await park(store)
        await park(store, "l", ReplyScope("other"))
        async with anyio.create_task_group() as tasks:
            left = anyio.Event()

            async def serve() -> None:
                async with Runner(store, worker) as runner:
                    await deliver(runner, "1")
                    tasks.start_soon(deliver_more, runner)
                left.set()

            async def deliver_more(runner: Runner) -> None:
                await quiet()
                # The runner is closing: what comes now is for others.
                assert await deliver(runner, "2", ReplyScope("other")) == "queued"
                assert not left.is_set()
                worker.gate.set()

            tasks.start_soon(serve)
        assert worker.said == ["1"]
        assert bodies((await ready(store)).replies) == ["2"]

    run(test)


def test_turns_that_take_too_long_are_cancelled_and_given_back(run: Callable[[Test], None]) -> None:
    async def test(store: InMemorySessionStore) -> None:
        async with at_work(store, shutdown_timeout=0.01) as worker:
            pass
        claim = await ready(store)
        assert (worker.attempts, claim.attempt) == ([1], 1)  # no attempt

    run(test)


def test_a_block_that_raises_lets_turns_finish(run: Callable[[Test], None]) -> None:
    async def test(store: InMemorySessionStore) -> None:
        async def slow(claim: Claim) -> None:
            await anyio.sleep(0.02)
            await claim.complete()

        worker = Worker(slow)
        await park(store)

        async def serve() -> None:
            async with Runner(store, worker) as runner:
                await deliver(runner)
                raise KeyError

        with pytest.raises(KeyError):
            await serve()
        assert await store.get_session("k") is None

    run(test)


def test_a_block_that_is_cancelled_gives_turns_back(run: Callable[[Test], None]) -> None:
    async def test(store: InMemorySessionStore) -> None:
        with anyio.CancelScope() as scope:
            async with at_work(store):
                scope.cancel()
                await anyio.sleep(DAY)
        assert scope.cancelled_caught
        assert (await ready(store)).attempt == 1

    run(test)


def test_an_error_that_ends_the_iteration_leaves_the_block(run: Callable[[Test], None]) -> None:
    async def test(store: InMemorySessionStore) -> None:
        async def broken(_: Any) -> Any:
            raise InternalError("broken")

        worker = Worker(forever)
        await park(store)
        await answer(store, claim=False)

        async def serve() -> None:
            async with Runner(store, worker):
                await quiet()
                vars(store._memory)["claim_ready"] = broken
                store.wake()
                await anyio.sleep(DAY)

        with pytest.raises(InternalError):
            await serve()
        del vars(store._memory)["claim_ready"]
        assert (await ready(store)).attempt == 1

    run(test)


def test_a_closed_store_ends_the_taking(run: Callable[[Test], None]) -> None:
    async def test(store: InMemorySessionStore) -> None:
        async with Runner(store, Worker()):
            await quiet()
            await store.aclose()
            store.wake()
            await quiet()

    run(test)


def test_a_claim_that_is_lost_cancels_its_handler(run: Callable[[Test], None]) -> None:
    async def test(store: InMemorySessionStore) -> None:
        async with at_work(store, lease=0.15) as worker:
            await store.remove_session("k")
            await until(lambda: not worker.running)

    run(test)


def test_two_runners_settle_each_reply_once(run: Callable[[Test], None]) -> None:
    async def test(store: InMemorySessionStore) -> None:
        async def work(claim: Claim) -> None:
            await anyio.lowlevel.checkpoint()
            with suppress(ConflictError):
                await claim.stay()

        one, other = Worker(work), Worker(work)
        scopes = [ReplyScope(f"c{number}") for number in range(5)]
        for number, scope in enumerate(scopes):
            await park(store, f"k{number}", scope)
        async with Runner(store, one, concurrency=2) as a, Runner(store, other, concurrency=2) as b:
            for number in range(100):
                await deliver((a, b)[number % 2], str(number), scopes[number % 5])
            await until(lambda: len(one.said) + len(other.said) == 100)
        assert sorted([*one.said, *other.said], key=int) == [str(number) for number in range(100)]

    run(test)


def test_a_runner_runs_once(run: Callable[[Test], None]) -> None:
    async def test(store: InMemorySessionStore) -> None:
        runner = Runner(store, nothing)
        await park(store)
        assert await deliver(runner) == "queued"  # before it runs
        async with Runner(store, Claim.complete):
            await quiet()
        async with runner:
            pass
        with pytest.raises(RuntimeError):
            await runner.__aenter__()

    run(test)


def test_bad_arguments_are_refused(run: Callable[[Test], None]) -> None:
    async def test(store: InMemorySessionStore) -> None:
        bad: list[dict[str, Any]] = [
            {"concurrency": 0},
            {"lease": 0},
            {"max_attempts": 0},
            {"turn_timeout": -1},
            {"shutdown_timeout": 0},
            {"ctx": ALICE},
        ]
        for options in bad:
            with pytest.raises(InvalidInputError):
                Runner(store, nothing, **options)
        wrong: list[Any] = [(store, None, {}), (None, nothing, {}), (store, nothing, {"on_failure": 1})]
        for wrong_store, handler, options in wrong:
            with pytest.raises(TypeError):
                Runner(wrong_store, handler, **options)

    run(test)
