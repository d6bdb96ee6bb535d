"""The benchmarks run, without their peers, and report everything that they promise. How fast anything is, no test asks."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from paths import ROOT

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


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.memory", *options]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """The table and the JSON of one run."""
    path = tmp_path_factory.mktemp("figures") / "memory.json"
    done = run("--quick", "--without-peers", "--json", str(path))
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(path.read_bytes())


def test_everything_is_measured(both: tuple[str, dict[str, Any]]) -> None:
    rows = both[1]["rows"]
    measured: dict[str, set[str]] = {}
    for row in rows:
        measured.setdefault(row["measurement"], set()).add(row["contestant"])
    assert measured == MEASURED
    assert len(rows) == sum(map(len, MEASURED.values()))
    for row in rows:
        assert row["value"] > 0, row
        assert row["unit"] in {"us", "ms", "x", "bytes"}, row
        assert row["ratio"] is None or row["ratio"] > 0, row


def test_a_target_says_whether_it_holds_unless_its_peer_is_missing(both: tuple[str, dict[str, Any]]) -> None:
    aimed = [row for row in both[1]["rows"] if row["target"] is not None]
    assert {row["measurement"] for row in aimed} >= NEED_NO_PEER | {"read by key", "find by scope", "park a new session"}
    for row in aimed:
        assert type(row["holds"]) is (bool if row["measurement"] in NEED_NO_PEER else type(None)), row


def test_the_run_says_where_and_how_it_measured(both: tuple[str, dict[str, Any]]) -> None:
    report = both[1]
    assert set(report) == {"machine", "settings", "rows", "findings", "notes"}
    assert set(report["machine"]) == {"machine", "python", "msgspec", "anyio", "aiogram"}
    assert report["settings"]["quick"] is True
    assert report["settings"]["peers"] is False
    assert report["settings"]["rounds"] > 0


def test_the_table_holds_what_the_json_holds(both: tuple[str, dict[str, Any]]) -> None:
    table, report = both
    for row in report["rows"]:
        assert row["measurement"] in table
        assert row["contestant"] in table
    assert all(note in table for note in report["notes"])


def test_without_its_peer_it_names_the_extra(tmp_path: Path) -> None:
    hide = (
        "import sys; sys.modules['aiogram'] = None; from benchmarks.memory.__main__ import main; sys.exit(main(['--quick']))"
    )
    done = subprocess.run([sys.executable, "-c", hide], cwd=ROOT, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "python -m pip install -e '.[bench]'" in done.stderr
