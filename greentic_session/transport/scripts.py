"""Lua scripts: a file each, run by their SHA-1, loaded again where the server has forgotten them."""

import hashlib
from functools import cache
from importlib.resources import files
from typing import Any

from .link import Arg, Link

__all__ = ["Script"]


@cache
def _read(package: str, name: str) -> str:
    return (files(package) / f"{name}.lua").read_text(encoding="utf-8")


class Script:
    """One script.

    Args:
        package: The package that holds the files.
        name: The file's name, without ``.lua``. ``_common.lua`` is put in front of it.
        repeatable: Whether running it twice does what running it once does.
    """

    def __init__(self, package: str, name: str, *, repeatable: bool = False) -> None:
        self._text = f"{_read(package, '_common')}\n{_read(package, name)}"
        self._sha = hashlib.sha1(self._text.encode(), usedforsecurity=False).hexdigest()
        self._repeatable = repeatable

    async def __call__(self, link: Link, key: Arg, *args: Arg) -> Any:
        """Run it, with one key and its arguments, and return what it returns.

        Raises:
            GreenticError: As `Link.call`.
        """
        # A server that has restarted, or whose scripts somebody flushed, does not know it. EVAL runs it and loads it, in one
        # step; nothing was done before, so this is no repetition.
        tail = (1, key, *args)
        unknown = ("EVAL", self._text, *tail)
        return await link.call("EVALSHA", self._sha, *tail, repeatable=self._repeatable, unknown=unknown)
