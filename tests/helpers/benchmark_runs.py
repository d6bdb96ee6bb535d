"""Runs of the benchmarks as commands, and their reports."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from paths import ROOT
from redis_server import find_binary, require

__all__ = ["COMMANDS", "Run", "contestants_of", "measure", "run", "without"]

COMMANDS = sorted(".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "benchmarks").rglob("__main__.py"))
"""Modules that ``python -m`` runs."""


class Run(NamedTuple):
    """Table on stdout, and report from the JSON file."""

    table: str
    report: dict[str, Any]


def run(*arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run ``python`` with these arguments in the repository."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=timeout)


def measure(folder: Path, module: str, *options: str) -> Run:
    """Make a quick run of a benchmark that needs a Redis server."""
    require(find_binary())
    there = folder / "report.json"
    done = run("-m", module, "--quick", "--json", str(there), *options)
    assert done.returncode == 0, done.stderr
    run_ = Run(done.stdout, json.loads(there.read_bytes()))
    assert set(run_.report) == {"machine", "settings", "rows", "findings", "notes"}
    assert run_.report["settings"]["quick"] is True
    assert "too short to judge by" in run_.table
    for row in run_.report["rows"]:
        assert row["measurement"] in run_.table
        assert row["contestant"] in run_.table
    assert all(note in run_.table for note in run_.report["notes"])
    return run_


def contestants_of(report: dict[str, Any]) -> dict[str, set[str]]:
    """Return the contestants by measurement; no row stands twice."""
    found: dict[str, set[str]] = {}
    for row in report["rows"]:
        found.setdefault(row["measurement"], set()).add(row["contestant"])
    assert len(report["rows"]) == sum(map(len, found.values()))
    return found


def without(missing: str, module: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a benchmark where something is missing: ``server``, or the name of a package."""
    hide = (
        "import greentic_session._servers.server as it; it.find_binary = lambda: None"
        if missing == "server"
        else f"sys.modules[{missing!r}] = None"
    )
    start = f"sys.argv = {[module, *options]!r}; runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    return run("-c", f"import runpy, sys; {hide}; {start}", timeout=60)
