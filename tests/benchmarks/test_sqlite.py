"""The benchmark of the SQLite store runs, without its peers. Speed is not asserted."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from runs.benchmarks import run

from benchmarks.harness.texts import ChangingTexts
from benchmarks.sqlite.operations import stages_of
from benchmarks.sqlite.shim import DELAY_US, make_shim

LANGGRAPH, OPENAI = "langgraph AsyncSqliteSaver.aput", "openai-agents SQLiteSession.add_items"
BARE = "bare keyed INSERT and COMMIT in a thread"


def measure(folder: Path, *options: str) -> dict[str, Any]:
    """Make a quick run, and return its report."""
    there = folder / "report.json"
    arguments = ("--quick", "--without-peers", "--directory", str(folder), "--json", str(there))
    done = run("-m", "benchmarks", "--only", "sqlite", *arguments, *options)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in folder.iterdir()] == ["report.json"]
    report: dict[str, Any] = json.loads(there.read_bytes())
    for row in report["rows"]:
        assert row["measurement"] in done.stdout
        assert row["contestant"] in done.stdout
    return report


def measured(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the measured contestants by measurement, with their rows."""
    found: dict[str, dict[str, Any]] = {}
    for row in report["rows"]:
        if row["value"] is not None:
            found.setdefault(row["measurement"], {})[row["contestant"]] = row
    return found


@pytest.mark.slow
def test_operations_have_every_row_and_target_that_is_promised(tmp_path: Path) -> None:
    report = measure(tmp_path, "--parts", "operations")
    found = measured(report)
    assert {name: set(rows) for name, rows in found.items()} == {
        "register_wait, 1 task, 4 KiB": {"register_wait", BARE},
        "register_wait, 100 tasks, 4 KiB": {"register_wait"},
        "find_wait, 1 task, 4 KiB": {"find_wait"},
        "find_wait, 100 tasks, 4 KiB": {"find_wait"},
        "append, 100 tasks, 4 KiB": {"append"},
    }
    targets = {
        (row["measurement"].split(",")[0], row["contestant"]): row["target"]["limit"]
        for row in report["rows"]
        if row["target"]
    }
    assert targets == {
        ("register_wait", BARE): 1.3,
        ("register_wait", LANGGRAPH): 5,
        ("register_wait", OPENAI): 7,
        ("find_wait", "langgraph AsyncSqliteSaver.aget"): 10,
        ("find_wait", "openai-agents SQLiteSession.get_items"): 5,
        ("append", OPENAI): 7,
    }
    assert report["settings"]["quick"] is True


@pytest.mark.slow
def test_many_waits_are_compared_with_few(tmp_path: Path) -> None:
    found = measured(measure(tmp_path, "--parts", "delayed", "--waits", "2000"))
    assert list(found["bytes of a wait with 512 B"]) == ["1,000 waits", "2,000 waits"]
    for name, limit in (("find_wait", 1.5), ("register_wait", 1.7)):
        row = found[f"{name}, 1 task, 512 B"]["2,000 waits"]
        assert row["target"] == {"field": "ratio", "bound": "max", "limit": limit}
    if shutil.which("gcc"):
        assert list(found["register_wait, 100 tasks, 4 KiB, sync 1 ms longer"]) == ["register_wait"]


@pytest.mark.skipif(not (shutil.which("gcc") and sys.platform == "linux"), reason="needs gcc and the linker of Linux")
def test_the_shim_delays_every_sync(tmp_path: Path) -> None:
    shim = make_shim(str(tmp_path))
    assert shim is not None
    code = (
        "import os, sys, time; fd = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY); began = time.perf_counter();"
        "[(os.fsync(fd), os.fdatasync(fd)) for _ in range(10)]; print(time.perf_counter() - began)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "file")]
    done = subprocess.run(command, env={**os.environ, "LD_PRELOAD": str(shim)}, check=True, capture_output=True, text=True)
    assert float(done.stdout) >= 20 * DELAY_US / 1e6
    assert done.stderr == ""


def test_without_a_compiler_there_is_no_shim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert make_shim(str(tmp_path)) is None
    broken = tmp_path / "gcc"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    assert make_shim(str(tmp_path)) is None


def test_a_block_has_calls_for_every_task() -> None:
    stages = stages_of((1, 100, 1000), users=1000, calls=300, rounds=2)
    blocks = ((1, 300), (100, 2000), (1000, 4000))
    assert [(stage.operation, stage.tasks, stage.block) for stage in stages] == [
        *(("register_wait", *block) for block in blocks),
        *(("find_wait", *block) for block in blocks),
        ("append", 100, 2000),
        ("register_wait", 100, 400),
    ]
    assert [stage.users for stage in stages if stage.operation == "append"] == [100]
    assert [stage.operation for stage in stages if stage.delayed] == ["register_wait"]


def test_texts_change_all_over() -> None:
    texts = ChangingTexts(100)
    first, second = texts.next(), texts.next()
    assert len(first) == len(second) == 100
    assert sum(a == b for a, b in zip(first, second, strict=True)) < 20
