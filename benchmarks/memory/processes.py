"""Measurements in new processes: memory of many waits, and time of the import."""

import statistics
import subprocess
import sys
from pathlib import Path

import msgspec

from benchmarks.harness.report import Row, Target

from .footprint import Footprint

__all__ = ["measure_footprint", "measure_import"]

_MAX_BYTES_PER_WAIT = 1500
_MAX_IMPORT_RATIO = 2.0
_ROOT = Path(__file__).parent.parent.parent

_IMPORT = """
import sys, time
before = set(sys.modules)
began = time.perf_counter()
import {names}
took = time.perf_counter() - began
print(took, *sorted({{name.partition(".")[0] for name in set(sys.modules) - before}}))
"""


def _run(*arguments: str) -> bytes:
    return subprocess.run([sys.executable, *arguments], cwd=_ROOT, check=True, stdout=subprocess.PIPE).stdout


def measure_footprint(*, waits: int, users: int, ttl: float) -> tuple[list[Row], str]:
    """Return the memory of a wait without and with a lifetime, and the method of counting."""
    rows: list[Row] = []
    method = ""
    population = f"{waits:,} waits of {users:,} users"
    for name, arguments in ((population, ()), (f"{population}, with a TTL", (f"{ttl}",))):
        output = _run("-m", "benchmarks.memory.footprint", f"{waits}", f"{users}", *arguments)
        footprint = msgspec.json.decode(output, type=Footprint)
        method = footprint.method
        rows.append(
            Row(
                measurement="memory of a wait",
                contestant=name,
                value=footprint.bytes_per_wait,
                unit="bytes",
                target=Target("value", "max", _MAX_BYTES_PER_WAIT),
            )
        )
    return rows, method


def measure_import(*, runs: int) -> tuple[list[Row], list[str]]:
    """Return the time of the import, and the third-party modules that only our import loads."""
    statements = {"import greentic_session": "greentic_session", "import asyncio, msgspec, anyio": "asyncio, msgspec, anyio"}
    times_ms: dict[str, list[float]] = {statement: [] for statement in statements}
    modules: dict[str, set[str]] = {}
    for run in range(runs + 1):
        for statement, names in statements.items() if run % 2 else reversed(statements.items()):
            seconds, *loaded = _run("-c", _IMPORT.format(names=names)).decode().split()
            modules[statement] = set(loaded)
            if run:  # the first run may have to compile
                times_ms[statement].append(float(seconds) * 1000)
    ours, plain = statements
    medians = {statement: statistics.median(times) for statement, times in times_ms.items()}
    measurement = "import, in a fresh interpreter"
    rows = [
        Row(
            measurement=measurement,
            contestant=ours,
            value=medians[ours],
            unit="ms",
            ratio=medians[ours] / medians[plain],
            ratio_of="x the plain import's time",
            target=Target("ratio", "max", _MAX_IMPORT_RATIO),
        ),
        Row(measurement=measurement, contestant=plain, value=medians[plain], unit="ms"),
    ]
    extra = modules[ours] - modules[plain] - set(sys.stdlib_module_names) - {"greentic_session"}
    return rows, sorted(extra)
