"""Does the Redis store keep what it used? ``python -m benchmarks.soak``; ``--help`` lists the options.

Millions of operations at full speed, by a hundred tasks, on a Redis of its own: every operation of a flow's life, over and
over, for the same users. The resident set of this process is sampled all along. It is flat if the median of the last
samples is not noticeably above that of the first ones after warming up.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.harness.measuring import closed_loop
from benchmarks.harness.population import make_snapshot_for
from benchmarks.harness.resident_set import IS_KNOWN, resident_set
from benchmarks.harness.server import HOW_TO_GET_ONE, Server, find_binary
from benchmarks.redis.operations import USUAL
from benchmarks.redis.ours import open_store, register
from benchmarks.redis.sides import Parked, make_parked
from greentic_session import RedisSessionStore

__all__ = ["Flatness", "growth", "main"]

USERS = 1000
TASKS = 100
IN_A_LIFE = 8
"""Operations from parking to completing, as `_live` does them."""
SAMPLES = 100
WARM_UP = 0.2
"""Which part of the samples is warming up: the allocator's pools, the server's answers of every length."""
ALLOWED = 0.02


@dataclass(frozen=True)
class Flatness:
    """What the samples say: from which median to which, in bytes."""

    early: float
    late: float

    @property
    def growth(self) -> float:
        return self.late / self.early - 1

    @property
    def is_flat(self) -> bool:
        return self.growth < ALLOWED


def growth(samples: Sequence[float]) -> Flatness:
    """Compare the first quarter of what follows the warming up with the last quarter."""
    counted = samples[int(len(samples) * WARM_UP) :]
    quarter = max(1, len(counted) // 4)
    return Flatness(statistics.median(counted[:quarter]), statistics.median(counted[-quarter:]))


async def _live(store: RedisSessionStore, wait: Parked) -> None:
    ctx, user, scope, key, data = wait
    await store.register_wait(ctx, user, scope, key, data, 3600)
    await store.find_wait(ctx, user, scope)
    await store.get_session(key, ctx=ctx)
    await store.update_session(key, data)
    await store.touch(key, 7200)
    await store.list_waits_for_user(ctx, user)
    claim = await store.claim_wait(ctx, user, scope)
    assert claim is not None
    await claim.complete()


async def _soak(url: str, operations: int) -> list[int]:
    snapshot = make_snapshot_for(USUAL)
    lives = max(1, operations // IN_A_LIFE)
    block = max(1, lives // SAMPLES)
    samples: list[int] = []
    began = time.perf_counter()
    async with open_store(url) as store:
        await register(store, make_parked(0, snapshot))
        done = 0
        while done < lives:
            until = min(done + block, lives)
            for start in range(done, until, USERS):  # nobody twice at once
                waits = [make_parked(n % USERS, snapshot) for n in range(start, min(start + USERS, until))]
                await closed_loop(partial(_live, store), TASKS)(waits)
            done = until
            samples.append(resident_set())
            rate = done * IN_A_LIFE / (time.perf_counter() - began)
            print(f"{done * IN_A_LIFE:>12,} operations  {rate:>8,.0f}/s  {samples[-1] / 2**20:8.2f} MiB", flush=True)
    return samples


def main(argv: list[str] | None = None) -> int:
    """Soak, print, and return the exit code: 1 if the memory grew."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description="Does the Redis store keep memory?")
    parser.add_argument("--operations", type=int, default=10_000_000, help="how many (default: %(default)s)")
    options = parser.parse_args(argv)
    binary = find_binary()
    if binary is None or not IS_KNOWN:
        print(HOW_TO_GET_ONE if binary is None else "the resident set is read from /proc: Linux only", file=sys.stderr)
        return 2
    with Server(binary) as server:
        found = growth(asyncio.run(_soak(server.url, options.operations)))
    print(
        f"resident set: {found.early / 2**20:.2f} MiB after warming up, {found.late / 2**20:.2f} MiB at the end, "
        f"growth {found.growth:+.1%}: {'flat' if found.is_flat else 'NOT FLAT'} (flat is below {ALLOWED:.0%})"
    )
    return 0 if found.is_flat else 1


if __name__ == "__main__":
    sys.exit(main())
