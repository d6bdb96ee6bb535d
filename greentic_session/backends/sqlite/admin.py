"""Inspection of a SQLite store for operators. It only reads, and in bounded steps."""

import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from greentic_session import tenancy, transitions
from greentic_session._base.holder import holder_of
from greentic_session._expiry.expiring import NEVER_ENDS, Timer
from greentic_session._sqlite.database import Database
from greentic_session._sqlite.inspection import Condition, condition_of, is_on_a_network, problems_of
from greentic_session.admin import Details, Examination, Finding, Group, Inspector, Looked, Selection, Setting, Tally
from greentic_session.backends.standing import details_of, tally_of
from greentic_session.conversation.backends.sqlite.inspector import (
    CONVERSATION_FAULTS,
    count_conversations,
    examine_conversations,
)
from greentic_session.errors import CorruptSessionError, CorruptStoreError
from greentic_session.tenancy import Partition

from .examining import REPLY_FAULTS, REPLY_TABLES, examine_replies
from .inboxes import accepted
from .rows import Row, by_key, place_of, rows_between
from .walking import END, STEP_BYTES, next_window

__all__ = ["SQLiteInspector"]

_MAX_SHOWN_KEYS: Final = 20
_WASTED_SHARE: Final = 0.5
"""A file of which more is free than this may be made smaller."""
_WASTED_BYTES: Final = 64 * 1024 * 1024
_LONG_LOG_BYTES: Final = 256 * 1024 * 1024

_FLOWS: Final = "SELECT id, substr(text, 1, 2048) FROM sessions NOT INDEXED WHERE id BETWEEN ? AND ?"
"""The beginnings of texts: more of them is not read."""
_LYING: Final = """
    SELECT t.id, count(*) FROM turns t JOIN sessions s ON s.id = t.id JOIN replies r ON r.place = s.place
    WHERE t.id BETWEEN ? AND ? GROUP BY t.id
"""
"""Number of unsettled replies at the places of sessions that have some."""
_FLOW: Final = re.compile(rb'\},"flow_id":"([A-Za-z0-9._-]+)"')
"""The flow in a text. Nothing before it reads alike: within a string the quotes are escaped."""

_BY_HAND: Final = "No operation of the store leaves this: find out who wrote there. --reveal names the keys."
FAULTS: Final[Mapping[str, tuple[bool, str, str]]] = {
    "damaged": (
        True,
        "problems that SQLite finds in the file: it is damaged",
        "Stop all that use it, and restore a backup; or save what can be read with sqlite3's command .recover.",
    ),
    "owner": (True, "sessions whose columns name another owner than their text", _BY_HAND),
    "unreachable": (True, "waits that no scope leads to: their answers find nothing", f"Park the flow again. {_BY_HAND}"),
    "unreadable": (
        False,
        "sessions whose text is not a session",
        "Remove them with `greentic-session remove`; --reveal names the keys.",
    ),
}
"""By its name: whether it is a fault, what it is, and what to do."""


class SQLiteInspector(Inspector):
    """Looks into a SQLite store.

    Args:
        database: Where it is.
        timer: Tells the time in seconds since the Unix epoch.
    """

    def __init__(self, database: Database, timer: Timer) -> None:
        self._database = database
        self._timer = timer

    async def survey(self, looked: Looked, selection: Selection | None = None) -> Mapping[Group, Tally]:
        """See `Inspector.survey`."""
        found: dict[Group, Tally] = {}
        after, timer = 0, self._timer
        while after < END:
            count, tallies, after = await self._database.read(
                lambda c, after=after: _survey(c, after, selection, timer())  # type: ignore[misc]  # mypy infers no default
            )
            looked(count)
            for group, tally in tallies:
                found.setdefault(group, Tally()).add(tally)
        if selection is None or selection.user is None:
            async for count, live in count_conversations(self._database, timer):
                looked(count)
                for partition, conversations in live.items():
                    if selection is None or _is_selected(selection, partition):
                        found.setdefault(Group(*partition), Tally()).add(Tally(conversations=conversations))
        return found

    async def details(self, keys: Sequence[str]) -> list[Details | None]:
        """See `Inspector.details`."""
        timer = self._timer
        return await self._database.read(lambda c: [_details(c, key, timer()) for key in keys])

    async def accepted(self) -> int | None:
        """See `Inspector.accepted`: replies are numbered."""
        return await self._database.read(accepted)

    async def examine(self, looked: Looked) -> Examination:
        """See `Inspector.examine`; SQLite's own ``integrity_check`` comes first."""
        notes = _Notes()
        try:
            for problem in await self._database.read_alone(problems_of):
                notes.note("damaged", problem)
            steps = [
                partial(_examine, timer=self._timer),
                *(partial(examine_replies, table=table) for table in REPLY_TABLES),
            ]
            for step in steps:
                after = 0
                while after < END:
                    count, findings, after = await self._database.read(partial(step, after=after))
                    looked(count)
                    notes.total += count
                    for name, key in findings:
                        notes.note(name, key)
            async for count, inconsistencies in examine_conversations(self._database):
                looked(count)
                notes.total += count
                for name, key in inconsistencies:
                    notes.note(name, key)
        except CorruptStoreError as error:
            notes.note("damaged", str(error))
        return notes.examination()

    async def settings(self) -> list[Setting]:
        """See `Inspector.settings`."""
        file = self._database.file
        return judge(await self._database.read(lambda c: condition_of(c, file)))


class _Notes:
    """What an examination has found so far."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._shown: dict[str, list[str]] = {}
        self.total = 0

    def note(self, name: str, key: str) -> None:
        """Take note of a finding."""
        self._counts[name] += 1
        shown = self._shown.setdefault(name, [])
        if len(shown) < _MAX_SHOWN_KEYS:
            shown.append(key)

    def examination(self) -> Examination:
        """Return it."""
        findings = [
            Finding(
                name=name, fault=fault, what=what, advice=advice, count=self._counts[name], keys=tuple(self._shown[name])
            )
            for name, (fault, what, advice) in {**FAULTS, **REPLY_FAULTS, **CONVERSATION_FAULTS}.items()
            if name in self._counts
        ]
        return Examination(looked=self.total, findings=findings)


def judge(condition: Condition) -> list[Setting]:
    """Return what is to be said of a database."""
    size, free = condition.pages * condition.page_bytes, condition.free_pages * condition.page_bytes
    return [
        Setting(name="version", level="ok", value=f"SQLite {condition.version}"),
        _setting(
            "journal",
            condition.journal,
            "Let nobody change journal_mode: PRAGMA journal_mode = WAL.",
            condition.journal != "wal",
        ),
        Setting(name="size", level="ok", value=f"{size:,} bytes"),
        _setting(
            "free pages",
            f"{condition.free_pages:,} of {condition.pages:,}",
            "They are used again. To give them back to the disk: VACUUM, while nobody uses the file.",
            free > max(size * _WASTED_SHARE, _WASTED_BYTES),
        ),
        _setting(
            "log",
            f"{condition.wal_bytes:,} bytes",
            "A program has held a read open for long, or was killed: end it; the log is put into the database then.",
            condition.wal_bytes > _LONG_LOG_BYTES,
        ),
        _setting(
            "file system",
            condition.file_system or "not known",
            "The locks of a network file system cannot be relied on: put the file on a disk of this machine, or use Redis.",
            is_on_a_network(condition.file_system),
        ),
        _setting(
            "rights",
            "its owner only" if condition.private else "others may read or write the file",
            "Take them away: chmod 600, for the file and what is beside it with -wal and -shm.",
            not condition.private,
        ),
    ]


def _setting(name: str, value: str, advice: str, warn: bool) -> Setting:  # noqa: FBT001
    return Setting(name=name, level="warning" if warn else "ok", value=value, advice=advice if warn else "")


def _survey(
    connection: sqlite3.Connection, after: int, selection: Selection | None, now: float
) -> tuple[int, list[tuple[Group, Tally]], int]:
    window = next_window(connection, after)
    if window is None:
        return 0, [], END
    rows = [row for row in rows_between(connection, *window) if transitions.is_live(row, now)]
    flows = dict(connection.execute(_FLOWS, window).fetchall())
    lying = dict(connection.execute(_LYING, window).fetchall())
    found = []
    for row in rows:
        env, tenant, team, user = row.identity
        if selection is None or (_is_selected(selection, (env, tenant, team)) and selection.user in (None, user)):
            standing, left_ms = transitions.standing(row, row.due, now), _left_ms(row, now)
            tally = tally_of(standing, waits=row.waits, left_ms=left_ms, size=row.size, replies=lying.get(row.id, 0))
            found.append((Group(env, tenant, team, _flow_in(flows.get(row.id))), tally))
    return len(rows), found, window[1]


def _flow_in(head: bytes | None) -> str | None:
    """Return the flow that the beginning of a text names; None where it does not."""
    found = _FLOW.search(head) if isinstance(head, bytes) else None
    return None if found is None else found[1].decode()


def _is_selected(selection: Selection, partition: Partition) -> bool:
    env, tenant, team = partition
    return (env, tenant) == (selection.env, selection.tenant) and selection.team in (None, team)


def _details(connection: sqlite3.Connection, key: str, now: float) -> Details | None:
    row = by_key(connection, key)
    if row is None or not transitions.is_live(row, now):
        return None
    standing = transitions.standing(row, row.due, now)
    is_claimed = standing.is_claimed
    lying = connection.execute(_LYING, (row.id, row.id)).fetchone()
    return Details(
        ttl_ms=_left_ms(row, now),
        **details_of(standing),
        resumes=row.resume,
        replies=0 if lying is None else lying[1],
        age_ms=None if row.since is None else round((now - row.since) * 1000),
        size=row.size,
        waits=row.waits,
        scope=row.known_scope,
        claim_ms=round((row.lease_end - now) * 1000) if is_claimed else None,
        holder=holder_of(row.token) if is_claimed else None,
    )


def _examine(
    connection: sqlite3.Connection, after: int, timer: Callable[[], float]
) -> tuple[int, list[tuple[str, str]], int]:
    window = next_window(connection, after)
    if window is None:
        return 0, [], END
    now, count, size = timer(), 0, 0
    found: list[tuple[str, str]] = []
    for row in rows_between(connection, *window, text=True):
        if transitions.is_live(row, now):
            count += 1
            found += [(name, row.key) for name in _faults(row)]
        size += row.size
        if size >= STEP_BYTES:
            return count, found, row.id
    return count, found, window[1]


def _faults(row: Row) -> list[str]:
    faults = []
    try:
        if tenancy.expected_identity(None, row.wait().data) != row.identity:
            faults.append("owner")
    except CorruptSessionError:
        faults.append("unreadable")
    if row.waits and (row.owner is None or place_of(row.owner, row.scope_hash) != row.place):
        faults.append("unreachable")
    return faults


def _left_ms(row: Row, now: float) -> int | None:
    return None if row.end == NEVER_ENDS else max(round((row.end - now) * 1000), 0)
