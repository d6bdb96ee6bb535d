"""Large texts on their way to and from Redis, past Lua, which would copy and hash every byte.

A text that is written goes ahead of its script, in the same piece: it is SET under a key of its own
with a life of seconds, and the script, once it has decided, RENAMEs it. A text that is read is
copied by the script to such a key, which the next command of the same piece reads and deletes.
These keys mean nothing to anybody else; of a client that dies in between they end by themselves.
"""

import os
from collections.abc import Awaitable
from itertools import count
from typing import Any, Final

from greentic_session._redis.executor import Arg, Executor, Pieces
from greentic_session._redis.scripts import Script

from .keys import Keys

__all__ = ["STAGED_BYTES", "STAGED_MS", "Storing", "new_nonce", "stage", "take"]

STAGED_BYTES: Final = 2048
"""From how many bytes on a text is staged; below, the way through Lua costs less.

The server's instructions are fewer from 1.2 KiB on; the client pays for the second command. The
same number stands in `lua/includes/staging.lua`.
"""
STAGED_MS: Final = 5000
"""For how many milliseconds a text is staged at most."""
_SET_HEAD: Final = b"*5\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n"
_SET_END: Final = b"\r\n$2\r\nPX\r\n$%d\r\n%d\r\n" % (len(str(STAGED_MS)), STAGED_MS)


class _Nonces:
    """Names that nobody else has: a random one of this process, and a number."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Go on with a new random name."""
        self.process = os.urandom(12).hex()
        self.numbers = count()


_nonces = _Nonces()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_nonces.begin)


def new_nonce() -> str:
    """Return a name for a staged text that no other one ever has."""
    return f"{_nonces.process}{next(_nonces.numbers)}"


def stage(key: str, text: bytes) -> Pieces:
    """Return the command that stages a text, packed in pieces: so the text is copied once."""
    name = key.encode()
    return _SET_HEAD % (len(name), name, len(text)), text, _SET_END


def take(key: str) -> tuple[Arg, ...]:
    """Return the command that reads and deletes what a script has staged."""
    return ("GETDEL", key)


class Storing:
    """A script that stores a text, which goes past Lua if it is large.

    Args:
        script: The script.
        text: Which of its words is the text, or the nonce under which it is staged.
        size: Which of its words is the length in bytes of a staged text; "" if it is not staged.
    """

    def __init__(self, script: Script, *, text: int, size: int) -> None:
        self._script = script
        self._text = text
        self._size = size

    def start(
        self, executor: Executor, names: Keys, keys: int, words: tuple[Arg, ...], undo: tuple[Arg, ...] | None = None
    ) -> Awaitable[Any]:
        """Run it, to be awaited for what it returns: ``{"unstaged"}`` where to `repeat` it.

        Args:
            executor: The way there.
            names: The keys of the namespace.
            keys: How many of the words are keys.
            words: The keys, and what else it is given: the text, and "" as its length.
            undo: As for `RedisClient.call`.
        """
        text: Any = words[self._text]
        if len(text) < STAGED_BYTES:
            return self._script.run(executor, keys, words, undo)
        nonce = new_nonce()
        staged = [*words]
        staged[self._text], staged[self._size] = nonce, len(text)
        return self._script.run(executor, keys, staged, undo, ahead=stage(names.staged(nonce), text))

    def repeat(
        self, executor: Executor, keys: int, words: tuple[Arg, ...], undo: tuple[Arg, ...] | None = None
    ) -> Awaitable[Any]:
        """Run it with the text among its words, after the staged text was gone.

        The server was full, stood still, or has evicted it: the script tells which by writing it.
        The arguments are those of `start`.
        """
        return self._script.run(executor, keys, words, undo)

    async def run(
        self, executor: Executor, names: Keys, keys: int, words: tuple[Arg, ...], undo: tuple[Arg, ...] | None = None
    ) -> list[Any]:
        """Run it, twice if need be, and return what it returns.

        A word alone, which costs Redis less, is returned in a list. The arguments are those of
        `start`.
        """
        answer = await self.start(executor, names, keys, words, undo)
        if answer[0] == b"unstaged":
            answer = await self.repeat(executor, keys, words, undo)
        return [answer] if type(answer) is bytes else answer
