"""The scenarios recorded from the reference.

Every step gives the recorded result. (The keys are for the Redis store.)
"""

from typing import Any

import pytest
from samples.layout_replay import SCENARIOS, Replay, recorded_outcome

from greentic_session import InMemorySessionStore


@pytest.mark.asyncio
@pytest.mark.filterwarnings("ignore:use find_wait_by_scope:DeprecationWarning")
@pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario["name"] for scenario in SCENARIOS])
async def test_every_step_gives_the_recorded_result(scenario: dict[str, Any]) -> None:
    async with InMemorySessionStore() as store:
        replay = Replay(store)
        for number, step in enumerate(scenario["steps"]):
            assert await replay.play(step["op"]) == recorded_outcome(step), f"step {number}: {step['op']['op']}"
