"""Benchmark of encryption: ``python -m benchmarks.encryption``; ``--help`` lists the options.

The same calls on an encrypted and on a plain store: sessions with a snapshot of 4 KiB in memory
(one task) and in Redis (100 tasks), and conversations in memory (append of 1 KiB, last 20
messages). Without a redis-server the rows of Redis are left out.
"""

import argparse
import asyncio
import random
import sys
from contextlib import AsyncExitStack

from benchmarks.harness.command import Outcome, make_parser, publish
from benchmarks.harness.population import SNAPSHOT
from benchmarks.harness.report import Row
from benchmarks.harness.server import Server, find_binary
from benchmarks.harness.sizes import Sizes, usual
from benchmarks.harness.store import open_store
from greentic_session import InMemorySessionStore
from greentic_session.conversation import InMemoryConversationStore
from greentic_session.encryption import EncryptedConversationStore, EncryptedSessionStore, EncryptionKey, Keyring
from greentic_session.errors import UnavailableError

from .overhead import Overhead, measure_conversations, measure_sessions

__all__ = ["main", "parse_arguments"]

_REDIS_TASKS = 100
_REDIS_TTL_S = 3600.0
_NOTES = [
    "The overhead is the median of the rounds' differences between encrypted and plain, which ran side by side, in time of",
    "this process's processor: in memory nothing is waited for, so a call takes no longer, unless others need the machine.",
    "A plain store in memory copies nothing. In Redis's rows its server and the client share the cores.",
]
_NO_SERVER = "No redis-server was found: nothing is measured in Redis."
_MISSING = "cryptography is needed: python -m pip install -e '.[bench]'"


class _Sizes(Sizes):
    """Sizes of a run.

    Attributes:
        calls: Number of calls of a contestant in a round.
        rounds: Number of rounds that count, in memory.
        block: Number of calls in a turn, in memory.
        redis_rounds: Number of rounds that count, in Redis.
        redis_block: Number of calls in a turn, in Redis.
    """

    calls: int = usual(1000, quick=60)
    rounds: int = usual(31, quick=2)
    block: int = usual(50, quick=20)
    redis_rounds: int = usual(15, quick=2)
    redis_block: int = usual(500, quick=30)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = make_parser("benchmarks.encryption", "Benchmark of encryption at rest.", few="rounds and calls")
    return parser.parse_args(argv)


async def _measure(sizes: _Sizes, seed: int, redis_url: str | None) -> list[Row]:
    ring = Keyring(EncryptionKey.generate("k1"))
    order = list(range(sizes.calls))
    random.Random(seed).shuffle(order)
    in_memory = Overhead(order=order, rounds=sizes.rounds, block=sizes.block)
    in_redis = Overhead(order=order, rounds=sizes.redis_rounds, block=sizes.redis_block, tasks=_REDIS_TASKS)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        plain = await enter(InMemorySessionStore())
        encrypted = await enter(EncryptedSessionStore(InMemorySessionStore(), ring))
        rows = await measure_sessions("memory", plain, encrypted, in_memory)
        conversations = await enter(InMemoryConversationStore())
        encrypted_conversations = await enter(EncryptedConversationStore(InMemoryConversationStore(), ring))
        rows += await measure_conversations(conversations, encrypted_conversations, in_memory)
        if redis_url is not None:
            plain_in_redis = await enter(open_store(redis_url, "plain", default_wait_ttl=_REDIS_TTL_S))
            inner = open_store(redis_url, "encrypted", default_wait_ttl=_REDIS_TTL_S)
            encrypted_in_redis = await enter(EncryptedSessionStore(inner, ring))
            rows += await measure_sessions(f"Redis, {_REDIS_TASKS} tasks", plain_in_redis, encrypted_in_redis, in_redis)
    return rows


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark, and return the exit code."""
    options = parse_arguments(argv)
    options.redis_rounds = options.rounds
    sizes = _Sizes.chosen(options)
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
        print(_MISSING, file=sys.stderr)
        return 2
    outcome = Outcome(
        rows=rows,
        settings={**sizes.as_settings(), "snapshot": len(SNAPSHOT)},
        notes=_NOTES + [_NO_SERVER] * (binary is None),
        distributions=("msgspec", "cryptography", "redis", "hiredis"),
    )
    publish(options, outcome)
    return 0


if __name__ == "__main__":
    sys.exit(main())
