"""What is measured in fresh processes: the memory of many waits, and the import."""

import statistics
import subprocess
import sys
from pathlib import Path

import msgspec

from benchmarks.harness.report import Row, Target

from .footprint import Footprint

__all__ = ["measure_footprint", "measure_import"]

BYTES_TARGET = 1500
IMPORT_TARGET = 2.0

# Children import what this process imports: the package and these modules stand in the same directory.
ROOT = Path(__file__).parent.parent.parent

_IMPORT = """
import sys, time
before = set(sys.modules)
began = time.perf_counter()
import {names}
took = time.perf_counter() - began
print(took, *sorted({{name.partition(".")[0] for name in set(sys.modules) - before}}))
"""


def _run(*arguments: str) -> bytes:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout


def measure_footprint(*, waits: int, users: int, ttl: float) -> tuple[list[Row], str]:
    """Return what each of so many waits takes, without and with a lifetime, in fresh processes; and how it was counted."""
    rows: list[Row] = []
    method = ""
    population = f"{waits:,} waits of {users:,} users"
    for name, arguments in ((population, ()), (f"{population}, with a TTL", (f"{ttl}",))):
        output = _run("-m", "benchmarks.memory.footprint", f"{waits}", f"{users}", *arguments)
        found = msgspec.json.decode(output, type=Footprint)
        method = found.method
        rows.append(
            Row(
                measurement="memory of a wait",
                contestant=name,
                value=found.bytes_each,
                unit="bytes",
                target=Target("value", "max", BYTES_TARGET),
            )
        )
    return rows, method


def measure_import(*, runs: int) -> tuple[list[Row], list[str]]:
    """Return what the import costs, and the top-level modules outside the standard library that it brings of its own."""
    statements = {"import greentic_session": "greentic_session", "import asyncio, msgspec, anyio": "asyncio, msgspec, anyio"}
    times: dict[str, list[float]] = {statement: [] for statement in statements}
    modules: dict[str, set[str]] = {}
    for run in range(runs + 1):
        for statement, names in statements.items() if run % 2 else reversed(statements.items()):
            took, *brought = _run("-c", _IMPORT.format(names=names)).decode().split()
            modules[statement] = set(brought)
            if run:  # the first may still have to compile
                times[statement].append(float(took) * 1000)
    ours, plain = statements
    medians = {statement: statistics.median(values) for statement, values in times.items()}
    measurement = "import, in a fresh interpreter"
    rows = [
        Row(
            measurement=measurement,
            contestant=ours,
            value=medians[ours],
            unit="ms",
            ratio=medians[ours] / medians[plain],
            ratio_of="x the plain import's time",
            target=Target("ratio", "max", IMPORT_TARGET),
        ),
        Row(measurement=measurement, contestant=plain, value=medians[plain], unit="ms"),
    ]
    extra = modules[ours] - modules[plain] - set(sys.stdlib_module_names) - {"greentic_session"}
    return rows, sorted(extra)
