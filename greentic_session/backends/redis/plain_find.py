"""Finding a wait by plain commands in one MULTI block, of which the server has a third of the work.

A client that has parked, found or claimed a wait remembers the session's key. So it asks at once
for all that tells whether the session waits there still, as `lua/includes/fast_path.lua` does, and
for its text: no script runs, nothing is written, and no text passes through Lua. Where all is as
usual that is the answer. Where it is not (another session waits there by now, the Rust crate has
written), it says so, and the script `find` is asked: then a find takes two round trips. So blocks
are sent only as long as they mostly answer.

A cluster has none of this: an answer there may say that a slot has moved, command by command.
"""

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, Final

from redis.exceptions import ResponseError

from greentic_session._redis.answers import foreign
from greentic_session._redis.executor import Executor, Packed
from greentic_session.errors import GreenticError

from .keys import SCOPE_HASH_FIELD, Keys

__all__ = ["PlainFind"]

_SLACK_MS = 5
"""Largest difference of two lifetimes that count as one, as in `lua/includes/fast_path.lua`."""
_MAX_REMEMBERED = 16_384
"""Limit of the waits that are remembered."""
_PRICE_OF_A_MISS = 16
"""How many finds go by the script after a block that did not answer, for the time that it took."""
_REFUSED_PAUSE_S = 600.0
"""For how many seconds no block is sent after the server has refused one.

Its user may lack the rights to MULTI and EXEC; somebody may grant them.
"""
_REFUSALS = ("NOPERM", "ERR unknown command", "ERR EXEC without MULTI")
_BLOCK: Final = b"".join(
    [
        b"*1\r\n$5\r\nMULTI\r\n",
        b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n",  # the scope
        b"*2\r\n$4\r\nPTTL\r\n$%d\r\n%b\r\n",  # the user's set
        b"*2\r\n$4\r\nPTTL\r\n$%d\r\n%b\r\n",  # our record
        b"*3\r\n$4\r\nHGET\r\n$%d\r\n%b\r\n$1\r\n" + SCOPE_HASH_FIELD + b"\r\n",
        b"*2\r\n$4\r\nPTTL\r\n$%d\r\n%b\r\n",  # the session
        b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n",
        b"*1\r\n$4\r\nEXEC\r\n",
    ]
)
_COMMANDS = 8
_ANSWERS = (list,)


class PlainFind:
    """Finds waits of one namespace on one server, if it remembers their session keys.

    Args:
        executor: The way there.
        keys: How they are named.
        by_script: Asks `find.lua` at a scope, by its key, where only that script tells.
    """

    def __init__(self, executor: Executor, keys: Keys, by_script: Callable[[str], Awaitable[list[Any]]]) -> None:
        self._executor = executor
        self._by_script = by_script
        self._sessions = keys.session("").encode()
        self._records = keys.record("").encode()
        self._known: dict[str, bytes] = {}
        self._debt = 0
        self._not_before_s = 0.0

    def remember(self, scope: str, key: bytes) -> None:
        """Note which session waits at a scope, by the scope's key."""
        known = self._known
        known[scope] = key
        if len(known) > _MAX_REMEMBERED:
            del known[next(iter(known))]

    def remembered(self, scope: str) -> bytes | None:
        """Return the key of the session that waited at a scope when this client saw it last.

        None if it has not, or nothing is to be made of it for now.
        """
        if self._debt:
            self._debt -= 1
            return None
        return self._known.get(scope)

    def missed(self, scope: str) -> None:
        """Note that another session waits at a scope than was remembered."""
        self._known.pop(scope, None)
        self._debt = _PRICE_OF_A_MISS

    async def find(self, scope: str, waits: str, key: bytes) -> list[Any]:
        """Find the wait of a scope.

        Args:
            scope: The scope's key.
            waits: The key of the user's set of waits.
            key: The remembered session key.

        Returns:
            The answer of `find.lua`.
        """
        if self._not_before_s and monotonic() < self._not_before_s:
            return await self._by_script(scope)
        place, user, record, session = scope.encode(), waits.encode(), self._records + key, self._sessions + key
        about, kept, left = len(record), len(user), len(session)
        text = _BLOCK % (len(place), place, kept, user, about, record, about, record, left, session, left, session)
        try:
            found = await self._executor.call(Packed(text, _COMMANDS, ("EXEC", session)), repeatable=True, answers=_ANSWERS)
        except GreenticError as error:
            if not isinstance(error.__cause__, ResponseError):
                raise
            # If it is something else, the script tells what.
            if str(error.__cause__).startswith(_REFUSALS):
                self._not_before_s = monotonic() + _REFUSED_PAUSE_S
        else:
            if len(found) != _COMMANDS - 2:
                raise foreign()
            if found[0] is None:
                self._known.pop(scope, None)
                return [b"absent"]
            if _is_usual(found, place, key):
                return [b"found", 0, key, found[-1]]
            self.missed(scope)
        return await self._by_script(scope)


def _is_usual(found: list[Any], scope: bytes, key: bytes) -> bool:
    """Say whether all is as `lua/includes/fast_path.lua` demands."""
    waiting, kept, recorded, hash_, left, text = found
    if waiting != key or type(hash_) is not bytes or not hash_ or not scope.endswith(hash_):
        return False
    if type(text) is not bytes or type(kept) is not int or type(recorded) is not int or type(left) is not int:
        return False
    if left == -1:
        return kept == -1 and recorded < 0  # else an update of the Rust crate has taken its lifetime
    return left >= 0 and (kept == -1 or kept >= left - _SLACK_MS)
