"""How the benchmarks measure: turns, percentiles, ratios, targets, tables, charts."""

import asyncio
import gc
from array import array

import pytest

from benchmarks.harness.measuring import Contestant, closed_loop, interleave, task_per_argument
from benchmarks.harness.population import make_ctx, make_data, make_snapshot_for
from benchmarks.harness.report import Report, Row, Target
from benchmarks.harness.results import Comparison, Result, compare, size_text
from benchmarks.harness.samples import Sample, median_of, median_ratio, times_us
from benchmarks.harness.svg import Chart, Series


def sample(us: float, *latencies_us: int, calls: int = 1) -> Sample:
    nanoseconds = round(us * 1000 * calls)
    return Sample(
        calls=calls,
        wall_ns=nanoseconds,
        cpu_ns=nanoseconds // 2,
        latencies_ns=array("q", [n * 1000 for n in latencies_us]),
    )


@pytest.mark.parametrize(("percent", "expected"), [(0, 1), (1, 1), (50, 50), (50.5, 51), (99, 99), (99.9, 100), (100, 100)])
def test_a_percentile_is_the_least_latency_that_so_many_calls_keep_within(percent: float, expected: float) -> None:
    assert sample(1, *range(100, 0, -1)).latency_us(percent) == expected


def test_a_percentile_of_one_call_is_that_call() -> None:
    assert sample(1, 7).latency_us(50) == sample(1, 7).latency_us(99) == 7


def test_samples_add_up() -> None:
    total = Sample()
    total.add(sample(10, 9, 11, calls=2))
    total.add(sample(40, 40, calls=1))
    assert total.calls == 3
    assert total.us_per_call == 20
    assert total.cpu_us_per_call == 10
    assert total.calls_per_second == pytest.approx(50_000)
    assert list(total.latencies_ns) == [9000, 11000, 40000]


def test_a_ratio_is_the_median_of_the_rounds_ratios_not_the_ratio_of_the_medians() -> None:
    assert median_ratio([2, 30, 300], [1, 10, 300]) == 2
    rounds = [sample(1), sample(5), sample(3)]
    assert times_us(rounds) == [1, 5, 3]
    assert median_of(rounds, lambda each: each.us_per_call) == 3


def result(contestant: str, *us: float) -> Result:
    rounds = [sample(each, 1, 2, 3) for each in us]
    return Result(operation="find_wait", contestant=contestant, tasks=1, size=512, rounds=rounds)


def test_a_row_tells_how_ours_compares_with_the_others() -> None:
    results = [result("ours", 1, 2, 4), result("faster", 0.5, 1, 2), result("slower", 4, 8, 16), result("timed", 0.5, 1, 2)]
    comparisons = [
        Comparison(beside="slower", limit=4),
        Comparison(beside="timed", limit=1.9, of="time"),
        Comparison(beside="absent", limit=3),
        Comparison(beside="absent too", limit=None),
    ]
    ours, faster, slower, timed, absent = compare("a run", results, comparisons)
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
        assert (took.calls, len(took.latencies_ns)) == (10, 10)
        assert took.wall_ns >= max(took.latencies_ns) > 0


@pytest.mark.asyncio
async def test_each_task_keeps_to_its_own_and_they_take_turns() -> None:
    running: set[str] = set()
    most = 0
    called: list[str] = []

    async def call(name: str) -> None:
        nonlocal most
        assert name not in running
        running.add(name)
        most = max(most, len(running))
        called.append(name)
        await asyncio.sleep(0)
        running.remove(name)

    for names in ("abcabcabca", "aaaa"):
        most = 0
        called.clear()
        took = await task_per_argument(call)(names)
        assert took is not None
        assert sorted(called) == sorted(names)
        assert most == len(set(names))
        assert took.calls == len(took.latencies_ns) == len(names)
        assert took.wall_ns >= max(took.latencies_ns) > 0


@pytest.mark.asyncio
async def test_contestants_take_turns_and_the_first_round_does_not_count() -> None:
    made: list[tuple[str, list[int], bool]] = []
    prepared: list[list[int]] = []
    ticks: list[None] = []

    async def prepare(args: object) -> None:
        assert isinstance(args, list)
        prepared.append(args)

    def contestant(name: str, told: Sample | None) -> Contestant:
        async def run(args: object) -> Sample | None:
            assert isinstance(args, list)
            made.append((name, args, gc.isenabled()))
            return told

        return Contestant(name=name, pick=lambda n, _: n, run=run, prepare=prepare)

    lineup = [
        contestant("a", None),
        contestant("b", Sample(calls=2, wall_ns=8000, cpu_ns=4000, latencies_ns=array("q", [1, 2]))),
    ]
    samples = await interleave(lineup, range(4), rounds=1, block=2, tick=lambda: ticks.append(None))
    assert [name for name, _, _ in made] == ["b", "a", "a", "b", "a", "b", "b", "a"]
    assert [args for _, args, _ in made] == prepared == [[0, 1]] * 2 + [[2, 3]] * 2 + [[0, 1]] * 2 + [[2, 3]] * 2
    assert not any(collecting for _, _, collecting in made)
    assert gc.isenabled()
    assert len(ticks) == 2
    assert [len(rounds) for rounds in samples.values()] == [1, 1]
    assert samples["a"][0].calls == 4
    assert samples["b"][0] == Sample(calls=4, wall_ns=16000, cpu_ns=8000, latencies_ns=array("q", [1, 2, 1, 2]))


@pytest.mark.parametrize("size", [512, 4096, 16_384, 65_536, 262_144])
def test_a_session_has_the_size_that_it_is_measured_with(size: int) -> None:
    assert len(make_data(make_ctx(0), make_snapshot_for(size)).to_json()) == size


def test_sizes_are_named() -> None:
    assert [size_text(size) for size in (512, 4096, 65_536)] == ["512 B", "4 KiB", "64 KiB"]


def test_a_chart_is_the_same_for_the_same_figures_and_escapes_names() -> None:
    chart = Chart(title="a < b", x_title="n", y_title="us", series=[Series("x & y", [(1, 3), (1000, 70)])])
    text = chart.svg()
    assert text == chart.svg()
    assert "a &lt; b" in text
    assert "x &amp; y" in text
    for step in ("2", "5", "10", "20", "50", "100"):  # round numbers, from below the least to above the greatest
        assert f">{step}</text>" in text
    assert ">200</text>" not in text
