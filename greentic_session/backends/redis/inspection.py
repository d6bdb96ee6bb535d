"""Looking into a Redis for administration: its sessions with scripts that only read, its settings with INFO and CONFIG GET.

All keys are found with SCAN, and looked at a few in a step, so nobody waits for it.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import msgspec

from greentic_session.administration import (
    SOON_MS,
    Details,
    Examination,
    Finding,
    Inspector,
    Looked,
    Place,
    Selection,
    Setting,
    Tally,
)
from greentic_session.conversation.backends.redis.inspection import CONVERSATION_FAULTS, examine_conversations
from greentic_session.fence import NO_TEAM
from greentic_session.models import ReplyScope
from greentic_session.transport.link import Link
from greentic_session.transport.scripts import Script
from greentic_session.transport.walking import glob_of, together, walk_along

from .faults import FAULTS
from .keys import Keys
from .settings import read_settings

__all__ = ["RedisInspector"]

_STEP = 100
"""How many keys a script looks at: the server waits for it, a millisecond or two."""
_ENOUGH = 2**20
"""After how many bytes of texts, all of which are hashed, a step ends early."""
_SHOWN = 20
"""How many keys of a finding are kept."""
_SCOPE = msgspec.json.Decoder(ReplyScope)


def _script(name: str) -> Script:
    return Script("greentic_session.backends.redis.lua", name, repeatable=True)


_DETAILS = _script("details")
_EXAMINE = _script("examine")
_SURVEY = _script("survey")


class RedisInspector(Inspector):
    """Looks into one namespace of one Redis."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys
        self._namespace = keys.namespace

    async def survey(self, looked: Looked, selection: Selection | None = None) -> Mapping[Place, Tally]:
        """See `Inspector.survey`. Sessions of which nobody can tell whose they are count for the env and tenant ""."""
        found: dict[Place, Tally] = {}
        wanted = ("", "", "", "") if selection is None else _wanted(selection)
        session, talk = self._keys.session("").encode(), f"{self._namespace}:conv:head:".encode()

        async def count(keys: list[bytes]) -> None:
            sessions = [key[len(session) :] for key in keys if key.startswith(session)]
            if sessions:
                answer = await _SURVEY(self._link, (session,), self._namespace, *wanted, SOON_MS, *sessions)
                for name, *figures in answer:
                    found.setdefault(_place(name.decode()), Tally()).add(Tally(*figures))
            for key in keys:
                if key.startswith(talk) and (place := _room(key[len(talk) :], selection)):
                    found.setdefault(place, Tally()).conversations += 1
            looked(len(keys))

        # session and conv, in one walk; and none of the others
        await walk_along(self._link, glob_of(f"{self._namespace}:", "[sc][eo][sn][sv]*"), count, step=_STEP)
        return found

    async def details(self, keys: Sequence[str]) -> list[Details | None]:
        """See `Inspector.details`."""
        steps = [keys[start : start + _STEP] for start in range(0, len(keys), _STEP)]
        calls = [_DETAILS(self._link, (self._keys.session(""),), self._namespace, *step) for step in steps]
        return [_details(*found) if found else None for answer in await together(*calls) for found in answer]

    async def examine(self, looked: Looked) -> Examination:
        """See `Inspector.examine`."""
        counts: Counter[str] = Counter()
        shown: dict[str, list[str]] = {}
        total = 0
        front = f"{self._namespace}:".encode()

        def note(name: str, key: bytes) -> None:
            counts[name] += 1
            some = shown.setdefault(name, [])
            if len(some) < _SHOWN:
                some.append(key.decode("utf-8", "replace"))

        async def look(keys: list[bytes]) -> None:
            nonlocal total
            names = [key[len(front) :] for key in keys]
            talks = [name for name in names if name.startswith(b"conv:")]
            await self._look([name for name in names if not name.startswith(b"conv:")], note)
            for name, key in await examine_conversations(self._link, self._namespace, talks):
                note(name, key)
            total += len(keys)
            looked(len(keys))

        await walk_along(self._link, glob_of(f"{self._namespace}:"), look, step=_STEP)
        findings = [
            Finding(name=name, fault=fault, what=what, advice=advice, count=counts[name], keys=tuple(shown[name]))
            for name, (fault, what, advice) in {**FAULTS, **CONVERSATION_FAULTS}.items()
            if name in counts
        ]
        return Examination(looked=total, findings=sorted(findings, key=lambda finding: not finding.fault))

    async def _look(self, names: list[bytes], note: Callable[[str, bytes], None]) -> None:
        at = 0
        while at < len(names):
            front = f"{self._namespace}:"
            looked, *told = await _EXAMINE(self._link, (front,), self._namespace, _ENOUGH, *names[at:])
            at += looked
            for name, key in zip(told[::2], told[1::2], strict=True):
                note(name.decode(), key)

    async def settings(self) -> list[Setting]:
        """See `Inspector.settings`."""
        return await read_settings(self._link)


def _place(name: str) -> Place:
    env, tenant, team = [*name.split(":"), "", ""][:3]
    return (env, tenant, team or None)


def _wanted(selection: Selection) -> tuple[str, str, str, str]:
    return selection.env, selection.tenant, selection.team or "", selection.user or ""


def _room(name: bytes, selection: Selection | None) -> Place | None:
    """Return whose a conversation is, by the end of its key; None where it is not asked for, as of one user."""
    env, tenant, team = [*name.decode("utf-8", "replace").split(":", 3), "", "", ""][:3]
    place = (env, tenant, None if team == NO_TEAM else team)
    if selection is None:
        return place
    meant = (env, tenant) == (selection.env, selection.tenant) and selection.team in (None, place[2])
    return place if meant and selection.user is None else None


def _details(ttl: int, size: int, waits: int, scope: bytes, claim: int) -> Details:
    return Details(
        ttl_ms=None if ttl == -1 else ttl,
        size=size,
        waits=bool(waits),
        scope=_SCOPE.decode(scope) if scope else None,
        claim_ms=claim if claim >= 0 else None,
    )
