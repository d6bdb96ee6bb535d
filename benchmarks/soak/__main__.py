"""Soak test of the Redis store: ``python -m benchmarks.soak``; ``--help`` lists the options.

A hundred tasks make millions of calls on a throw-away server: all operations of a wait's life, over
and over, for the same users. The resident set of this process is sampled; it is flat if the median
of the last samples is at most 2 % above that of the first ones after warming up.
"""

import argparse
import asyncio
import sys
import time
from functools import partial

from benchmarks.harness.command import positive
from benchmarks.harness.measuring import closed_loop
from benchmarks.harness.population import USUAL_BYTES, PreparedWait, make_snapshot_for, prepare_wait
from benchmarks.harness.resident_set import IS_KNOWN, resident_set_bytes
from benchmarks.harness.server import HOW_TO_GET_ONE, Server, find_binary
from benchmarks.harness.store import open_store, register
from greentic_session import RedisSessionStore

from .growth import MAX_GROWTH, growth_of

__all__ = ["main", "parse_arguments"]

_USERS = 1000
_TASKS = 100
_OPERATIONS_PER_LIFE = 8
"""Number of operations of `_live`."""
_SAMPLES = 100
_TTL_S, _TOUCHED_TTL_S = 3600, 7200
_MIB = 2**20


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description="Soak test of the Redis store.")
    parser.add_argument(
        "--operations", type=positive, default=10_000_000, help="number of operations (default: %(default)s)"
    )
    return parser.parse_args(argv)


async def _live(store: RedisSessionStore, wait: PreparedWait) -> None:
    ctx, user, scope, key, data = wait
    await register(store, wait, _TTL_S)
    await store.find_wait(ctx, user, scope)
    await store.get_session(key, ctx=ctx)
    await store.update_session(key, data)
    await store.touch(key, _TOUCHED_TTL_S)
    await store.list_waits_for_user(ctx, user)
    claim = await store.claim_wait(ctx, user, scope)
    assert claim is not None
    await claim.complete()


async def _soak(url: str, operations: int) -> list[int]:
    snapshot = make_snapshot_for(USUAL_BYTES)
    lives = max(1, operations // _OPERATIONS_PER_LIFE)
    lives_per_sample = max(1, lives // _SAMPLES)
    samples: list[int] = []
    began = time.perf_counter()
    async with open_store(url) as store:
        await register(store, prepare_wait(0, snapshot))
        done = 0
        while done < lives:
            until = min(done + lives_per_sample, lives)
            for start in range(done, until, _USERS):  # no user twice at once
                waits = [prepare_wait(n % _USERS, snapshot) for n in range(start, min(start + _USERS, until))]
                await closed_loop(partial(_live, store), _TASKS)(waits)
            done = until
            samples.append(resident_set_bytes())
            made = done * _OPERATIONS_PER_LIFE
            rate = made / (time.perf_counter() - began)
            print(f"{made:>12,} operations  {rate:>8,.0f}/s  {samples[-1] / _MIB:8.2f} MiB", flush=True)
    return samples


def main(argv: list[str] | None = None) -> int:
    """Run the soak test, and return the exit code: 1 if the memory grew."""
    options = parse_arguments(argv)
    binary = find_binary()
    if binary is None or not IS_KNOWN:
        print(HOW_TO_GET_ONE if binary is None else "the resident set is read from /proc: Linux only", file=sys.stderr)
        return 2
    with Server(binary) as server:
        growth = growth_of(asyncio.run(_soak(server.url, options.operations)))
    print(
        f"resident set: {growth.early / _MIB:.2f} MiB after warming up, {growth.late / _MIB:.2f} MiB at the end, "
        f"growth {growth.part:+.1%}: {'flat' if growth.is_flat else 'NOT FLAT'} (flat is below {MAX_GROWTH:.0%})"
    )
    return 0 if growth.is_flat else 1


if __name__ == "__main__":
    sys.exit(main())
