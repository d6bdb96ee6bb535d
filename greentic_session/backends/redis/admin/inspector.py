"""Inspection of a Redis for operators: sessions by read-only scripts, settings by INFO.

All keys are found with SCAN, and looked at a few in a step, so nobody waits for it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any

from greentic_session._base.holder import holder_of
from greentic_session._redis.answers import reading_answers
from greentic_session._redis.client import RedisClient
from greentic_session._redis.executor import Arg, Executor, ServerExecutor
from greentic_session._redis.scanning import glob_of, stride, walk_along
from greentic_session.admin import (
    SOON_MS,
    Details,
    Examination,
    Finding,
    Group,
    Inspector,
    Looked,
    Selection,
    Setting,
    Tally,
)
from greentic_session.backends.redis.keys import (
    CONVERSATIONS_KIND,
    NAMING_KINDS,
    SESSION_KIND,
    Keys,
    glob_of_kinds,
    scope_of,
)
from greentic_session.backends.redis.scripts import script
from greentic_session.conversation.backends.redis.inspector import CONVERSATION_FAULTS, examine_conversations
from greentic_session.tenancy import NO_TEAM, Partition

from .findings import FAULTS
from .settings import read_settings

__all__ = ["STEP", "SURVEYED_KINDS", "Notes", "RedisInspector", "Tallies", "details", "namespaces_on"]

STEP = 20
"""How many keys a script looks at: others wait for it, a millisecond or two."""
SURVEYED_KINDS = (SESSION_KIND, CONVERSATIONS_KIND)
"""What a survey counts, in one walk."""
_TALKS = CONVERSATIONS_KIND.encode()
_SHOWN = 20
"""How many keys of a finding are kept."""
_NAMED_AT_ONCE = 1000
_MOST_NAMESPACES = 50
"""With how many the look-out for namespaces ends."""


_DETAILS = script("details", repeatable=True)
_EXAMINE = script("examine", repeatable=True)
_SURVEY = script("survey", repeatable=True)


class Tallies:
    """What a survey has counted so far."""

    def __init__(self, selection: Selection | None) -> None:
        self.found: dict[Group, Tally] = {}
        self.selection = selection

    async def count(self, executor: Executor, keys: Keys, names: Sequence[bytes]) -> None:
        """Count the kinds of some keys of one slot, given without their namespace."""
        session, talk = SESSION_KIND.encode(), b"conv:head:"
        sessions = [name[len(session) :] for name in names if name.startswith(session)]
        if sessions:
            wanted = ("", "", "", "") if self.selection is None else _wanted(self.selection)
            at = 0
            while at < len(sessions):
                words: tuple[Arg, ...] = (keys.session(""), keys.namespace, *wanted, SOON_MS, *sessions[at:])
                looked, places = await _SURVEY.run(executor, 1, words)
                at += looked
                for name, *figures in places:
                    self.found.setdefault(_group(name.decode()), Tally()).add(_tally(*figures))
        for name in names:
            if name.startswith(talk) and (place := _partition(name[len(talk) :], self.selection)):
                self.found.setdefault(Group(*place), Tally()).conversations += 1


class Notes:
    """What an examination has found so far."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._shown: dict[str, list[str]] = {}
        self.total: int = 0

    def note(self, name: str, key: bytes) -> None:
        """Take note of a finding."""
        self._counts[name] += 1
        some = self._shown.setdefault(name, [])
        if len(some) < _SHOWN:
            some.append(key.decode("utf-8", "replace"))

    async def look(self, executor: Executor, keys: Keys, names: Sequence[bytes]) -> None:
        """Look at some keys of one slot, given without the namespace and the colon after it."""
        sessions = [name for name in names if not name.startswith(_TALKS)]
        at = 0
        while at < len(sessions):
            prefix = f"{keys.namespace}:"
            looked, *told = await _EXAMINE.run(executor, 1, (prefix, keys.namespace, *sessions[at:]))
            at += looked
            for name, key in zip(told[::2], told[1::2], strict=True):
                self.note(name.decode(), key)
        talks = [name for name in names if name.startswith(_TALKS)]
        for fault, key in await examine_conversations(executor, keys.namespace, talks):
            self.note(fault, key)
        self.total += len(names)

    def examination(self) -> Examination:
        """Return it."""
        findings = [
            Finding(
                name=name, fault=fault, what=what, advice=advice, count=self._counts[name], keys=tuple(self._shown[name])
            )
            for name, (fault, what, advice) in {**FAULTS, **CONVERSATION_FAULTS}.items()
            if name in self._counts
        ]
        return Examination(looked=self.total, findings=sorted(findings, key=lambda finding: not finding.fault))


@reading_answers
class RedisInspector(Inspector):
    """Looks into one namespace of one Redis."""

    def __init__(self, client: RedisClient, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._front = f"{keys.namespace}:"

    async def survey(self, looked: Looked, selection: Selection | None = None) -> Mapping[Group, Tally]:
        """See `Inspector.survey`.

        Sessions of which nobody can tell whose they are count for the env and tenant "".
        """
        tallies = Tallies(selection)

        async def count(found: list[bytes]) -> None:
            await tallies.count(self._client, self._keys, self._names(found))
            looked(len(found))

        await walk_along(self._client, glob_of(self._front, glob_of_kinds(SURVEYED_KINDS)), count, step=STEP)
        return tallies.found

    async def details(self, keys: Sequence[str]) -> list[Details | None]:
        """See `Inspector.details`."""
        found = list[Details | None]()
        for start in range(0, len(keys), STEP):
            found += await details(self._client, self._keys, keys[start : start + STEP])
        return found

    async def examine(self, looked: Looked) -> Examination:
        """See `Inspector.examine`."""
        notes = Notes()

        async def look(found: list[bytes]) -> None:
            await notes.look(self._client, self._keys, self._names(found))
            looked(len(found))

        await walk_along(self._client, glob_of(self._front), look, step=STEP)
        return notes.examination()

    async def accepted(self) -> int | None:
        """See `Inspector.accepted`. It begins anew every day."""
        found = await self._client.call(("GET", self._keys.accepted()), repeatable=True)
        return int(found or 0)

    async def namespaces(self, looked: Looked) -> Sequence[str]:
        """See `Inspector.namespaces`."""
        return sorted(await namespaces_on(self._client, looked))

    async def settings(self) -> list[Setting]:
        """See `Inspector.settings`."""
        return await read_settings(self._client)

    def _names(self, found: list[bytes]) -> list[bytes]:
        skipped = len(self._front.encode())
        return [key[skipped:] for key in found]


async def namespaces_on(server: ServerExecutor, looked: Looked) -> set[str]:
    """Return the namespaces that hold sessions on one server, some of them where there are many."""
    found: set[str] = set()

    async def read(names: list[bytes]) -> None:  # `stride` awaits it
        looked(len(names))
        found.update(filter(None, map(_namespace_of, names)))

    async with aclosing(stride(server, b"*:" + glob_of_kinds(NAMING_KINDS).encode(), read, step=_NAMED_AT_ONCE)) as steps:
        async for _ in steps:
            if len(found) >= _MOST_NAMESPACES:
                break
    return found


def _namespace_of(name: bytes) -> str | None:
    """Return the namespace of a key; None where its kind does not tell."""
    ends = [name.find(f":{kind}".encode()) for kind in NAMING_KINDS]
    front = name[: min((end for end in ends if end > 0), default=0)]
    return front.partition(b":{")[0].decode("utf-8", "replace") or None  # behind that, a slot of a cluster


async def details(executor: Executor, keys: Keys, sessions: Sequence[str]) -> list[Details | None]:
    """Return what is known of some sessions of one slot."""
    answer = list[list[Any]]()
    while len(answer) < len(sessions):
        answer += await _DETAILS.run(executor, 1, (keys.session(""), keys.namespace, *sessions[len(answer) :]))
    return [_details(*found) if found else None for found in answer]


def _group(name: str) -> Group:
    env, tenant, team, flow = [*name.split(":"), "", "", ""][:4]
    return Group(env, tenant, team or None, flow or None)


def _tally(sessions: int, waits: int, soon: int, size: int, *standing: int) -> Tally:
    claimed, due, ready, oldest_ms, overdue, put_off, replies = standing
    return Tally(
        sessions=sessions,
        waits=waits,
        soon=soon,
        size=size,
        claimed=claimed,
        ready=ready,
        oldest_ms=oldest_ms,
        due=due,
        overdue=overdue,
        put_off=put_off,
        replies=replies,
    )


def _wanted(selection: Selection) -> tuple[str, str, str, str]:
    return selection.env, selection.tenant, selection.team or "", selection.user or ""


def _partition(name: bytes, selection: Selection | None) -> Partition | None:
    """Return the partition of a conversation by its key; None where one user is selected."""
    env, tenant, team = [*name.decode("utf-8", "replace").split(":", 3), "", "", ""][:3]
    place = (env, tenant, None if team == NO_TEAM else team)
    if selection is None:
        return place
    meant = (env, tenant) == (selection.env, selection.tenant) and selection.team in (None, place[2])
    return place if meant and selection.user is None else None


def _details(ttl: int, size: int, waits: int, scope: bytes, claim: int, token: bytes, *standing: Any) -> Details:
    deadline, resumes, ready, put_off, attempts, replies, age_s = standing
    return Details(
        ttl_ms=None if ttl == -1 else ttl,
        size=size,
        waits=bool(waits),
        deadline_ms=None if deadline == b"" else deadline,
        resumes=bool(resumes),
        ready_ms=None if ready == b"" else ready,
        put_off_ms=put_off,
        attempts=attempts,
        replies=replies,
        age_ms=None if age_s == b"" else age_s * 1000,
        scope=scope_of(scope),
        claim_ms=claim if claim >= 0 else None,
        holder=holder_of(token.decode("utf-8", "replace")) if claim >= 0 else None,
    )
