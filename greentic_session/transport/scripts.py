"""Lua scripts: a file each, run by their SHA-1, loaded again where the server has forgotten them."""

import hashlib
import re
from collections.abc import Awaitable
from functools import cache
from importlib.resources import files
from typing import Any

from .link import Arg, Link

__all__ = ["Script"]

_INCLUDE = re.compile(r"^-- @include (\w+)\n", re.MULTILINE)


@cache
def _read(package: str, name: str) -> str:
    return (files(package) / f"{name}.lua").read_text(encoding="utf-8")


def _assemble(package: str, name: str, included: set[str]) -> str:
    """Return a file's text, with that of every file in place of the first line that includes it."""

    def text_of(found: re.Match[str]) -> str:
        if found[1] in included:
            return ""
        included.add(found[1])
        return _assemble(package, found[1], included)

    return _INCLUDE.sub(text_of, _read(package, name))


class Script:
    """One script.

    What a script includes is a line of its own, ``-- @include _rules``, for the file ``_rules.lua``. It costs time to define
    what is included, so a script that may end early says so after that.

    Args:
        package: The package that holds the files.
        name: The file's name, without ``.lua``.
        repeatable: Whether running it twice does what running it once does.
    """

    def __init__(self, package: str, name: str, *, repeatable: bool = False) -> None:
        self._text = _assemble(package, name, set())
        self._sha = hashlib.sha1(self._text.encode(), usedforsecurity=False).hexdigest()
        self._repeatable = repeatable

    def __call__(self, link: Link, keys: tuple[Arg, ...], *args: Arg) -> Awaitable[Any]:
        """Run it; to be awaited for what it returns.

        Raises:
            GreenticError: As `Link.call`.
        """
        return link.call("EVALSHA", self._sha, len(keys), *keys, *args, repeatable=self._repeatable, script=self._text)
