"""JSON of a session: encoding and decoding it, beside the standard library on the same content."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from benchmarks.harness.measuring import interleave
from benchmarks.harness.population import make_ctx, make_data, make_snapshot_for
from benchmarks.harness.report import Row
from benchmarks.harness.results import size_text
from benchmarks.harness.samples import median_of, median_ratio, times_us
from greentic_session import SessionData

from .steps import synchronous

__all__ = ["SIZES", "measure_json"]

SIZES = (512, 4096, 65_536)
"""Sizes of a session's text in bytes."""
_BLOCK_CALLS = 50
_OURS, _STANDARD = "to_json + from_json", "json.dumps + json.loads"


def _always(value: Any, _: int) -> Any:
    return value


async def measure_json(*, calls: int, rounds: int, tick: Callable[[], object]) -> list[Row]:
    """Return the time of encoding and decoding sessions of several sizes."""
    rows: list[Row] = []
    for size in SIZES:
        data = make_data(make_ctx(0), make_snapshot_for(size))
        content = msgspec.to_builtins(data)
        assert json.loads(data.to_json()) == content
        lineup = [
            synchronous(_OURS, lambda data: SessionData.from_json(data.to_json()), partial(_always, data)),
            synchronous(_STANDARD, lambda content: json.loads(json.dumps(content)), partial(_always, content)),
        ]
        samples = await interleave(lineup, range(calls), rounds=rounds, block=_BLOCK_CALLS, tick=tick)
        measurement = f"JSON there and back, {size_text(size)}"
        rows += [
            Row(
                measurement=measurement,
                contestant=name,
                value=median_of(sample, lambda each: each.us_per_call),
                unit="us",
            )
            for name, sample in samples.items()
        ]
        rows[-1].ratio = median_ratio(times_us(samples[_STANDARD]), times_us(samples[_OURS]))
        rows[-1].ratio_of = "ours: x its speed"
    return rows
