"""Latency from a delivery in one process to the first line of a handler in another."""

import asyncio
import sys
import time
from array import array
from collections.abc import Callable
from functools import partial

from benchmarks.harness.population import make_snapshot_for, prepare_wait
from benchmarks.harness.report import Row
from benchmarks.harness.samples import Sample, median_of
from benchmarks.harness.server import open_client

from .stores import Place

__all__ = ["measure_latency"]

_BUSY, _GO = b"busy\n", b"go\n"
_SNAPSHOT_BYTES = 1024


async def measure_latency(place: Place, *, calls: int, rounds: int, tick: Callable[[], object]) -> list[Row]:
    """Return a row for the latency, and on Redis one for a bare PING from the same process.

    The handler in the other process is busy with one reply when the next is delivered: that is
    queued, and the handler is told to go on. In the latency is the way through a pipe for that.
    """
    wait = prepare_wait(0, make_snapshot_for(_SNAPSHOT_BYTES))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.replies.worker",
        place.url,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    to_worker, from_worker = process.stdin, process.stdout
    assert to_worker is not None
    assert from_worker is not None
    latencies: list[Sample] = []
    try:
        async with place.store() as store:
            await store.register_wait(*wait)
            await store.deliver(*wait[:3], "first", claim=False)
            for round_ in range(rounds + 1):
                taken = array("q")
                for _ in range(calls):
                    await from_worker.readline()  # it is busy
                    began = time.monotonic_ns()
                    delivery = await store.deliver(*wait[:3], "next")
                    assert delivery.outcome == "queued"
                    to_worker.write(_GO)
                    taken.append(int(await from_worker.readline()) - began)
                if round_:
                    latencies.append(_sample(taken))
                tick()
    finally:
        to_worker.close()
        process.terminate()
        await process.wait()
    measurement = f"{place.backend}: from deliver to the handler in another process"
    rows = [_row(measurement, "queued while busy, then ready", latencies)]
    if place.server is not None:
        rows.append(_row(measurement, "PING", [await _ping(place.url, calls) for _ in range(rounds + 1)][1:]))
    return rows


async def _ping(url: str, calls: int) -> Sample:
    taken = array("q")
    async with open_client(url) as client:
        await client.ping()
        for _ in range(calls):
            began = time.monotonic_ns()
            await client.ping()
            taken.append(time.monotonic_ns() - began)
    return _sample(taken)


def _sample(taken: "array[int]") -> Sample:
    return Sample(calls=len(taken), wall_ns=sum(taken), latencies_ns=taken)


def _latency_us(percent: float, sample: Sample) -> float:
    return sample.latency_us(percent)


def _row(measurement: str, contestant: str, rounds: list[Sample]) -> Row:
    half, most = (median_of(rounds, partial(_latency_us, at)) for at in (50, 99))
    return Row(measurement=measurement, contestant=contestant, value=half, unit="us", p50=half, p99=most)
