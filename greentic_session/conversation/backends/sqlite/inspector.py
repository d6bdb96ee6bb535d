"""Inspection of the tables of conversations for operators. It only reads, and in bounded steps."""

import sqlite3
from collections.abc import AsyncGenerator, Callable, Mapping
from functools import partial
from typing import Final, NamedTuple

from greentic_session._expiry.expiring import Timer
from greentic_session._sqlite.database import Database
from greentic_session.tenancy import Partition

from .tables import partition_of_key

__all__ = ["CONVERSATION_FAULTS", "Counted", "Inconsistency", "count_conversations", "examine_conversations"]

_STEP_ROWS: Final = 200
"""How many conversations one step looks at."""
_STEP_MESSAGES: Final = 20_000
"""A step ends, too, when it has counted so many messages."""

_BY_HAND: Final = "Somebody changed the tables by hand."
CONVERSATION_FAULTS: Final[Mapping[str, tuple[bool, str, str]]] = {
    "conversation_headless": (
        True,
        "conversations without a header: they cannot be loaded",
        f"{_BY_HAND} Their messages can still be read; save them as a new conversation, or delete them.",
    ),
    "conversation_gaps": (
        True,
        "conversations whose messages are not as many as they should be",
        f"{_BY_HAND} Load them with skip_corrupt=True and save them, which counts anew.",
    ),
    "conversation_strays": (
        True,
        "messages without a conversation: nothing leads to them",
        f"{_BY_HAND} Delete these rows of conversation_message, while nobody uses the file.",
    ),
}
"""By name: whether the finding is a fault, its description, and the advice."""

_EXISTS: Final = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'conversation'"
_WINDOW: Final = """
    SELECT number, partition_key, message_count, expires_at FROM conversation WHERE number > ? ORDER BY number LIMIT ?
"""
_CHECKED: Final = """
    SELECT number, id, message_count, EXISTS (SELECT 1 FROM conversation_header WHERE conversation = number)
    FROM conversation WHERE number > ? ORDER BY number LIMIT ?
"""
_COUNT_MESSAGES: Final = "SELECT count(*) FROM conversation_message WHERE conversation = ? AND position < ?"
_NEXT_NUMBER: Final = "SELECT min(conversation) FROM conversation_message WHERE conversation > ?"
_KNOWN: Final = """
    SELECT EXISTS (SELECT 1 FROM conversation WHERE number = :number)
    OR EXISTS (SELECT 1 FROM conversation_garbage WHERE conversation = :number)
"""


class Counted(NamedTuple):
    """What one step of a count has found.

    Attributes:
        looked: How many conversations were looked at.
        live: By partition, how many of them are live.
    """

    looked: int
    live: Mapping[Partition, int]


class Inconsistency(NamedTuple):
    """One that an examination has found.

    Attributes:
        name: A name from `CONVERSATION_FAULTS`.
        key: Where: the id of the conversation, or its number where there is none.
    """

    name: str
    key: str


async def count_conversations(database: Database, timer: Timer) -> AsyncGenerator[Counted, None]:
    """Count the live conversations of all namespaces of a database, step by step."""
    after: int | None = 0
    while after is not None:
        counted, after = await database.read(partial(_count, after=after, now=int(timer() * 1000)))
        yield counted


async def examine_conversations(database: Database) -> AsyncGenerator[tuple[int, list[Inconsistency]], None]:
    """Look for what does not agree; yield how much a step has looked at, and what it found."""
    for step in (_check_conversations, _check_strays):
        after: int | None = 0
        while after is not None:
            looked, found, after = await database.read(partial(_where_there_are_any, step, after=after))
            yield looked, found


_Checked = tuple[int, list[Inconsistency], int | None]
"""How much was looked at, what was found, and behind which number to go on; None at the end."""


def _has_tables(connection: sqlite3.Connection) -> bool:
    (found,) = connection.execute(_EXISTS).fetchone()
    return bool(found)


def _where_there_are_any(
    step: Callable[[sqlite3.Connection, int], _Checked], connection: sqlite3.Connection, after: int
) -> _Checked:
    """Do a step if the file has conversations: a program may have kept only sessions there."""
    return step(connection, after) if _has_tables(connection) else (0, [], None)


def _count(connection: sqlite3.Connection, after: int, now: int) -> tuple[Counted, int | None]:
    rows = connection.execute(_WINDOW, (after, _STEP_ROWS)).fetchall() if _has_tables(connection) else []
    live: dict[Partition, int] = {}
    for _, key, _, expires_at in rows:
        if expires_at is None or expires_at > now:
            partition = partition_of_key(key)
            live[partition] = live.get(partition, 0) + 1
    return Counted(len(rows), live), rows[-1][0] if len(rows) == _STEP_ROWS else None


def _check_conversations(connection: sqlite3.Connection, after: int) -> _Checked:
    found: list[Inconsistency] = []
    looked = messages = 0
    for number, id, message_count, has_header in connection.execute(_CHECKED, (after, _STEP_ROWS)).fetchall():
        looked += 1
        if not has_header:
            found.append(Inconsistency("conversation_headless", id))
        (count,) = connection.execute(_COUNT_MESSAGES, (number, message_count)).fetchone()
        if count != message_count:
            found.append(Inconsistency("conversation_gaps", id))
        messages += count
        if messages >= _STEP_MESSAGES or looked == _STEP_ROWS:
            return looked, found, number
    return looked, found, None


def _check_strays(connection: sqlite3.Connection, after: int) -> _Checked:
    found: list[Inconsistency] = []
    for _ in range(_STEP_ROWS):
        (number,) = connection.execute(_NEXT_NUMBER, (after,)).fetchone()
        if number is None:
            return 0, found, None
        (known,) = connection.execute(_KNOWN, {"number": number}).fetchone()
        if not known:
            found.append(Inconsistency("conversation_strays", str(number)))
        after = number
    return 0, found, after
