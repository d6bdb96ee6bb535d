"""The choice of a connection for a call: short calls do not wait behind long ones.

Long calls never have all connections: one stays free for short calls, which else would stand behind
megabytes. A command shows its length. Of an answer it is taken for granted that it is as long as
the last one to the same command about the same key was. While long calls wait, short ones leave one
connection to them in turn.
"""

from collections.abc import Sequence

from .connection import LONG_BYTES, Call, SharedConnection
from .executor import Arg

__all__ = ["MAX_LONG_KEYS", "CallLengths", "choose", "may_be_long"]

MAX_LONG_KEYS = 1024
"""Limit of the keys that are remembered to have long answers."""


class CallLengths:
    """Lengths of calls: that of a command is measured, that of its answer is learnt.

    An answer is taken to be long if the last one to the same command or script about the same first
    key was.

    Attributes:
        known: By what such calls are remembered; mostly there are none.
    """

    def __init__(self) -> None:
        self.known: dict[tuple[Arg, Arg], None] = {}

    def is_long(self, command: tuple[Arg, ...], packed: bytes) -> bool:
        """Say whether a command is long, or its answer will be, for all that is known."""
        return len(packed) > LONG_BYTES or _about(command) in self.known

    def learn(self, command: tuple[Arg, ...], *, long: bool) -> None:
        """Remember whether the answer to a command was long."""
        about, known = _about(command), self.known
        known.pop(about, None)
        if long:
            known[about] = None
            if len(known) > MAX_LONG_KEYS:
                del known[next(iter(known))]


def choose(
    connections: Sequence[SharedConnection], most: int, call: Call, *, long_waits: bool = False
) -> SharedConnection | None:
    """Return the connection that a call should take; None if it has to wait.

    Args:
        connections: Those that there are.
        most: How many there may be.
        call: The call.
        long_waits: Whether long calls wait; then one connection is left to them in turn.
    """
    if call.long:
        free = (connection for connection in connections if connection.is_free())
        return next(free, None) if may_be_long(connections, most) else None
    kept = None
    if long_waits and len(connections) >= most and may_be_long(connections, most):
        kept = next((each for each in reversed(connections) if not each.is_long()), None)
    for connection in connections:
        if len(connection.pending) < connection.room and connection is not kept:
            return connection
    return None


def may_be_long(connections: Sequence[SharedConnection], most: int) -> bool:
    """Say whether one more connection may carry a long call.

    One is for short ones, if there are two.
    """
    return most == 1 or sum(each.is_long() for each in connections) < most - 1


def _about(command: tuple[Arg, ...]) -> tuple[Arg, Arg]:
    """Return what a length is remembered by: the command or the script, and the first key."""
    if command[0] == "EVALSHA":
        return command[1], command[3]
    return command[0], command[1] if len(command) > 1 else ""
