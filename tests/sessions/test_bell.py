"""A bell that is rung in one thread and heard in the loop of another."""

import threading
from collections.abc import Awaitable, Callable

import anyio
import pytest

from greentic_session import InMemorySessionStore
from greentic_session._concurrency.bell import Bell
from greentic_session.testing._sessions.calls import answer, bodies, park
from greentic_session.testing._sessions.samples import DAY


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_bell_wakes_the_loop_of_another_thread(backend: str) -> None:
    store = InMemorySessionStore()
    listening = threading.Event()
    heard: list[str] = []

    async def listen() -> None:
        async def tell() -> None:
            await anyio.wait_all_tasks_blocked()
            listening.set()

        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(tell)
                async for claim in store.iter_ready(poll=DAY):
                    heard.extend(bodies(claim.replies))
                    return

    thread = threading.Thread(target=lambda: anyio.run(listen, backend=backend))
    anyio.run(lambda: park(store))
    thread.start()
    assert listening.wait(30)
    anyio.run(lambda: answer(store, claim=False))
    thread.join(30)
    assert not thread.is_alive()
    assert heard == ["yes"]


def in_a_loop(work: Callable[[], Awaitable[None]]) -> None:
    anyio.run(work)


def test_a_listener_whose_loop_is_closed_disturbs_nobody() -> None:
    bell, kept = Bell(), []

    async def listen() -> None:
        kept.append(bell.listener())

    thread = threading.Thread(target=lambda: in_a_loop(listen))
    thread.start()
    thread.join(30)
    bell.ring()
    kept.clear()
    bell.ring()


def test_what_rang_before_a_reset_is_not_heard() -> None:
    async def main() -> None:
        bell = Bell()
        listener = bell.listener()
        bell.ring()
        with anyio.fail_after(30):
            await listener.wait(DAY)
        listener.reset()
        with anyio.move_on_after(0.01) as scope:
            await listener.wait(DAY)
        assert scope.cancelled_caught

    anyio.run(main)
