"""Lines of tasks, in which a saver's writes to a thread wait for each other."""

import asyncio

import pytest

from greentic_session.integrations._graphs.lines import Lines

pytestmark = pytest.mark.asyncio


async def work(lines: Lines, name: str, log: list[str], label: str) -> None:
    turn = lines.begin(name)
    if turn is not None:
        await lines.wait(name, turn)
    try:
        log.append(f"{label} begins")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        log.append(f"{label} ends")
    finally:
        lines.end(name)


async def test_one_at_a_time_in_their_order() -> None:
    lines, log = Lines(), list[str]()
    await asyncio.gather(*(work(lines, "t", log, f"{number}") for number in range(4)), work(lines, "u", log, "other"))
    log = [line for line in log if not line.startswith("other")]
    assert log == [f"{number} {word}" for number in range(4) for word in ("begins", "ends")]
    assert lines.begin("t") is None


@pytest.mark.parametrize("turns", range(12))
async def test_whoever_is_cancelled_holds_up_nobody(turns: int) -> None:
    lines, log = Lines(), list[str]()
    tasks = [asyncio.create_task(work(lines, "t", log, f"{number}")) for number in range(4)]
    for _ in range(turns):
        await asyncio.sleep(0)
    tasks[1].cancel()
    tasks[2].cancel()
    async with asyncio.timeout(5):
        await asyncio.gather(*tasks, return_exceptions=True)
    assert log[-1] == "3 ends"
    assert lines.begin("t") is None
