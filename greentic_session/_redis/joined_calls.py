"""Calls that are more than one command: what goes ahead of it or behind it, in the same write."""

from .connection import Call
from .executor import Arg, Pieces
from .packing import pack

__all__ = ["join"]


def join(call: Call, ahead: Pieces | None, behind: tuple[Arg, ...] | None) -> None:
    """Let a call that was not sent yet have what goes ahead of it and behind it.

    The arguments are those of `RedisClient.call`.
    """
    if behind is not None:
        call.followed = True
        if call.before is None:
            call.packed += pack(behind)
        else:
            call.behind_missing = True
    if ahead is not None:
        call.skipped = 1
        if call.before is not None:  # it holds for the next command only
            ahead = (*ahead, call.before)
            call.skipped = 2
        call.packed = b"".join((*ahead, call.packed))
