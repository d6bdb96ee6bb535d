"""Four processes of Runners on one Redis: killed, stopped, cut off while the server restarts."""

import random
import time
from pathlib import Path

import pytest
from histories.fleet import Fleet, run_incidents
from redis_server import Server

APPEND_ONLY = ("--appendonly", "yes", "--appendfsync", "always")


def restart(server: Server) -> None:
    """End a server as a power cut would, and start it again with what it has acknowledged."""
    server.kill()
    time.sleep(0.3)
    server.start()


@pytest.mark.parametrize(("each", "incidents"), [pytest.param(50, 3, marks=pytest.mark.slow)])
def test_no_reply_is_lost_and_none_has_two_verdicts(tmp_path: Path, each: int, incidents: int) -> None:
    """10,000 replies to 200 places."""
    chance = random.Random(2)
    with Server(*APPEND_ONLY) as server, Fleet(server.url, tmp_path, places=200, each=each) as fleet:
        run_incidents(
            fleet, [lambda: fleet.kill_one(chance), lambda: restart(server), lambda: fleet.stop_one(chance)] * incidents
        )
        history = fleet.finish()
    assert len(history.accepted) == 200 * each >= history.verdicts()
    history.check()
