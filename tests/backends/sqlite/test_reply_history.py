"""Four processes of Runners on one file, killed and stopped: their history is explained."""

import random
from pathlib import Path

import pytest
from histories.fleet import Fleet, outlive


@pytest.mark.parametrize(("each", "incidents"), [pytest.param(50, 4, marks=pytest.mark.slow)])
def test_no_reply_is_lost_and_none_has_two_verdicts(tmp_path: Path, each: int, incidents: int) -> None:
    """10,000 replies to 200 places."""
    chance = random.Random(1)
    with Fleet(f"sqlite:///{tmp_path}/replies.db", tmp_path, places=200, each=each) as fleet:
        outlive(fleet, [lambda: fleet.kill_one(chance), lambda: fleet.stop_one(chance)] * incidents)
