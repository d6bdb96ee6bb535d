"""The benchmark of the Redis store runs, without its peers. Speed is not asserted."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from redis_server import find_binary, require
from runs.benchmarks import Run, contestants_of, measure, run

SVG = "{http://www.w3.org/2000/svg}"

SAME = "redis.asyncio's pool, same commands + decode"
TWO_GETS = "redis.asyncio's pool, two GETs + decode"
GET = "redis.asyncio's pool, GET + decode"
BARE_GET = "redis.asyncio, bare GET + decode"
SET = "plain SET of the same bytes, same connection"
REGISTER_FOR_EVER, UPDATE_FOR_EVER = "register_wait, without a TTL", "update_session, of one without a TTL"
SMEMBERS = "redis.asyncio, bare SMEMBERS of the same ids"
READ, WRITE = "aiogram get_state + get_data", "aiogram set_state + set_data"
TAKE = "aiogram lock + get_state + get_data + clear"
TURN = "aiogram lock + get_state + get_data + set_state + set_data"
MISSING = {READ, WRITE, TAKE, TURN}
STEPS = {
    "find_wait",
    "checks of the arguments",
    "hash of the scope",
    "names of the keys",
    "packing",
    "decoding",
    "waiting and transport: the rest",
}
PARK = "register_wait + clear_wait of one more"

MEASURED = {
    "find_wait, 1 task, 4 KiB": {"find_wait", SAME, TWO_GETS, BARE_GET},
    "find_wait, 10 tasks, 4 KiB": {"find_wait", SAME, TWO_GETS},
    "find_wait, 100 tasks, 4 KiB": {"find_wait", SAME, TWO_GETS, READ},
    "find_wait, 1,000 tasks, 4 KiB": {"find_wait", SAME, TWO_GETS, READ},
    "get_session, 1 task, 4 KiB": {"get_session", GET},
    "get_session, 100 tasks, 4 KiB": {"get_session", GET},
    "register_wait, 1 task, 4 KiB": {"register_wait", REGISTER_FOR_EVER, SAME},
    "register_wait, 10 tasks, 4 KiB": {"register_wait", REGISTER_FOR_EVER, SAME},
    "register_wait, 100 tasks, 4 KiB": {"register_wait", REGISTER_FOR_EVER, SAME, WRITE},
    "register_wait, 1,000 tasks, 4 KiB": {"register_wait", REGISTER_FOR_EVER, SAME, WRITE},
    "update_session, 1 task, 4 KiB": {"update_session", UPDATE_FOR_EVER, SET, SAME},
    "update_session, 100 tasks, 4 KiB": {"update_session", UPDATE_FOR_EVER, SET, SAME},
    "claim_wait + complete, 1 task, 4 KiB": {"claim_wait + complete", SAME},
    "claim_wait + complete, 100 tasks, 4 KiB": {"claim_wait + complete", SAME, TAKE},
    "claim_wait + park, 1 task, 4 KiB": {"claim_wait + park"},
    "claim_wait + park, 100 tasks, 4 KiB": {"claim_wait + park", TURN},
    **{
        f"{operation}, 100 tasks, {size}": {operation, *others}
        for size in ("512 B", "64 KiB")
        for operation, others in {
            "find_wait": {SAME, TWO_GETS},
            "get_session": {GET},
            "register_wait": {REGISTER_FOR_EVER, SAME},
            "update_session": {UPDATE_FOR_EVER, SET, SAME},
            "claim_wait + complete": {SAME},
            "claim_wait + park": set[str](),
        }.items()
    },
    "a user's waits, 1 task": {
        f"{name}, {waits}"
        for name in ("list_waits_for_user", SMEMBERS, "find_wait", PARK)
        for waits in ("1 wait", "10 waits", "100 waits", "1,000 waits")
    },
    "growth from 100 to 1,000 waits": {"list_waits_for_user"},
    "steps of find_wait, 1 task, 4 KiB": STEPS,
    "steps of find_wait, 100 tasks, 4 KiB": STEPS,
    **{
        f"JSON there and back, {size}": {"to_json + from_json", "json.dumps + json.loads"}
        for size in ("512 B", "4 KiB", "64 KiB")
    },
}

# Measurement, whom the figure is of, and what is asked for.
AIMED = {
    ("find_wait, 1 task, 4 KiB", BARE_GET, "max", 1.2),
    ("find_wait, 100 tasks, 4 KiB", READ, "min", 5.0),
    ("find_wait, 100 tasks, 4 KiB", SAME, "min", 3.5),
    ("find_wait, 1,000 tasks, 4 KiB", READ, "min", 5.0),
    ("find_wait, 1,000 tasks, 4 KiB", SAME, "min", 3.5),
    ("get_session, 100 tasks, 4 KiB", GET, "min", 4.0),
    ("register_wait, 100 tasks, 4 KiB", WRITE, "min", 4.0),
    ("register_wait, 1,000 tasks, 4 KiB", WRITE, "min", 4.0),
    ("update_session, 100 tasks, 4 KiB", SET, "max", 2.5),
    ("claim_wait + complete, 100 tasks, 4 KiB", TAKE, "min", 6.0),
    ("claim_wait + park, 100 tasks, 4 KiB", TURN, "min", 4.0),
    ("find_wait, 100 tasks, 64 KiB", SAME, "min", 0.9),
    ("get_session, 100 tasks, 64 KiB", GET, "min", 0.9),
    ("register_wait, 100 tasks, 64 KiB", SAME, "min", 0.9),
    ("update_session, 100 tasks, 64 KiB", SAME, "min", 0.9),
    ("claim_wait + complete, 100 tasks, 64 KiB", SAME, "min", 0.9),
    ("a user's waits, 1 task", "list_waits_for_user, 1,000 waits", "max", 6.0),
    ("growth from 100 to 1,000 waits", "list_waits_for_user", "max", 12.0),
}

CHARTS = {
    "throughput-find_wait.svg": ({"find_wait", SAME, TWO_GETS}, 4),
    "latency-find_wait.svg": ({"find_wait", SAME, TWO_GETS}, 6),
    "size-find_wait.svg": ({"find_wait", SAME, TWO_GETS}, 3),
    "throughput-register_wait.svg": ({"register_wait", REGISTER_FOR_EVER, SAME}, 4),
    "latency-register_wait.svg": ({"register_wait", REGISTER_FOR_EVER, SAME}, 6),
    "size-register_wait.svg": ({"register_wait", REGISTER_FOR_EVER, SAME}, 3),
    "waits.svg": ({"list_waits_for_user", SMEMBERS, "find_wait", PARK}, 4),
}
UNITS = {
    "throughput": ("tasks calling at once", "calls per second"),
    "latency": ("percentile of the calls", "latency in microseconds"),
    "size": ("bytes of a session's text", "microseconds per call"),
    "waits": ("waits of the user", "microseconds per call"),
}


CHARTS_FOLDER = "charts"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("figures")


@pytest.fixture(scope="module")
def everything(folder: Path) -> Run:
    """The table and the report of one run, which has drawn its charts."""
    return measure(folder, "benchmarks", "--without-peers", "--charts", str(folder / CHARTS_FOLDER))


@pytest.mark.slow
def test_everything_is_measured(everything: Run) -> None:
    assert contestants_of(everything.report) == MEASURED


@pytest.mark.slow
def test_every_figure_is_one(everything: Run) -> None:
    for row in everything.report["rows"]:
        if row["contestant"] in MISSING:
            assert (row["value"], row["ratio"], row["holds"]) == (None, None, None), row
        else:
            assert row["value"] > 0, row
        if row["unit"] == "calls/s" and row["value"]:
            assert 0 < row["p50"] <= row["p99"], row
            assert row["cpu"] > 0, row
            is_ours = row["measurement"].startswith(f"{row['contestant']}, ")
            assert (row["ratio"] is None) is is_ours, row
            assert row["ratio_of"] in {None, "ours: x its speed", "ours: x its time"}


@pytest.mark.slow
def test_every_target_is_there_and_says_whether_it_holds(everything: Run) -> None:
    aimed = [row for row in everything.report["rows"] if row["target"] is not None]
    targets = {(row["measurement"], row["contestant"], row["target"]["bound"], row["target"]["limit"]) for row in aimed}
    assert targets == AIMED
    for row in aimed:
        assert type(row["holds"]) is (type(None) if row["contestant"] in MISSING else bool), row


@pytest.mark.slow
def test_the_steps_of_a_call_make_up_the_call(everything: Run) -> None:
    for tasks in ("1 task", "100 tasks"):
        steps = [row for row in everything.report["rows"] if row["measurement"] == f"steps of find_wait, {tasks}, 4 KiB"]
        assert steps[0]["contestant"] == "find_wait"
        # Medians of a few rounds: their sum is not exactly the median of the sums.
        assert sum(row["ratio"] for row in steps[1:]) == pytest.approx(1, abs=0.1)


@pytest.mark.slow
def test_the_run_says_where_and_how_it_measured(everything: Run) -> None:
    report = everything.report
    installed = {"msgspec", "redis", "hiredis", "uvloop"}
    assert set(report["machine"]) == {"machine", "python", "server", "load before"} | installed
    assert report["machine"]["server"].startswith(("Redis ", "Valkey "))
    assert report["settings"]["loop"] == "asyncio"
    assert report["settings"]["peers"] is False
    assert report["findings"] == {"peers that could not be measured": []}


@pytest.mark.slow
def test_the_table_has_latencies_and_says_what_was_not_measured(everything: Run) -> None:
    assert all(text in everything.table for text in ("p50 us", "p99 us", "CPU us", "not measured"))


@pytest.mark.slow
@pytest.mark.usefixtures("everything")
def test_the_charts_are_drawn(folder: Path) -> None:
    assert {path.name for path in (folder / CHARTS_FOLDER).iterdir()} == set(CHARTS)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHARTS)
@pytest.mark.usefixtures("everything")
def test_a_chart_shows_all_that_it_promises(folder: Path, name: str) -> None:
    contestants, points = CHARTS[name]
    root = ET.parse(folder / CHARTS_FOLDER / name).getroot()
    assert root.tag == f"{SVG}svg"
    lines = {group.get("data-series"): group for group in root.iter(f"{SVG}g") if group.get("data-series")}
    assert set(lines) == contestants
    for line in lines.values():
        marks = [mark for group in line.iter(f"{SVG}g") if group.get("class") == "mark" for mark in group]
        assert len(marks) == points
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert contestants <= set(words)  # the legend
    assert set(UNITS[name.partition("-")[0].removesuffix(".svg")]) <= set(words)
    title = root.find(f"{SVG}title")
    assert title is not None
    assert title.text in words
    style = root.find(f"{SVG}style")
    assert style is not None
    assert "prefers-color-scheme: dark" in str(style.text)


@pytest.mark.slow
def test_only_what_is_asked_for_is_measured_and_json_can_go_to_stdout() -> None:
    require(find_binary())
    chosen = ("--only", "json", "get", "--rounds", "1", "--seed", "7")
    done = run("-m", "benchmarks", "--quick", "--without-peers", *chosen, "--json", "-")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert {row["measurement"].partition(",")[0] for row in report["rows"]} == {"get_session", "JSON there and back"}
    assert (report["settings"]["rounds"], report["settings"]["seed"]) == (1, 7)
