"""How the benchmarks measure, and what they make of it: turns, percentiles, ratios, targets, charts; and their helpers."""

import asyncio
import gc
import socket
import sys
from array import array
from pathlib import Path

import pytest
from redis_server import find_binary, require

from benchmarks.harness.measuring import Contestant, Spent, closed_loop, interleave, median_of, median_ratio, times
from benchmarks.harness.population import make_ctx, make_data, make_snapshot_for
from benchmarks.harness.report import Report, Row, Target
from benchmarks.harness.results import Aim, Cell, rows_of, size_text
from benchmarks.harness.server import Server
from benchmarks.harness.svg import Chart, Series
from benchmarks.peers.catalogue import AIOGRAM, Peer
from benchmarks.peers.environment import CannotInstallError, python_of
from benchmarks.peers.process import PeerFailedError, PeerProcess
from benchmarks.redis.operations import Stage, measure_operations
from benchmarks.redis.ours import Ours, open_store
from benchmarks.redis.pool import SAME_COMMANDS, pooled_client
from benchmarks.redis.sides import Side
from benchmarks.redis.wire import Wire
from benchmarks.soak.__main__ import growth
from greentic_session import RedisSessionStore


def spent(us: float, *latencies_us: int, calls: int = 1) -> Spent:
    nanoseconds = round(us * 1000 * calls)
    return Spent(calls=calls, wall=nanoseconds, cpu=nanoseconds // 2, latencies=array("q", [n * 1000 for n in latencies_us]))


@pytest.mark.parametrize(("percent", "expected"), [(0, 1), (1, 1), (50, 50), (50.5, 51), (99, 99), (99.9, 100), (100, 100)])
def test_a_percentile_is_the_least_latency_that_so_many_calls_keep_within(percent: float, expected: float) -> None:
    assert spent(1, *range(100, 0, -1)).percentile(percent) == expected


def test_a_percentile_of_one_call_is_that_call() -> None:
    assert spent(1, 7).percentile(50) == spent(1, 7).percentile(99) == 7


def test_what_was_spent_adds_up() -> None:
    total = Spent()
    total.add(spent(10, 9, 11, calls=2))
    total.add(spent(40, 40, calls=1))
    assert total.calls == 3
    assert total.us == 20
    assert total.cpu_us == 10
    assert total.per_second == pytest.approx(50_000)
    assert list(total.latencies) == [9000, 11000, 40000]


def test_a_ratio_is_the_median_of_the_rounds_ratios_not_the_ratio_of_the_medians() -> None:
    assert median_ratio([2, 30, 300], [1, 10, 300]) == 2
    rounds = [spent(1), spent(5), spent(3)]
    assert times(rounds) == [1, 5, 3]
    assert median_of(rounds, lambda each: each.us) == 3


def cell(contestant: str, *us: float) -> Cell:
    rounds = [spent(each, 1, 2, 3) for each in us]
    return Cell(operation="find_wait", contestant=contestant, tasks=1, size=512, rounds=rounds)


def test_a_row_tells_how_ours_compares_with_the_others() -> None:
    cells = [cell("ours", 1, 2, 4), cell("faster", 0.5, 1, 2), cell("slower", 4, 8, 16), cell("timed", 0.5, 1, 2)]
    aims = [
        Aim(beside="slower", limit=4),
        Aim(beside="timed", limit=1.9, of="time"),
        Aim(beside="absent", limit=3),
        Aim(beside="absent too", limit=None),
    ]
    ours, faster, slower, timed, absent = rows_of("a run", cells, aims)
    assert ours.value == pytest.approx(500_000)
    assert (ours.p50, ours.p99, ours.cpu, ours.ratio, ours.target) == (2, 3, 1, None, None)
    assert (faster.ratio, faster.ratio_of, faster.target, faster.holds) == (0.5, "ours: x its speed", None, None)
    assert (slower.ratio, slower.target, slower.holds) == (4, Target("ratio", "min", 4), True)
    assert (timed.ratio, timed.ratio_of, timed.holds) == (2, "ours: x its time", False)
    assert (absent.contestant, absent.value, absent.target, absent.holds) == (
        "absent",
        None,
        Target("ratio", "min", 3),
        None,
    )


def test_a_target_is_met_at_its_limit() -> None:
    assert Target("ratio", "min", 5).is_met(5)
    assert not Target("ratio", "min", 5).is_met(4.99)
    assert Target("value", "max", 12).is_met(12)
    assert not Target("value", "max", 12).is_met(12.01)


def test_a_table_says_what_was_missed_and_leaves_empty_columns_out() -> None:
    rows = [
        Row(
            measurement="one",
            contestant="a",
            value=3.0,
            unit="us",
            ratio=1.0,
            ratio_of="x",
            target=Target("ratio", "min", 2),
        ),
        Row(measurement="one", contestant="b", value=None, unit="us", target=Target("value", "max", 2)),
    ]
    table = Report(machine={}, settings={}, rows=rows, findings={"lost": []}, notes=["a note"]).table()
    head, rule, first, second = table.splitlines()[2:6]
    assert head.split() == ["measurement", "contestant", "median", "ratio", "target", "holds"]
    assert set(rule) == {"-", " "}
    assert first.split() == ["one", "a", "3.000", "us", "1.00", "(x)", "ratio", ">=", "2", "MISSED"]
    assert second.split() == ["b", "value", "<=", "2", "not", "measured"]
    assert "lost: none" in table
    assert table.endswith("a note")


@pytest.mark.asyncio
async def test_so_many_tasks_call_at_once_and_every_call_is_timed() -> None:
    running = most = 0
    called: list[int] = []

    async def call(number: int) -> None:
        nonlocal running, most
        called.append(number)
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    for tasks, at_once in ((1, 1), (3, 3), (50, 10)):
        most = 0
        called.clear()
        took = await closed_loop(call, tasks)(range(10))
        assert took is not None
        assert most == at_once
        assert sorted(called) == list(range(10))
        assert (took.calls, len(took.latencies)) == (10, 10)
        assert took.wall >= max(took.latencies) > 0


@pytest.mark.asyncio
async def test_contestants_take_turns_and_the_first_round_does_not_count() -> None:
    made: list[tuple[str, list[int], bool]] = []
    prepared: list[list[int]] = []
    ticks: list[None] = []

    async def prepare(args: object) -> None:
        assert isinstance(args, list)
        prepared.append(args)

    def contestant(name: str, told: Spent | None) -> Contestant:
        async def run(args: object) -> Spent | None:
            assert isinstance(args, list)
            made.append((name, args, gc.isenabled()))
            return told

        return Contestant(name=name, pick=lambda n, _: n, run=run, prepare=prepare)

    lineup = [contestant("a", None), contestant("b", Spent(calls=2, wall=8000, cpu=4000, latencies=array("q", [1, 2])))]
    samples = await interleave(lineup, range(4), rounds=1, block=2, tick=lambda: ticks.append(None))
    assert [name for name, _, _ in made] == ["b", "a", "a", "b", "a", "b", "b", "a"]
    assert [args for _, args, _ in made] == prepared == [[0, 1]] * 2 + [[2, 3]] * 2 + [[0, 1]] * 2 + [[2, 3]] * 2
    assert not any(collecting for _, _, collecting in made)
    assert gc.isenabled()
    assert len(ticks) == 2
    assert [len(rounds) for rounds in samples.values()] == [1, 1]
    assert samples["a"][0].calls == 4
    assert samples["b"][0] == Spent(calls=4, wall=16000, cpu=8000, latencies=array("q", [1, 2, 1, 2]))


@pytest.mark.parametrize("size", [512, 4096, 16_384, 65_536, 262_144])
def test_a_session_has_the_size_that_it_is_measured_with(size: int) -> None:
    assert len(make_data(make_ctx(0), make_snapshot_for(size)).to_json()) == size


def test_sizes_are_named() -> None:
    assert [size_text(size) for size in (512, 4096, 65_536)] == ["512 B", "4 KiB", "64 KiB"]


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([90, 100, *[200] * 8], 0.0),
        ([*[1] * 20, *[100] * 60, *[150] * 20], 0.5),
        ([7], 0.0),
        ([100] * 80 + [99] * 20, -0.01),
    ],
)
def test_growth_is_from_after_the_warming_up_to_the_end(samples: list[float], expected: float) -> None:
    found = growth(samples)
    assert found.growth == pytest.approx(expected)
    assert found.is_flat is (expected < 0.02)


def test_a_chart_is_the_same_for_the_same_figures_and_escapes_names() -> None:
    chart = Chart(title="a < b", across="n", up="us", series=[Series("x & y", [(1, 3), (1000, 70)])])
    text = chart.svg()
    assert text == chart.svg()
    assert "a &lt; b" in text
    assert "x &amp; y" in text
    for step in ("2", "5", "10", "20", "50", "100"):  # round numbers, from below the least to above the greatest
        assert f">{step}</text>" in text
    assert ">200</text>" not in text


@pytest.mark.asyncio
async def test_the_wire_notes_what_a_store_sends() -> None:
    with Server(require(find_binary())) as server:
        async with (
            Wire(server.port) as wire,
            RedisSessionStore.from_url(f"redis://127.0.0.1:{wire.port}", namespace="w") as store,
        ):
            ctx = make_ctx(0)
            key = await store.create_session(ctx, make_data(ctx))
            assert await wire.commands_of(store.get_session(key)) == [[b"GET", f"w:session:{key}".encode()]]
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", server.port)) != 0  # it was stopped


@pytest.mark.slow
def test_a_peer_that_cannot_be_installed_says_why(tmp_path: Path) -> None:
    nobody = Peer(name="nobody", module="with_nobody", requirements=("./nowhere",), calls={})
    with pytest.raises(CannotInstallError, match="nowhere"):
        python_of(nobody, tmp_path)
    assert not list(tmp_path.glob("*/ready"))


@pytest.mark.asyncio
async def test_a_peer_that_is_not_there_says_so() -> None:
    nobody = Peer(name="nobody", module="with_nobody", requirements=(), calls={})
    with pytest.raises(
        PeerFailedError, match=r"ModuleNotFoundError: No module named 'benchmarks\.peers\.with_nobody'"
    ) as caught:
        await PeerProcess.start(nobody, Path(sys.executable), port=1, connections=1, loop="asyncio")
    assert caught.value.peer is nobody


@pytest.mark.asyncio
@pytest.mark.slow
async def test_a_peer_measures_its_own_calls_in_its_own_process() -> None:
    pytest.importorskip("aiogram")
    with Server(require(find_binary())) as server:
        peer = await PeerProcess.start(AIOGRAM, Path(sys.executable), port=server.port, connections=10, loop="asyncio")
        try:
            assert "aiogram" in peer.versions
            await peer.fill(4, "a snapshot")
            assert peer.contestants("get_session", 2) == []
            for operation, name in AIOGRAM.calls.items():
                (contestant,) = peer.contestants(operation, 2)
                assert contestant.name == name
                took = await contestant.run([0, 1, 2, 3])
                assert took is not None
                assert (took.calls, len(took.latencies)) == (4, 4)
                assert took.wall >= max(took.latencies) > 0
        finally:
            await peer.stop()


@pytest.mark.asyncio
@pytest.mark.slow
async def test_a_run_goes_on_without_a_peer_that_fails() -> None:
    pytest.importorskip("aiogram")
    lost: list[PeerFailedError] = []
    with Server(require(find_binary())) as server:
        client = pooled_client(server.port, 10)
        peer = await PeerProcess.start(AIOGRAM, Path(sys.executable), port=server.port, connections=1, loop="asyncio")
        peer._process.kill()
        try:
            async with open_store(server.url) as store:
                stage = Stage(operation="find_wait", tasks=100, size=4096, users=10, block=100, blocks=1, rounds=1)
                sides: list[Side] = [peer, Ours(store)]
                rows, cells = await measure_operations([stage], sides, client, seed=1, tick=lambda: None, lose=lost.append)
        finally:
            await client.aclose(close_connection_pool=True)
            await peer.stop()
    assert [error.peer for error in lost] == [AIOGRAM]
    assert [found.contestant for found in cells] == ["find_wait"]
    assert {row.contestant: row.holds for row in rows} == {
        "find_wait": None,
        "aiogram get_state + get_data": None,
        SAME_COMMANDS: None,
    }
