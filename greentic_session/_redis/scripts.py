"""Lua scripts.

A file each, run by their SHA-1, loaded again where the server has forgotten them.
"""

import hashlib
from collections.abc import Awaitable, Sequence
from functools import cached_property
from typing import Any

from .executor import Arg, Executor, Pieces
from .lua_source import script_text

__all__ = ["Script"]

_GUARD = """\
local tag = KEYS[1]:sub(1, (KEYS[1]:find('}', 1, true)))
if redis.pcall('EXISTS', tag .. '~', tag .. '~~') ~= 0 then
  return redis.error_reply('TRYAGAIN the slot of this script is on its way to another node')
end
"""
"""Guard of a script on a cluster: it reads two keys that never exist, in its slot. While that
slot is on its way to another node, Redis refuses to, at the old node and at the new one, and the
script ends before it has done anything. Without it Redis would end it at the first key that is not
there, be that half way through."""


class Script:
    """One script.

    What a script includes is a line of its own, ``-- @include keys``, for the file ``keys.lua`` in
    any folder of the package, or in `greentic_session._redis.lua`. It costs time to define what is
    included, so a script that may end early says so after that; `lua_source` tells what costs
    nothing.

    On a cluster all its keys must have one hash tag, ``{...}``, in the first of them, or it must
    touch the first only.

    Args:
        package: The package that holds the files, and folders of files.
        name: The file's name, without folder and ``.lua``.
        answers: Of which types its answer may be: int, bytes, list, NoneType.
        repeatable: Whether running it twice does what running it once does.
        one_key: Whether it touches its first key only: then it needs no guard while a slot moves.
        around: On a cluster, the names of what stands before and behind its text, which is a
            function ``step`` there. Then its last argument is the `hold` of the executor.
    """

    def __init__(
        self,
        package: str,
        name: str,
        answers: tuple[type, ...],
        *,
        repeatable: bool = False,
        one_key: bool = False,
        around: tuple[str, str] | None = None,
    ) -> None:
        self._package = package
        # What stands around it may answer, too, with a list, which the executor reads.
        self._answers = answers if around is None else (*answers, list)
        self._alone = _hashed(script_text(package, name))
        self._one_key = one_key
        self._around = around
        self._repeatable = repeatable

    @cached_property
    def _guarded(self) -> tuple[str, str]:
        if self._around is None:
            return self._alone if self._one_key else _hashed(_GUARD + self._alone[1])
        before, behind = [script_text(self._package, name) for name in self._around]
        return _hashed(f"{_GUARD}{before}local function step()\n{self._alone[1]}\nend\n{behind}")

    def command(self, executor: Executor, keys: int, words: tuple[Arg, ...]) -> tuple[Arg, ...]:
        """Return the command that runs it even where the server does not know it.

        The arguments are those of `run`. It is for what must be done behind a call that was cut
        off, so that nothing can be taken again: "late" tells it so, behind the `hold`.
        """
        if not executor.moving:
            return ("EVAL", self._alone[1], keys, *words)
        held = [f"{hold} late" for hold in self._held(executor)]
        return ("EVAL", self._guarded[1], keys, *words, *held)

    def _held(self, executor: Executor) -> tuple[str, ...]:
        return () if self._around is None else (executor.hold,)

    def run(
        self,
        executor: Executor,
        keys: int,
        words: Sequence[Arg],
        undo: tuple[Arg, ...] | None = None,
        *,
        ahead: Pieces | None = None,
        behind: tuple[Arg, ...] | None = None,
    ) -> Awaitable[Any]:
        """Run it; to be awaited for what it returns.

        Args:
            executor: The way there.
            keys: How many of the words are keys.
            words: The keys, and what else it is given.
            undo: As for `RedisClient.call`.
            ahead: As for `RedisClient.call`.
            behind: As for `RedisClient.call`; then two answers are returned.

        Raises:
            GreenticError: As `RedisClient.call`.
            InternalError: The answer is of another type.
        """
        sha, text = self._alone
        if executor.moving:
            sha, text = self._guarded
            words = [*words, *self._held(executor)]
        return executor.call(
            ("EVALSHA", sha, keys, *words),
            repeatable=self._repeatable,
            answers=self._answers,
            script=text,
            undo=undo,
            ahead=ahead,
            behind=behind,
        )


def _hashed(text: str) -> tuple[str, str]:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(), text
