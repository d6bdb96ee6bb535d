"""Walking the keys of a server with SCAN, a few at a time, while others go on; and doing several things at once."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from .link import Link

__all__ = ["glob_of", "together", "walk", "walk_along"]

_SCANNED = 500
"""How many keys Redis looks at in one step."""
_AT_ONCE = 8
"""How many calls of a walk are under way at once: more would make others wait."""


def glob_of(prefix: str, rest: str = "*") -> bytes:
    """Return the pattern of SCAN for keys that begin with a text, which may hold any character, and go on like `rest`."""
    return re.sub(rb"([\\\[\]*?^-])", rb"\\\1", prefix.encode()) + rest.encode()


async def together(*calls: Awaitable[Any]) -> list[Any]:
    """Make calls at once, and return when all have ended.

    Raises:
        BaseException: What the first of them that failed raised.
    """
    answers = await asyncio.gather(*calls, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers


async def walk(link: Link, pattern: bytes, *more: str) -> AsyncIterator[list[bytes]]:
    """Yield the keys that a pattern names, a few at a time. SCAN may name one twice.

    Args:
        link: To which server.
        pattern: As SCAN has it.
        more: More arguments of SCAN: ``"TYPE", "string"``.
    """
    cursor = b"0"
    while True:
        cursor, keys = await link.call("SCAN", cursor, "MATCH", pattern, "COUNT", _SCANNED, *more, repeatable=True)
        if keys:
            yield keys
        if cursor == b"0":
            return


async def walk_along(
    link: Link, pattern: bytes, read: Callable[[list[bytes]], Awaitable[None]], *more: str, step: int
) -> None:
    """Hand the keys that a pattern names to `read`, each once and so many in a call, several calls at once.

    Args:
        link: To which server.
        pattern: As SCAN has it.
        read: What is to be done with some keys; it changes nothing.
        more: More arguments of SCAN.
        step: How many keys a call is given, at most.
    """
    seen: set[int] = set()  # hashes of 64 bits take a quarter of the keys' space; two alike among millions are unheard of
    waiting: list[Awaitable[None]] = []
    try:
        async for keys in walk(link, pattern, *more):
            fresh = [key for key in dict.fromkeys(keys) if hash(key) not in seen]
            seen.update(map(hash, fresh))
            waiting += [read(fresh[start : start + step]) for start in range(0, len(fresh), step)]
            while len(waiting) >= _AT_ONCE:
                now, waiting = waiting[:_AT_ONCE], waiting[_AT_ONCE:]
                await together(*now)
        now, waiting = waiting, []
        await together(*now)
    finally:
        for call in waiting:
            if asyncio.iscoroutine(call):
                call.close()
