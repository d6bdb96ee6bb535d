"""Reads by plain commands in one MULTI block, of which the server has less work than of a script.

No text passes through Lua, which would copy and hash every byte. What a block has read is of one
moment; whoever sends it compares what must hold, and asks a script where that does not.
"""

from collections.abc import Awaitable
from time import monotonic
from typing import Any, Final

from redis.exceptions import ResponseError

from greentic_session.errors import GreenticError

from .answers import foreign
from .executor import Arg, Executor, Packed

__all__ = ["EXEC", "MULTI", "Blocks"]

_REFUSED_PAUSE_S: Final = 600.0
"""For how many seconds no block is sent after the server has refused one.

Its user may lack the rights to MULTI and EXEC; somebody may grant them.
"""
_REFUSALS: Final = ("NOPERM", "ERR unknown command", "ERR EXEC without MULTI")
MULTI: Final = b"*1\r\n$5\r\nMULTI\r\n"
EXEC: Final = b"*1\r\n$4\r\nEXEC\r\n"
_ANSWERS: Final = (list,)


class Blocks:
    """Sends blocks to one server, as long as that takes them.

    A cluster takes none: an answer there may say that a slot has moved, command by command.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._not_before_s = 0.0

    @property
    def may_be_sent(self) -> bool:
        """Whether the server takes blocks, for all that is known."""
        return not self._not_before_s or monotonic() >= self._not_before_s

    def send(self, block: bytes, count: int, key: Arg) -> Awaitable[list[Any]]:
        """Send a block, to be awaited for its answers; who awaits it tells `refused` of an error.

        Args:
            block: From `MULTI` to `EXEC`, packed.
            count: How many commands are within.
            key: The key by which the length of what they answer is remembered.
        """
        return self._executor.call(Packed(block, count + 2, ("EXEC", key)), repeatable=True, answers=_ANSWERS)

    def refused(self, error: GreenticError) -> None:
        """Note that a block has failed; where the server has refused it, a script tells why.

        Raises:
            GreenticError: The error, if it is another one.
        """
        if not isinstance(error.__cause__, ResponseError):
            raise error
        if str(error.__cause__).startswith(_REFUSALS):
            self._not_before_s = monotonic() + _REFUSED_PAUSE_S

    async def read(self, commands: bytes, count: int, key: Arg) -> list[Any] | None:
        """Return the answers to commands that only read; None if the server has refused them.

        Args:
            commands: The commands, packed.
            count: How many there are.
            key: The key by which the length of what they answer is remembered.
        """
        try:
            found = await self.send(MULTI + commands + EXEC, count, key)
        except GreenticError as error:
            self.refused(error)
            return None
        if len(found) != count:
            raise foreign()
        return found
