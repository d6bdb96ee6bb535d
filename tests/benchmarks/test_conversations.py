"""The benchmark of conversations runs, without its peer. Speed is not asserted."""

import importlib.util
import json
import sys
from array import array
from dataclasses import replace
from pathlib import Path

import pytest
from redis_server import find_binary, require
from runs.benchmarks import contestants_of, measure, run

from benchmarks.conversations.concurrency import Concurrency, measure_concurrency
from benchmarks.conversations.lengths import with_ratios
from benchmarks.harness.file_system import find_mount
from benchmarks.harness.messages import make_message, text_of
from benchmarks.harness.report import Target
from benchmarks.harness.results import time_rows
from benchmarks.harness.samples import Sample
from benchmarks.harness.server import Server
from benchmarks.peers.catalogue import AIOGRAM, CONVERSATIONS, PEERS
from benchmarks.peers.process import PeerFailedError, PeerProcess
from greentic_session.conversation import InMemoryConversationStore

FEW, MANY = "to one of 10", "to one of 2,000"
LAST_OF_FEW, LAST_OF_MANY = "messages(last=20), 20 of 20", "messages(last=20), 20 of 2,000"
BARE = "bare write and fsync, in no thread"
IN_REDIS = "openai-agents RedisSession.add_items"
IN_SQLITE = "openai-agents SQLiteSession.add_items, WAL, synchronous=FULL"
BACKENDS = ("memory", "SQLite", "Redis")
UNMEASURED = {IN_REDIS, IN_SQLITE}

MEASURED = {
    **{f"append of 1 KiB, 1 task, {name}": {FEW, MANY} | ({BARE} if name == "SQLite" else set()) for name in BACKENDS},
    **{f"reading, 1 task, {name}": {LAST_OF_FEW, LAST_OF_MANY, "load of 20", "list of 50 out of 60"} for name in BACKENDS},
    "append of 1 KiB, 100 tasks with a conversation each, memory": {"append"},
    "append of 1 KiB, 100 tasks with a conversation each, SQLite": {"append", IN_SQLITE},
    "append of 1 KiB, 100 tasks with a conversation each, Redis": {"append", IN_REDIS},
}
AIMED = {
    **{(f"append of 1 KiB, 1 task, {name}", MANY): ("max", 1.2) for name in BACKENDS},
    **{(f"reading, 1 task, {name}", LAST_OF_MANY): ("max", 2.0) for name in BACKENDS},
    ("append of 1 KiB, 100 tasks with a conversation each, SQLite", IN_SQLITE): ("min", 7.0),
    ("append of 1 KiB, 100 tasks with a conversation each, Redis", IN_REDIS): ("min", 3.0),
}


@pytest.mark.slow
def test_a_quick_run_has_every_row_that_is_promised(tmp_path: Path) -> None:
    table, report = measure(tmp_path, "benchmarks.conversations", "--without-peers", "--directory", str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]  # the files that were measured are gone
    assert contestants_of(report) == MEASURED
    aimed = {
        (row["measurement"], row["contestant"]): (row["target"]["bound"], row["target"]["limit"])
        for row in report["rows"]
        if row["target"]
    }
    assert aimed == AIMED
    for row in report["rows"]:
        if row["contestant"] in UNMEASURED:
            assert [row[name] for name in ("value", "p50", "p99", "cpu", "ratio", "holds")] == [None] * 6
        else:
            assert row["value"] > 0
            assert row["p99"] >= row["p50"] > 0
            assert row["cpu"] > 0
            assert (row["ratio"] is None) is (row["holds"] is None) is (row["target"] is None)
    assert "fsync on" in report["machine"]["files"]
    assert "not measured" in table


@pytest.mark.slow
def test_rounds_and_seed_are_chosen_and_json_can_go_to_stdout() -> None:
    require(find_binary())
    options = ("--quick", "--without-peers", "--rounds", "1", "--seed", "7", "--json", "-")
    done = run("-m", "benchmarks.conversations", *options)
    assert done.returncode == 0, done.stderr
    settings = json.loads(done.stdout)["settings"]
    assert (settings["rounds"], settings["concurrency_rounds"], settings["seed"]) == (1, 1, 7)


def test_the_message_is_one_kib_of_json_that_the_peer_can_read() -> None:
    message = make_message()
    text = text_of(message)
    assert len(text.encode()) == 1024
    assert message.role == "assistant"
    assert json.loads(text) == {"role": "assistant", "content": [{"type": "text", "text": message.text}]}
    assert {'"', "\n"} <= set(message.text)  # something to escape, as real answers have


def test_the_peer_shares_the_environment_that_another_benchmark_has_made() -> None:
    (same,) = [peer for peer in PEERS if peer.name == CONVERSATIONS.name]
    assert same.requirements == CONVERSATIONS.requirements


def sample(us: int) -> Sample:
    latencies = array("q", [900 * us, 1100 * us])
    return Sample(calls=2, wall_ns=2000 * us, cpu_ns=1000 * us, latencies_ns=latencies)


def test_rows_are_compared_with_the_first_one_round_by_round() -> None:
    samples = {"short": list(map(sample, (10, 20, 90))), "long": list(map(sample, (30, 24, 99))), "else": [sample(7)] * 3}
    rows = short, long, other = time_rows("append", samples)
    with_ratios(rows, samples, {"long": Target("ratio", "max", 1.2)})
    assert (short.value, short.unit, short.ratio, short.target, short.holds) == (20, "us", None, None, None)
    assert (long.value, long.holds) == (30, True)
    assert long.ratio == pytest.approx(1.2)
    assert (other.value, other.ratio, other.holds) == (7, None, None)
    assert (short.p50, short.p99, short.cpu) == (18, 22, 10)
    with_ratios(rows, samples, {"long": Target("ratio", "max", 1.1)})
    assert long.holds is False


def test_the_file_system_is_that_of_the_deepest_mount(tmp_path: Path) -> None:
    inner = tmp_path / "with space"
    inner.mkdir()
    points = ("/dev/a / ext4", f"first {tmp_path} xfs", f"last {tmp_path} tmpfs", f"other {tmp_path}/with btrfs")
    mounts = "\n".join(f"{point} rw 0 0" for point in points)
    assert find_mount("/", mounts) == "ext4 (/dev/a at /)"
    assert find_mount(str(inner), mounts) == f"tmpfs (last at {tmp_path})"
    escaped = str(inner).replace(" ", "\\040")
    assert find_mount(str(inner), f"{mounts}\n/dev/b {escaped} zfs rw 0 0") == f"zfs (/dev/b at {inner})"
    assert find_mount("/", "") == "unknown"


@pytest.mark.asyncio
@pytest.mark.slow
async def test_a_peer_appends_beside_ours_and_a_run_goes_on_without_it_when_it_fails() -> None:
    if importlib.util.find_spec("aiogram") is None:  # importing it here too would take seconds
        pytest.skip("needs aiogram")
    stand_in = replace(AIOGRAM, calls={"memory": "a name", "find_wait": "another"})
    sizes = Concurrency(conversations=3, appends=2, rounds=1)
    dropped: list[PeerFailedError] = []
    with Server(require(find_binary())) as server:
        peer = await PeerProcess.start(stand_in, Path(sys.executable), loop="asyncio", port=server.port, connections=5)
        try:
            await peer.fill(3, "{}")
            (alone,) = peer.contestants("find_wait", None)
            took = await alone.run([0, 1, 2, 0, 1, 2])
            assert took is not None
            assert took.calls == len(took.latencies_ns) == 6
            async with InMemoryConversationStore() as store:
                # It cannot do what we call "memory", and says so.
                (row,) = await measure_concurrency(
                    "memory", store, peer, sizes, seed=1, tick=lambda: None, drop=dropped.append
                )
        finally:
            await peer.stop()
    assert [error.peer for error in dropped] == [stand_in]
    assert row.contestant == "append"
    assert row.value is not None
