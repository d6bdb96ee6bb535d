"""Calls that are more than one command: what goes ahead of it or behind it, in the same piece."""

import asyncio
from typing import Any

from .connection import Call
from .executor import Arg, Packed
from .packing import pack

__all__ = ["joined"]


def joined(
    packed: bytes,
    answer: "asyncio.Future[Any]",
    deadline: float,
    *,
    before: bytes | None,
    undo: tuple[Arg, ...] | None,
    ahead: tuple[Arg, ...] | Packed | None,
    behind: tuple[Arg, ...] | None,
) -> Call:
    """Return the call of a packed command with what goes ahead of it and behind it.

    The arguments are those of `RedisClient.call`.
    """
    call = Call(packed, answer, deadline, before=before, undo=undo, followed=behind is not None)
    parts = [packed]
    if isinstance(ahead, Packed):
        parts.insert(0, ahead.text)
        call.skipped = ahead.commands
    elif ahead is not None:
        # What comes `before` a command holds for that one only.
        parts[:0] = [pack(ahead)] if before is None else [pack(ahead), before]
        call.skipped = len(parts) - 1
    if behind is not None and before is None:
        parts.append(pack(behind))
    elif behind is not None:
        call.behind_missing = True
    call.packed = b"".join(parts)
    return call
