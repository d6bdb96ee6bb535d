"""Walks over the keys of a server with SCAN in short steps, and concurrent calls."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeVar

from .executor import Executor, ServerExecutor

__all__ = ["glob_of", "stride", "together", "walk", "walk_along", "walk_servers"]

T = TypeVar("T")

_SCAN_COUNT_PER_STEP = 500
"""How many keys Redis looks at in one step of a walk that stops for every step."""
_SCAN_COUNT_PER_STRIDE = 1000
"""The same for one that is made for its length.

A few milliseconds, where the pattern names them all.
"""


def glob_of(prefix: str, rest: str = "*") -> bytes:
    """Return the pattern of SCAN for keys with a literal prefix, which go on like `rest`."""
    return re.sub(rb"([\\\[\]*?^-])", rb"\\\1", prefix.encode()) + rest.encode()


async def together(*calls: Awaitable[Any]) -> list[Any]:
    """Make calls at once, and return when all have ended.

    Raises:
        BaseException: What the first of them that failed raised.
    """
    if len(calls) == 1:
        return [await calls[0]]  # without a task
    answers = await asyncio.gather(*calls, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers


async def walk(
    client: ServerExecutor, pattern: bytes, *more: str, looked: Callable[[int], None] | None = None
) -> AsyncIterator[list[bytes]]:
    """Yield the keys that a pattern names, a few at a time. SCAN may name one twice.

    Args:
        client: To which server.
        pattern: As SCAN has it.
        more: More arguments of SCAN: ``"TYPE", "string"``.
        looked: Told of how many keys were looked at in a step, roughly.
    """
    cursor = b"0"
    while True:
        cursor, keys = await client.call(
            ("SCAN", cursor, "MATCH", pattern, "COUNT", _SCAN_COUNT_PER_STEP, *more), repeatable=True
        )
        if looked is not None:
            looked(_SCAN_COUNT_PER_STEP)
        if keys:
            yield keys
        if cursor == b"0":
            return


async def walk_servers(
    client: Executor, pattern: bytes, *more: str, looked: Callable[[int], None] | None = None
) -> AsyncIterator[list[bytes]]:
    """Yield the keys that a pattern names on all servers, some perhaps twice; else as `walk`.

    If slots have moved meanwhile, perhaps from a node that was yet to be asked to one that had
    been, all nodes are asked again.
    """
    while True:
        servers = await client.servers()
        before = client.owners()
        for server in servers:
            async for keys in walk(server, pattern, *more, looked=looked):
                yield keys
        await client.servers()
        if client.owners() == before:
            return


async def stride(
    client: ServerExecutor, pattern: bytes, do: Callable[[list[bytes]], Awaitable[T]], *more: str, step: int
) -> AsyncGenerator[list[T], None]:
    """Call `do` with the keys of a pattern, in batches, each key once; yield what it returns.

    One call at a time: others wait for one step of the server, and not for several that it does in
    one go. The next keys are looked for beside the first. Whoever leaves early closes the
    generator.

    Args:
        client: To which server.
        pattern: As SCAN has it.
        do: What is to be done with some keys.
        more: More arguments of SCAN.
        step: How many keys a call is given, at most.
    """
    seen: set[int] = set()  # hashes of 64 bits take a quarter of the keys' space; two alike among millions are unheard of
    cursor, steps = b"0", list[list[bytes]]()
    while True:
        scan = client.call(("SCAN", cursor, "MATCH", pattern, "COUNT", _SCAN_COUNT_PER_STRIDE, *more), repeatable=True)
        (cursor, keys), *done = await together(scan, *map(do, steps[:1]))
        done += [await do(names) for names in steps[1:]]
        fresh = [key for key in dict.fromkeys(keys) if hash(key) not in seen]
        seen.update(map(hash, fresh))
        steps = [fresh[start : start + step] for start in range(0, len(fresh), step)]
        if done:
            yield done
        if cursor == b"0":
            break
    if steps:
        yield [await do(names) for names in steps]


async def walk_along(
    client: ServerExecutor, pattern: bytes, read: Callable[[list[bytes]], Awaitable[None]], *more: str, step: int
) -> None:
    """Hand the keys that a pattern names to `read`, which returns nothing; else as `stride`."""
    async with aclosing(stride(client, pattern, read, *more, step=step)) as strides:
        async for _ in strides:
            pass
