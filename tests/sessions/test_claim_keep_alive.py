"""Claims that are kept alive while the store is slow, away, or says that they are over."""

import asyncio
from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel
import pytest
import trio.testing

from greentic_session import Claim, ConflictError, SessionStore, UnavailableError
from greentic_session._concurrency import keep_alive
from greentic_session.backends.forwarding import ForwardingBackend
from greentic_session.backends.memory.backend import MemoryBackend
from greentic_session.testing._sessions.calls import claim_answer, park, ready
from greentic_session.testing._sessions.samples import ALICE, CHAT, DAY, OTHER

LEASE = 0.15
"""A lease that a test waits out, in seconds."""
LONG = 30.0
"""A lease that no test outlives."""


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets leases be renewed long before they end, however busy the machine is."""
    monkeypatch.setattr(keep_alive, "_RENEWALS_PER_LEASE", 3000)
    monkeypatch.setattr(keep_alive, "_TRIES_PER_LEASE", 3000)


class Moody(ForwardingBackend):
    """A backend whose renewals do as a test says; it notes what is asked of it."""

    def __init__(self) -> None:
        super().__init__(MemoryBackend(anyio.current_time))
        self.asked: list[str] = []
        self.before_renewal: Callable[[], Awaitable[object]] = anyio.lowlevel.checkpoint

    async def renew(self, key: str, token: str, lease_ms: int) -> bool:
        self.asked.append("renew")
        await self.before_renewal()
        renewed = await super().renew(key, token, lease_ms)
        self.asked.append("renewed")
        return renewed

    async def stay(self, staying: object) -> bool:
        self.asked.append("stay")
        return await super().stay(staying)  # type: ignore[arg-type]  # as it came


async def away() -> None:
    raise UnavailableError("away")


async def hangs() -> None:
    await anyio.sleep(DAY)


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Callable[[Callable[[SessionStore, Moody], Awaitable[None]]], None]:
    def run(test: Callable[[SessionStore, Moody], Awaitable[None]]) -> None:
        async def main() -> None:
            backend = Moody()
            with anyio.fail_after(30):
                async with SessionStore(backend) as store:
                    await park(store)
                    await test(store, backend)

        anyio.run(main, backend=request.param)

    return run


Run = Callable[[Callable[[SessionStore, Moody], Awaitable[None]]], None]


async def until_asked(backend: Moody, what: str, times: int = 1) -> None:
    while backend.asked.count(what) < times:  # noqa: ASYNC110  # nothing else tells
        await anyio.sleep(0.005)


async def work(claim: Claim) -> None:
    async with claim:
        await anyio.sleep(DAY)


@pytest.mark.parametrize("mood", [away, hangs])
def test_while_the_store_is_away_the_lease_runs_out_by_our_own_clock(run: Run, mood: Callable[[], Awaitable[None]]) -> None:
    async def test(store: SessionStore, backend: Moody) -> None:
        backend.before_renewal = mood
        begun = anyio.current_time()
        with pytest.raises(ConflictError):
            await work(await claim_answer(store, lease=LEASE))
        assert anyio.current_time() >= begun + LEASE
        assert "renew" in backend.asked

    run(test)


@pytest.mark.usefixtures("eager")
def test_a_lease_is_renewed_until_there_is_a_verdict(run: Run) -> None:
    async def test(store: SessionStore, backend: Moody) -> None:
        async with await claim_answer(store, lease=LONG) as claim:
            await until_asked(backend, "renewed", 3)
            await claim.stay()
            asked = list(backend.asked)
            await anyio.sleep(0.05)
            assert backend.asked == asked
            assert asked[-1] == "stay"

    run(test)


@pytest.mark.usefixtures("eager")
def test_a_plain_claim_is_renewed_where_it_says_so(run: Run) -> None:
    async def test(store: SessionStore, backend: Moody) -> None:
        claim = await store.claim_wait(ALICE, "alice", CHAT, lease=LONG, keep_alive=True)
        assert claim is not None
        async with claim:
            await until_asked(backend, "renewed", 1)

    run(test)


def test_a_block_outlives_its_lease_many_times() -> None:
    async def main() -> None:
        backend = Moody()  # its time is that of the event loop, which jumps
        async with SessionStore(backend) as store:
            await park(store)
            async with await claim_answer(store, lease=30) as claim:
                await anyio.sleep(3600)
                await claim.renew(9)
                await anyio.sleep(3600)
                await claim.stay()
            assert 300 < backend.asked.count("renewed") < 1700
            async with await claim_answer(store, lease=30):
                pass
            await anyio.sleep(1)
            assert (await ready(store)).attempt == 2

    anyio.run(main, backend="trio", backend_options={"clock": trio.testing.MockClock(autojump_threshold=0)})


@pytest.mark.usefixtures("eager")
def test_a_store_that_comes_back_in_time_loses_nothing(run: Run) -> None:
    async def test(store: SessionStore, backend: Moody) -> None:
        async def once() -> None:
            if backend.asked.count("renew") == 1:
                await away()

        backend.before_renewal = once
        async with await claim_answer(store, lease=LONG) as claim:
            await until_asked(backend, "renewed")
            await claim.stay()

    run(test)


@pytest.mark.usefixtures("eager")
def test_renewals_and_verdicts_exclude_each_other(run: Run) -> None:
    async def test(store: SessionStore, backend: Moody) -> None:
        gate = anyio.Event()
        backend.before_renewal = gate.wait
        async with await claim_answer(store, lease=LONG) as claim:
            await until_asked(backend, "renew")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(claim.stay)
                await anyio.wait_all_tasks_blocked()
                gate.set()
        assert backend.asked == ["renew", "renewed", "stay"]

    run(test)


@pytest.mark.usefixtures("eager")
def test_a_fault_of_a_renewal_is_raised_in_the_block(run: Run) -> None:
    async def test(store: SessionStore, backend: Moody) -> None:
        async def faulty() -> None:
            raise ZeroDivisionError

        backend.before_renewal = faulty
        with pytest.raises(ZeroDivisionError):
            await work(await claim_answer(store, lease=LONG))

    run(test)


@pytest.mark.usefixtures("eager")
def test_a_block_that_is_left_waits_for_the_renewal_that_it_cuts_off(run: Run) -> None:
    async def test(store: SessionStore, backend: Moody) -> None:
        async def slow() -> None:
            try:
                await hangs()
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.02)
                backend.asked.append("cut off")

        backend.before_renewal = slow
        async with await claim_answer(store, lease=LONG):
            await until_asked(backend, "renew")
        assert backend.asked == ["renew", "cut off"]

    run(test)


def test_claims_have_no_tasks_until_they_are_renewed() -> None:
    async def main() -> None:
        async with SessionStore(Moody()) as store:
            await park(store)
            tasks = len(asyncio.all_tasks())
            async with await claim_answer(store, lease=DAY) as claim:
                await anyio.lowlevel.checkpoint()
                assert len(asyncio.all_tasks()) == tasks
                await claim.stay()

    asyncio.run(main())


def test_a_store_that_is_closed_meanwhile(run: Run) -> None:
    async def test(store: SessionStore, _: Moody) -> None:
        async with await claim_answer(store, lease=DAY):
            await store.aclose()

    run(test)


def test_an_outer_timeout_is_the_callers(run: Run) -> None:
    async def test(store: SessionStore, _: Moody) -> None:
        with pytest.raises(TimeoutError):
            with anyio.fail_after(0.01):
                await work(await claim_answer(store, lease=DAY))
        assert (await ready(store)).attempt == 1

    run(test)


def test_many_claims_one_in_another(run: Run) -> None:
    async def test(store: SessionStore, _: Moody) -> None:
        async def work_on_both() -> None:
            async with await claim_answer(store, lease=DAY):
                other = await claim_answer(store, scope=OTHER, lease=LEASE)
                await store.remove_session("l")
                await work(other)

        await park(store, "l", OTHER)
        with pytest.raises(ConflictError):
            await work_on_both()
        assert await store.claim_ready() == []  # the outer one was put off

    run(test)


def test_entering_twice_keeps_one(run: Run) -> None:
    async def test(store: SessionStore, _: Moody) -> None:
        claim = await claim_answer(store, lease=DAY)
        async with claim:
            await claim.complete()
        async with claim:  # it is over: there is nothing to renew
            pass
        assert await store.find_wait_by_scope(ALICE, "alice", CHAT) is None

    run(test)
