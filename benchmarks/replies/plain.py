"""Plain operations in memory beside those of an earlier commit, which had no replies.

Both run in processes of their own, in turns; the figure is the least processor time of a block.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.harness.report import Row

__all__ = ["measure_plain"]

_PROGRAM = Path(__file__).parent / "plain_calls.py"
_ROOT = Path(__file__).parent.parent.parent


def measure_plain(before: Path | None, *, users: int, rounds: int, tick: Callable[[], object]) -> list[Row]:
    """Return a row for each operation, and for the same one of an earlier commit.

    Args:
        before: A checkout of that commit; None to measure ours only.
        users: How many calls a block has.
        rounds: How many processes of either there are, in turns.
        tick: Called after each process.
    """
    sides = {"now": _ROOT} | ({} if before is None else {"before": before})
    taken: dict[str, dict[str, list[float]]] = {}
    for _ in range(rounds):
        for side, root in sides.items():
            # -P: else the folder of the program would be where packages are looked for first.
            command = [sys.executable, "-P", str(_PROGRAM), str(users)]
            done = subprocess.run(command, check=True, capture_output=True, env={"PYTHONPATH": str(root)})
            for operation, us in json.loads(done.stdout).items():
                taken.setdefault(operation, {}).setdefault(side, []).append(us)
            tick()
    rows = []
    for operation, by_side in taken.items():
        for side, figures in by_side.items():
            row = Row(
                measurement=f"memory: {operation}", contestant=side, value=statistics.median(figures), unit="us of CPU"
            )
            if side == "before":
                row.ratio = statistics.median(a / b for a, b in zip(by_side["now"], figures, strict=True))
                row.ratio_of = "now: x its time"
            rows.append(row)
    return rows
