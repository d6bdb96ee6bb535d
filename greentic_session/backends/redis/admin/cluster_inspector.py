"""Looking into a cluster for administration.

All primaries, and on each what is there of a slot together.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from greentic_session._redis.answers import reading_answers
from greentic_session._redis.cluster import ClusterClient
from greentic_session._redis.scanning import together, walk_along
from greentic_session.admin import Details, Examination, Group, Inspector, Looked, Selection, Setting, Tally
from greentic_session.backends.redis.keys import READY_KIND, SESSION_KIND, ClusterKeys, glob_of_kinds
from greentic_session.backends.redis.owner_pointers import Pointers

from .inspector import STEP, SURVEYED_KINDS, Notes, Tallies, details, namespaces_on
from .settings import read_settings

__all__ = ["RedisClusterInspector"]


_APART_MS = 60_000
"""How far apart the clocks of two nodes may be."""
_STEP = 10
"""How many keys are looked at in a step, each by a script of its own: users are in many slots.

Others wait for that many scripts of a fifth of a millisecond.
"""


@reading_answers
class RedisClusterInspector(Inspector):
    """Looks into one namespace of one cluster.

    What moves from one node to another meanwhile may be missed.
    """

    def __init__(self, client: ClusterClient, keys: ClusterKeys, pointers: Pointers) -> None:
        self._client = client
        self._keys = keys
        self._pointers = pointers

    async def survey(self, looked: Looked, selection: Selection | None = None) -> Mapping[Group, Tally]:
        """See `Inspector.survey`."""
        tallies = Tallies(selection)

        async def count(tag: str, names: list[bytes]) -> None:
            await tallies.count(self._client, self._keys.within(tag), names)

        await self._walk(glob_of_kinds(SURVEYED_KINDS), count, looked)
        return tallies.found

    async def details(self, keys: Sequence[str]) -> list[Details | None]:
        """See `Inspector.details`."""
        found = []
        for start in range(0, len(keys), STEP):
            found += await together(*map(self._details, keys[start : start + STEP]))
        return found

    async def examine(self, looked: Looked) -> Examination:
        """See `Inspector.examine`. A session's owner pointer is looked at, too.

        And so is the index of what is ready, for each user who is to be named there.
        """
        notes, session, ready = Notes(), SESSION_KIND.encode(), READY_KIND.encode()

        async def look(tag: str, names: list[bytes]) -> None:
            await notes.look(self._client, self._keys.within(tag), names)
            for name in names:
                if name.startswith(session) and await self._is_astray(tag, name.removeprefix(session)):
                    notes.note("pointer", name)
                if name.startswith(ready) and await self._is_unnamed(tag, name.removeprefix(ready)):
                    notes.note("unnamed", name)

        await self._walk("*", look, looked)
        return notes.examination()

    async def namespaces(self, looked: Looked) -> Sequence[str]:
        """See `Inspector.namespaces`."""
        found = await together(*(namespaces_on(server, looked) for server in await self._client.servers()))
        return sorted(set().union(*found))

    async def settings(self) -> list[Setting]:
        """See `Inspector.settings`. Where nodes differ, each is named."""
        found: dict[Setting, list[str]] = {}
        servers = await self._client.servers()
        for server in servers:
            for setting in await read_settings(server):
                found.setdefault(setting, []).append(server.node)
        return [
            Setting(
                name=setting.name,
                level=setting.level,
                value=setting.value if len(nodes) == len(servers) else f"{setting.value} (on {', '.join(nodes)})",
                advice=setting.advice,
            )
            for setting, nodes in sorted(found.items(), key=lambda item: item[0].name)
        ]

    async def _is_astray(self, tag: str, session: bytes) -> bool:
        key = session.decode("utf-8", "replace")
        if await self._pointers.follow(key) == tag:
            return False
        return (await details(self._client, self._keys.within(tag), [key]))[0] is not None  # else it has ended meanwhile

    async def _is_unnamed(self, tag: str, team: bytes) -> bool:
        keys, index = self._keys.within(tag), self._keys.index
        if keys.is_index:
            return False
        team_name = team.decode("utf-8", "replace")
        first = ("ZRANGE", keys.ready(team_name), 0, 0, "WITHSCORES")
        due = await self._client.call(first, repeatable=True)
        if not due:
            return False
        user = tag.rpartition(":")[2]
        named = await self._client.call(("ZSCORE", index.ready(team_name), user), repeatable=True)
        if named is not None and float(named) <= float(due[1]) + _APART_MS:
            return False
        return bool(await self._client.call(first, repeatable=True) == due)  # else somebody has worked on it meanwhile

    async def _details(self, key: str) -> Details | None:
        tag = await self._pointers.follow(key)
        return None if tag is None else (await details(self._client, self._keys.within(tag), [key]))[0]

    async def _walk(self, rest: str, do: Callable[[str, list[bytes]], Awaitable[None]], looked: Looked) -> None:
        async def step(found: list[bytes]) -> None:
            await together(*(do(tag, names) for tag, names in self._keys.by_tag(found).items()))
            looked(len(found))

        for server in await self._client.servers():
            await walk_along(server, self._keys.every(rest), step, step=_STEP)
