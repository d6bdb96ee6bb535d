"""What encryption at rest adds to a call: ``python -m benchmarks.encryption``; ``--help`` lists the options.

- Sessions with a snapshot of 4 KiB: each call on an encrypted store beside the same call on the same kind of store without
  encryption, in memory (one task) and in Redis (`TASKS` tasks at once).
- Conversations in memory: an append of 1 KiB, and the last 20 messages.

It starts a Redis of its own; where none is found, those rows are left out. Contestants run in turns, a short block of calls
at a time, in one process (`_measure.interleave`). The table holds medians over the rounds; the overhead is the median of the
rounds' differences in processor time. A missed target is told, and is no failure of the run.
"""

import argparse
import asyncio
import random
import statistics
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from benchmarks.conversations.backends import PARTITION, make_message
from benchmarks.harness.command import QUICK, make_parser
from benchmarks.harness.measuring import Contestant, closed_loop, interleave, median_of
from benchmarks.harness.population import SNAPSHOT
from benchmarks.harness.report import Report, Row, Target, machine
from benchmarks.harness.server import Server, find_binary
from benchmarks.redis.sides import Parked, make_parked
from greentic_session import (
    InMemorySessionStore,
    RedisUrlWithNamespace,
    SessionStore,
    create_session_store,
)
from greentic_session.conversation import ConversationStore, InMemoryConversationStore, Message
from greentic_session.encryption import EncryptedConversationStore, EncryptedSessionStore, EncryptionKey, Keyring
from greentic_session.errors import UnavailableError

__all__ = ["main"]

LIMIT = 30.0
"""Microseconds of processor time that encryption may add to a call."""
PLAIN, ENCRYPTED, OVERHEAD = "plain", "encrypted", "overhead, processor time"
TASKS = 100
LAST = 20

NOTES = [
    "The overhead is the median of the rounds' differences between encrypted and plain, which ran side by side, in time of",
    "this process's processor: in memory nothing is waited for, so a call takes no longer, unless others need the machine.",
    "A plain store in memory copies nothing. In Redis's rows its server and the client share the cores.",
]
NO_SERVER = "No redis-server was found: nothing is measured in Redis."
MISSING = "cryptography is needed: python -m pip install -e '.[bench]'"

Run = Callable[[Sequence[Any]], Awaitable[Any]]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is measured: of every contestant so many calls in each of the rounds, a block of them in a turn."""

    calls: int = 1000
    rounds: int = 31
    block: int = 50
    redis_rounds: int = 15
    redis_block: int = 500


QUICKLY = Sizes(calls=60, rounds=2, block=20, redis_rounds=2, redis_block=30)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    return make_parser("benchmarks.encryption", "What encryption at rest costs.", few="rounds and calls").parse_args(argv)


def _one_by_one(call: Callable[[Any], Awaitable[object]]) -> Run:
    async def run(args: Sequence[Any]) -> None:
        for arg in args:
            await call(arg)

    return run


@dataclass(frozen=True, kw_only=True)
class _Bench:
    """How the calls of one measurement are made."""

    order: Sequence[int]
    rounds: int
    block: int
    tasks: int = 1

    async def overhead(self, measurement: str, args: Sequence[Any], plain: Any, encrypted: Any) -> list[Row]:
        """Return three rows: a call on the plain store, the same on the encrypted one, and what lies between."""
        pick = lambda n, _: args[n]
        run = _one_by_one if self.tasks == 1 else (lambda call: closed_loop(call, self.tasks))
        lineup = [
            Contestant(name=PLAIN, pick=pick, run=run(plain)),
            Contestant(name=ENCRYPTED, pick=pick, run=run(encrypted)),
        ]
        samples = await interleave(lineup, self.order, rounds=self.rounds, block=self.block)
        pairs = list(zip(samples[PLAIN], samples[ENCRYPTED], strict=True))
        rows = [
            Row(
                measurement=measurement,
                contestant=name,
                value=median_of(samples[name], lambda spent: spent.us),
                unit="us",
                cpu=median_of(samples[name], lambda spent: spent.cpu_us),
            )
            for name in (PLAIN, ENCRYPTED)
        ]
        added = Row(
            measurement=measurement,
            contestant=OVERHEAD,
            value=statistics.median(b.cpu_us - a.cpu_us for a, b in pairs),
            unit="us",
            target=Target("value", "max", LIMIT) if self.tasks == 1 else None,
        )
        return [*rows, added]


async def _sessions(where: str, plain: SessionStore, encrypted: SessionStore, bench: _Bench) -> list[Row]:
    parks = [make_parked(n, SNAPSHOT) for n in range(len(bench.order))]

    async def park(store: SessionStore, call: Parked) -> None:
        ctx, user, scope, key, data = call
        await store.register_wait(ctx, user, scope, key, data)

    async def find(store: SessionStore, call: Parked) -> None:
        ctx, user, scope, _, _ = call
        await store.find_wait(ctx, user, scope)

    async def get(store: SessionStore, call: Parked) -> None:
        await store.get_session(call[3])

    async def update(store: SessionStore, call: Parked) -> None:
        await store.update_session(call[3], call[4])

    for store in (plain, encrypted):
        for call in parks:
            await park(store, call)
    assert (await plain.get_session(parks[0][3])) == (await encrypted.get_session(parks[0][3])) == parks[0][4]
    rows: list[Row] = []
    named = (("register_wait", park), ("find_wait", find), ("get_session", get), ("update_session", update))
    for name, operation in named:
        calls = partial(operation, plain), partial(operation, encrypted)
        rows += await bench.overhead(f"{name} of 4 KiB, {where}", parks, *calls)
    return rows


async def _conversations(bench: _Bench) -> list[Row]:
    ring = Keyring(EncryptionKey.generate("k1"))
    message = make_message()
    ids = [f"conversation-{n}" for n in range(len(bench.order))]

    def append(store: ConversationStore[Message]) -> Callable[[str], Awaitable[object]]:
        return lambda name: store.append(PARTITION, name, message)

    def last(store: ConversationStore[Message]) -> Callable[[str], Awaitable[object]]:
        return lambda name: store.messages(PARTITION, name, last=LAST)

    async with (
        InMemoryConversationStore() as plain,
        EncryptedConversationStore(InMemoryConversationStore(), ring) as encrypted,
    ):
        for store in (plain, encrypted):
            for id in ids:
                await store.create(PARTITION, id=id)
                await store.append(PARTITION, id, *[message] * LAST)
        rows = await bench.overhead("append of 1 KiB, memory", ids, append(plain), append(encrypted))
        rows += await bench.overhead(f"the last {LAST} messages of 1 KiB, memory", ids, last(plain), last(encrypted))
        rows[-1].target = rows[-1].holds = None  # twenty texts are no call's worth
        return rows


async def _measure(sizes: Sizes, seed: int, redis_url: str | None) -> list[Row]:
    ring = Keyring(EncryptionKey.generate("k1"))
    order = list(range(sizes.calls))
    random.Random(seed).shuffle(order)
    bench = _Bench(order=order, rounds=sizes.rounds, block=sizes.block)
    async with InMemorySessionStore() as plain, EncryptedSessionStore(InMemorySessionStore(), ring) as encrypted:
        rows = await _sessions("memory", plain, encrypted, bench)
    rows += await _conversations(bench)
    if redis_url is not None:
        async with AsyncExitStack() as stack:
            configs = [RedisUrlWithNamespace(redis_url, name) for name in (PLAIN, ENCRYPTED)]
            stores = [create_session_store(config, default_wait_ttl=3600, timeout=60.0) for config in configs]
            in_redis = await stack.enter_async_context(stores[0])
            sealed = await stack.enter_async_context(EncryptedSessionStore(stores[1], ring))
            at_once = _Bench(order=order, rounds=sizes.redis_rounds, block=sizes.redis_block, tasks=TASKS)
            rows += await _sessions(f"Redis, {TASKS} tasks", in_redis, sealed, at_once)
    return rows


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    options = _arguments(argv)
    sizes = QUICKLY if options.quick else Sizes()
    if options.rounds:
        sizes = Sizes(rounds=options.rounds, redis_rounds=options.rounds)
    binary = find_binary()
    try:
        if binary is None:
            rows = asyncio.run(_measure(sizes, options.seed, None))
        else:
            with Server(binary) as server:
                rows = asyncio.run(_measure(sizes, options.seed, server.url))
    except UnavailableError as error:
        if "[encryption]" not in str(error):
            raise
        print(MISSING, file=sys.stderr)
        return 2
    report = Report(
        machine=machine("msgspec", "cryptography", "redis", "hiredis"),
        settings={**asdict(sizes), "snapshot": len(SNAPSHOT), "seed": options.seed, "quick": options.quick},
        rows=rows,
        findings={},
        notes=NOTES + [NO_SERVER] * (binary is None) + [QUICK] * options.quick,
    )
    report.hand_out(options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
