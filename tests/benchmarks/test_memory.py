"""The benchmark of the in-memory store runs, without its peer. Speed is not asserted."""

import pytest
from runs.benchmarks import Run, contestants_of, measure, without

MEASURED = {
    "read by key": {"get_session", "get_session, ctx given"},
    "find by scope": {
        "find_wait",
        "find_wait, scope of four parts",
        "find_wait, by the fallback",
        "find_wait, nothing there",
    },
    "park a new session": {"register_wait", "register_wait, with a TTL", "register_wait, scope of four parts"},
    "park a session again": {"register_wait", "register_wait, with a TTL", "register_wait, scope of four parts"},
    "park again, 100 users": {"register_wait", "register_wait, with a TTL", "register_wait, scope of four parts"},
    "change a snapshot": {"update_session"},
    "resume and finish": {"claim_wait + complete"},
    "list 10 waits of a user": {"list_waits_for_user"},
    "JSON there and back": {"to_json + from_json"},
    "find among 1,000 and 10,000": {
        "find_wait, 1,000 waits",
        "bare dict, 1,000 items",
        "find_wait, 10,000 waits",
        "bare dict, 10,000 items",
    },
    "slowdown from 1,000 to 10,000": {"find_wait", "bare dict"},
    "memory of a wait": {"10,000 waits of 1,000 users", "10,000 waits of 1,000 users, with a TTL"},
    "import, in a fresh interpreter": {"import greentic_session", "import asyncio, msgspec, anyio"},
}
NEED_NO_PEER = {"slowdown from 1,000 to 10,000", "memory of a wait", "import, in a fresh interpreter"}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The table and the report of one run."""
    return measure(tmp_path_factory.mktemp("figures"), "benchmarks.memory", "--without-peers")


@pytest.mark.slow
def test_everything_is_measured(both: Run) -> None:
    assert contestants_of(both.report) == MEASURED
    for row in both.report["rows"]:
        assert row["value"] > 0, row
        assert row["unit"] in {"us", "ms", "x", "bytes"}, row
        assert row["ratio"] is None or row["ratio"] > 0, row


@pytest.mark.slow
def test_a_target_says_whether_it_holds_unless_its_peer_is_missing(both: Run) -> None:
    aimed = [row for row in both.report["rows"] if row["target"] is not None]
    assert {row["measurement"] for row in aimed} >= NEED_NO_PEER | {"read by key", "find by scope", "park a new session"}
    for row in aimed:
        assert type(row["holds"]) is (bool if row["measurement"] in NEED_NO_PEER else type(None)), row


@pytest.mark.slow
def test_the_run_says_where_and_how_it_measured(both: Run) -> None:
    assert set(both.report["machine"]) == {"machine", "python", "msgspec", "anyio", "aiogram"}
    assert both.report["settings"]["peers"] is False
    assert both.report["settings"]["rounds"] > 0


def test_without_its_peer_it_names_the_extra() -> None:
    done = without("aiogram", "benchmarks.memory", "--quick")
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "python -m pip install -e '.[bench]'" in done.stderr
