"""Alarms on both event loops."""

import contextvars
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest
import trio.testing

from greentic_session._concurrency.alarm import Alarm, set_alarm

HOUR = 3600.0
who = contextvars.ContextVar("who", default="nobody")


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Callable[[Callable[[], Coroutine[Any, Any, None]]], None]:
    def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            with anyio.fail_after(30):
                await test()

        anyio.run(main, backend=request.param)

    return run


Run = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]


def test_work_begins_at_its_moment_in_the_context_of_who_set_it(run: Run) -> None:
    async def test() -> None:
        begun: list[tuple[str, float]] = []
        done = anyio.Event()

        async def work() -> None:
            begun.append((who.get(), anyio.current_time()))
            if len(begun) == 3:
                done.set()

        now = anyio.current_time()
        for name, when in (("last", now + 0.03), ("first", now + 0.01), ("past", now - 1)):
            who.set(name)
            set_alarm(when, work)
        await done.wait()
        assert [name for name, _ in begun] == ["past", "first", "last"]
        assert begun[1][1] >= now + 0.005  # asyncio's loop may be early by the resolution of its clock
        assert begun[2][1] >= now + 0.025

    run(test)


def test_what_is_called_off_does_not_begin(run: Run) -> None:
    async def test() -> None:
        begun: list[int] = []

        async def work() -> None:
            begun.append(1)

        alarm = set_alarm(anyio.current_time(), work)
        alarm.call_off()
        alarm.call_off()
        assert not alarm.is_at_work
        await alarm.ended()
        await anyio.sleep(0.01)
        assert begun == []

    run(test)


def test_the_end_of_work_can_be_waited_for(run: Run) -> None:
    async def test() -> None:
        gate, begun = anyio.Event(), anyio.Event()
        seen: list[str] = []

        async def work() -> None:
            begun.set()
            await gate.wait()
            seen.append("worked")

        alarm = set_alarm(anyio.current_time(), work)
        await begun.wait()
        assert alarm.is_at_work
        alarm.call_off()  # too late
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(alarm.ended)
            await anyio.wait_all_tasks_blocked()
            gate.set()
        assert seen == ["worked"]
        assert not alarm.is_at_work

    run(test)


def test_one_task_looks_after_all_alarms_of_trio_and_forgets_what_was_called_off() -> None:
    async def main() -> None:
        async def work() -> None:
            begun.append(trio.current_time())

        def tasks() -> int:
            return trio.lowlevel.current_statistics().tasks_living

        begun: list[float] = []
        start = trio.current_time()
        set_alarm(start + 2 * HOUR, work)
        await trio.testing.wait_all_tasks_blocked()
        before = tasks()
        alarms: list[Alarm] = [set_alarm(start + HOUR, work) for _ in range(1000)]
        await trio.testing.wait_all_tasks_blocked()
        assert tasks() == before
        for alarm in alarms[1:]:
            alarm.call_off()
        keeper = alarms[0]._keeper  # type: ignore[attr-defined]  # of trio
        assert len(keeper._alarms) < 200
        await trio.sleep(3 * HOUR)
        assert begun == [start + HOUR, start + 2 * HOUR]

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
