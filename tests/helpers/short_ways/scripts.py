"""Scripts without their short ways: all is as the rules say."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from greentic_session import RedisSessionStore
from greentic_session._redis.scripts import Script, _hashed
from greentic_session.backends.redis import replies, scripts

__all__ = ["without_short_ways"]

_BLOCK = re.compile(r"^repeat\n.*?^until true\n", re.MULTILINE | re.DOTALL)


def _cut(script: Script, cut: Callable[[str], tuple[str, int]]) -> Iterator[tuple[str, str]]:
    """Yield the SHA-1 of a script, alone and as it is on a cluster, and what runs in its place."""
    for sha, text in (script._alone, script._guarded):
        thorough, count = cut(text)
        assert count == 1, "the script has no short way of this kind any more"
        yield sha, thorough


def _without_block(script: Script) -> Iterator[tuple[str, str]]:
    return _cut(script, lambda text: _BLOCK.subn("", text, count=1))


def _replaced(old: str, new: str, script: Script) -> Iterator[tuple[str, str]]:
    return _cut(script, lambda text: (text.replace(old, new), text.count(old)))


def _thorough() -> dict[str, tuple[str, str]]:
    """Return by the SHA-1 of each script what runs in its place."""
    found = [getattr(one, "_script", one) for module in (replies, scripts) for one in vars(module).values()]
    blocks = {one for one in found if isinstance(one, Script) and _BLOCK.search(one._alone[1])}
    assert blocks >= {replies._DELIVER, scripts._PARK._script, scripts._UPDATE._script}
    cut = [
        *map(_without_block, blocks),
        _replaced("if key == nil then break end", "do break end", scripts._CLAIM),
        _replaced("if key == nil then break end", "do break end", scripts._FIND),
        _replaced("local removed, settled = remove()", "local removed, settled = false, false", scripts._COMPLETE),
    ]
    return {sha: _hashed(text) for one in cut for sha, text in one}


def without_short_ways(store: RedisSessionStore) -> RedisSessionStore:
    """Return the store, which takes no short way from now on."""
    backend: Any = store._backend
    client, thorough = vars(backend).get("client") or backend._client, _thorough()
    call = client.call

    def call_thoroughly(command: Any, *, script: str | None = None, **options: Any) -> Any:
        if isinstance(command, tuple) and command[0] == "EVALSHA" and command[1] in thorough:
            sha, script = thorough[command[1]]
            command = ("EVALSHA", sha, *command[2:])
        return call(command, script=script, **options)

    client.call = call_thoroughly
    if not client.moving:
        backend._slot._scripts.plain = None
    return store
