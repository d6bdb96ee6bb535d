"""Finding a wait by plain commands in one MULTI block, of which the server has a third of the work.

A client that has parked, found or claimed a wait remembers the session's key. So it asks at once
for all that tells whether the session waits there still, as `lua/includes/fast_path.lua` does, and
for its text: no script runs, nothing is written, and no text passes through Lua. Where all is as
usual that is the answer. Where it is not (another session waits there by now, the Rust crate has
written), it says so, and the script `find` is asked: then a find takes two round trips. So blocks
are sent only as long as they mostly answer.

A cluster has none of this: an answer there may say that a slot has moved, command by command.
"""

from collections.abc import Awaitable
from typing import Any, Final

from greentic_session._redis.blocks import EXEC, MULTI, Blocks
from greentic_session._redis.executor import Executor
from greentic_session.errors import GreenticError

from .keys import SCOPE_HASH_FIELD, Keys

__all__ = ["PlainFind"]

_SLACK_MS = 5
"""Largest difference of two lifetimes that count as one, as in `lua/includes/fast_path.lua`."""
_MAX_REMEMBERED = 16_384
"""Limit of the waits that are remembered."""
_PRICE_OF_A_MISS = 16
"""How many finds go by the script after a block that did not answer, for the time that it took."""
_HASH_CHARACTERS: Final = 64
"""Length of the SHA-256 with which the key of a scope ends."""
_COMMANDS: Final = 5
"""How many commands a block has within; that of a session for ever has one more."""
_MAX_FRAMES: Final = 1024
"""Limit of the blocks that are kept without their words."""


class PlainFind:
    """Finds waits of one namespace on one server, if it remembers their session keys.

    Args:
        executor: The way there.
        keys: How they are named.
    """

    def __init__(self, executor: Executor, keys: Keys) -> None:
        self._blocks = Blocks(executor)
        self._keys = keys
        self._owner = slice(len(keys.scope("", "").encode()) - 1, -_HASH_CHARACTERS - 1)  # in the key of a scope
        self._frames: dict[tuple[int, int, bool], bytes] = {}
        self._known: dict[str, bytes] = {}
        self._lasting: set[str] = set()  # scopes whose sessions had no lifetime when they were seen
        self._debt = 0

    def remember(self, scope: str, key: bytes, *, lasting: bool | None = None) -> None:
        """Note which session waits at a scope, by the scope's key.

        It is `lasting` where it has no lifetime; None where that is not known.
        """
        known = self._known
        known[scope] = key
        if lasting:
            self._lasting.add(scope)
        elif lasting is not None:
            self._lasting.discard(scope)
        if len(known) > _MAX_REMEMBERED:
            self._forget(next(iter(known)))

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
        self._forget(scope)
        self._debt = _PRICE_OF_A_MISS

    def key_to_ask(self, scope: str) -> bytes | None:
        """Return the remembered key, if a block may be sent."""
        key = self.remembered(scope)
        return None if key is None or not self._blocks.may_be_sent else key

    def ask(self, scope: str, key: bytes) -> Awaitable[list[Any]]:
        """Send the block for a scope, by its key, and the session key that is remembered there."""
        place, lasting = scope.encode(), scope in self._lasting
        shape = len(place), len(key), lasting
        frame = self._frames.get(shape) or self._make_frame(*shape)
        # By the scope's key, too, is remembered how long the answer was.
        if lasting:
            return self._blocks.send(frame % (place, place[self._owner], key, key, key, key), _COMMANDS + 1, scope)
        return self._blocks.send(frame % (place, place[self._owner], key, key, key), _COMMANDS, scope)

    def _make_frame(self, place: int, key: int, lasting: bool) -> bytes:  # noqa: FBT001  # what a frame is kept by
        """Return a block without the scope's key, the owner and the session key, of these lengths.

        Blocks of few shapes are asked for, and to write their lengths anew takes longer than all
        the rest.
        """

        def command(name: bytes, key: str, size: int, *more: bytes) -> bytes:
            front = key.encode()
            words = b"*%d\r\n$%d\r\n%b\r\n" % (2 + len(more), len(name), name)
            words += b"$%d\r\n%b%%b\r\n" % (len(front) + size, front.replace(b"%", b"%%"))
            return words + b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in more])

        keys, owner = self._keys, len(range(place)[self._owner])
        commands = [
            MULTI,
            command(b"GET", "", place),
            command(b"PTTL", keys.waits(""), owner),
            command(b"HGET", keys.record(""), key, SCOPE_HASH_FIELD),
            command(b"PTTL", keys.session(""), key),
            command(b"GET", keys.session(""), key),
            *([command(b"PTTL", keys.record(""), key)] if lasting else []),
            EXEC,
        ]
        if len(self._frames) >= _MAX_FRAMES:
            self._frames.clear()
        frame = self._frames[place, key, lasting] = b"".join(commands)
        return frame

    def read(self, scope: str, key: bytes, found: list[Any]) -> list[Any] | None:
        """Read the answer of `ask`, by its arguments.

        Returns:
            The answer of `find.lua`; None where only that script tells.
        """
        waiting, kept, hash_, left, text, *recorded = found
        if waiting is None:
            self._forget(scope)
            return [b"absent"]
        # All is as `lua/includes/fast_path.lua` demands. Answers of other types are errors: the
        # script tells which.
        if (
            waiting == key
            and hash_ == scope[-_HASH_CHARACTERS:].encode()
            and (type(text) is bytes and type(left) is int and type(kept) is int)
        ):
            if left >= 0 and (kept == -1 or kept >= left - _SLACK_MS):
                return [b"found", 0, key, text]
            if left == kept == -1:
                if not recorded:  # an update of the Rust crate may have taken its lifetime: see `recorded` next time
                    self._lasting.add(scope)
                    return None
                if type(recorded[0]) is int and recorded[0] < 0:
                    return [b"found", 0, key, text]
        self.missed(scope)
        return None

    def refused(self, error: GreenticError) -> None:
        """As `Blocks.refused`."""
        self._blocks.refused(error)

    def _forget(self, scope: str) -> None:
        self._known.pop(scope, None)
        self._lasting.discard(scope)
