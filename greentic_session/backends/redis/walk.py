"""Walks over the keys of one server, without ever blocking it."""

import re
from collections.abc import AsyncIterator, Callable

from greentic_session.transport.link import Link

__all__ = ["SCANNED", "walk"]

SCANNED = 500
"""How many keys Redis looks at in one step."""


async def walk(
    link: Link, prefix: bytes, rest: bytes, check_open: Callable[[], None], kind: str = "string"
) -> AsyncIterator[list[bytes]]:
    """Yield the keys that begin with `prefix`, a few at a time; some perhaps twice.

    Args:
        link: The server.
        prefix: How the keys begin.
        rest: How they go on, as a pattern of Redis's.
        check_open: Raises where the store is closed.
        kind: What type of value they hold.
    """
    pattern = re.sub(rb"([\\\[\]*?^-])", rb"\\\1", prefix) + rest + b"*"
    cursor: bytes = b"0"
    while True:
        check_open()
        cursor, found = await link.call("SCAN", cursor, "MATCH", pattern, "COUNT", SCANNED, "TYPE", kind, repeatable=True)
        yield list(dict.fromkeys(found))
        if cursor == b"0":
            return
