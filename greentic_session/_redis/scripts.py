"""Lua scripts.

A file each, run by their SHA-1, loaded again where the server has forgotten them.
"""

import hashlib
import re
from collections.abc import Mapping
from functools import cache, cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from .answers import foreign
from .executor import Arg, Executor

__all__ = ["Script"]

_INCLUDE = re.compile(r"^-- @include (\w+)\n", re.MULTILINE)


_SHARED = "greentic_session._redis.lua"
"""The package of what scripts of several packages include."""


@cache
def _files(package: str) -> Mapping[str, Traversable]:
    """Return the Lua files of a package and of the folders in it, by name without ``.lua``."""
    found: dict[str, Traversable] = {}
    entries = list(files(package).iterdir())
    entries += [inner for entry in entries if entry.is_dir() for inner in entry.iterdir()]
    for file in entries:
        if file.name.endswith(".lua"):
            name = file.name.removesuffix(".lua")
            if name in found:
                raise ValueError(f"two scripts of {package} have the name {name}")
            found[name] = file
    return found


@cache
def _read(package: str, name: str) -> str:
    found = _files(package)
    return (found if name in found else _files(_SHARED))[name].read_text(encoding="utf-8")


def _assemble(package: str, name: str, included: set[str]) -> str:
    """Return a file's text, with that of every file in place of the first line that includes it."""

    def text_of(found: re.Match[str]) -> str:
        if found[1] in included:
            return ""
        included.add(found[1])
        return _assemble(package, found[1], included)

    return _INCLUDE.sub(text_of, _read(package, name))


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
    included, so a script that may end early says so after that.

    On a cluster all its keys must have one hash tag, ``{...}``, in the first of them, or it must
    touch the first only.

    Args:
        package: The package that holds the files, and folders of files.
        name: The file's name, without folder and ``.lua``.
        answers: Of which types its answer may be: int, bytes, list, NoneType.
        repeatable: Whether running it twice does what running it once does.
        one_key: Whether it touches its first key only: then it needs no guard while a slot moves.
    """

    def __init__(
        self,
        package: str,
        name: str,
        answers: tuple[type, ...],
        *,
        repeatable: bool = False,
        one_key: bool = False,
    ) -> None:
        self._answers = answers
        self._alone = _hashed(_assemble(package, name, set()))
        self._one_key = one_key
        self._repeatable = repeatable

    @cached_property
    def _guarded(self) -> tuple[str, str]:
        return self._alone if self._one_key else _hashed(_GUARD + self._alone[1])

    def command(self, executor: Executor, keys: int, words: tuple[Arg, ...]) -> tuple[Arg, ...]:
        """Return the command that runs it even where the server does not know it.

        The arguments are those of `run`.
        """
        return ("EVAL", (self._guarded if executor.moving else self._alone)[1], keys, *words)

    async def run(self, executor: Executor, keys: int, words: tuple[Arg, ...], undo: tuple[Arg, ...] | None = None) -> Any:
        """Run it, and return what it returns.

        Args:
            executor: The way there.
            keys: How many of the words are keys.
            words: The keys, and what else it is given.
            undo: As for `RedisClient.call`.

        Raises:
            GreenticError: As `RedisClient.call`.
            InternalError: The answer is of another type.
        """
        sha, text = self._guarded if executor.moving else self._alone
        words = ("EVALSHA", sha, keys, *words)
        answer = await executor.call(words, repeatable=self._repeatable, script=text, undo=undo)
        if type(answer) not in self._answers:
            raise foreign()
        return answer


def _hashed(text: str) -> tuple[str, str]:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(), text
