"""A Runner whose block is cancelled while a delivery is under way."""

from typing import Any

import anyio
import pytest

from greentic_session import Claim, InMemorySessionStore, Runner
from greentic_session.testing._sessions.calls import park, ready
from greentic_session.testing._sessions.samples import ALICE, CHAT


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_what_it_can_work_on_no_more_is_queued(backend: str) -> None:
    async def main() -> None:
        arrived, ended, outcomes = anyio.Event(), anyio.Event(), list[str]()
        async with InMemorySessionStore() as store:
            accept = store.backend.deliver

            async def slowly(delivering: Any) -> Any:
                delivered = await accept(delivering)
                arrived.set()
                await ended.wait()
                return delivered

            vars(store.backend)["deliver"] = slowly
            await park(store)
            runner = Runner(store, Claim.complete)

            async def deliver() -> None:
                outcomes.append((await runner.deliver(ALICE, "alice", CHAT, "yes")).outcome)

            with anyio.fail_after(30):
                async with anyio.create_task_group() as tasks:
                    with anyio.CancelScope() as scope:
                        async with runner:
                            tasks.start_soon(deliver)
                            await arrived.wait()
                            scope.cancel()
                            await anyio.sleep_forever()
                    ended.set()
            assert outcomes == ["queued"]
            claim = await ready(store)  # at once, and not when the lease would have ended
            assert (claim.attempt, [reply.body for reply in claim.replies]) == (1, ["yes"])

    anyio.run(main, backend=backend)
