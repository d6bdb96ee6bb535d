"""Walks over the keys of one server, without ever blocking it."""

import re
from collections.abc import AsyncIterator, Callable

from greentic_session.transport.link import Link

__all__ = ["walk"]

_SCANNED = 500
"""How many keys Redis looks at in one step."""


async def walk(link: Link, prefix: bytes, rest: bytes, check_open: Callable[[], None]) -> AsyncIterator[list[bytes]]:
    """Yield the texts whose keys begin with `prefix`, a few at a time; some perhaps twice.

    Args:
        link: The server.
        prefix: How the keys begin.
        rest: How they go on, as a pattern of Redis's.
        check_open: Raises where the store is closed.
    """
    pattern = re.sub(rb"([\\\[\]*?^-])", rb"\\\1", prefix) + rest + b"*"
    cursor: bytes = b"0"
    while True:
        check_open()
        cursor, found = await link.call(
            "SCAN", cursor, "MATCH", pattern, "COUNT", _SCANNED, "TYPE", "string", repeatable=True
        )
        yield list(dict.fromkeys(found))
        if cursor == b"0":
            return
