"""Removal of conversations from their tables, in bounded steps."""

import sqlite3
from typing import Final

from greentic_session._expiry.expiring import Timer

__all__ = ["DELETE", "Upkeep", "drop", "drop_messages", "free_messages"]

_MAX_MESSAGES_AT_ONCE: Final = 100
"""Messages that are deleted with their conversation; more become garbage."""
_MAX_EXPIRED_PER_STEP: Final = 50
_MAX_GARBAGE_PER_STEP: Final = 2000
"""Messages that one step deletes; it takes some milliseconds."""
_UPKEEP_PAUSE_S: Final = 1.0
_MORE_UPKEEP_PAUSE_S: Final = 0.005
"""Between steps while there is more to do, so that the operations of callers come first."""

DELETE: Final = "DELETE FROM conversation WHERE number = ?"
"""Removes the row of a conversation, and nothing else of it."""
_DELETE_HEADER: Final = "DELETE FROM conversation_header WHERE conversation = ?"
_DELETE_MESSAGES: Final = """
    DELETE FROM conversation_message WHERE number IN
    (SELECT number FROM conversation_message WHERE conversation = ? LIMIT ?)
"""
_ADD_GARBAGE: Final = "INSERT INTO conversation_garbage VALUES (?)"
_GARBAGE: Final = "SELECT conversation FROM conversation_garbage LIMIT 1"
_DELETE_GARBAGE: Final = "DELETE FROM conversation_garbage WHERE conversation = ?"
_EXPIRED: Final = "SELECT number, message_count FROM conversation WHERE expires_at <= ? ORDER BY expires_at LIMIT ?"


class Upkeep:
    """Upkeep of all namespaces: expired conversations and garbage are freed in bounded steps.

    Args:
        timer: As that of `tables.Tables`.
    """

    def __init__(self, timer: Timer) -> None:
        self._timer = timer

    def __call__(self, connection: sqlite3.Connection) -> float:
        """Do one step; return in how many seconds the next one is due."""
        expired = connection.execute(_EXPIRED, (int(self._timer() * 1000), _MAX_EXPIRED_PER_STEP)).fetchall()
        for number, count in expired:
            drop(connection, number, count)
        more = _free_garbage(connection)
        return _MORE_UPKEEP_PAUSE_S if more or len(expired) == _MAX_EXPIRED_PER_STEP else _UPKEEP_PAUSE_S


def free_messages(connection: sqlite3.Connection, number: int) -> bool:
    """Delete some messages of a removed conversation; return whether more may be left."""
    if connection.execute(_DELETE_MESSAGES, (number, _MAX_GARBAGE_PER_STEP)).rowcount == _MAX_GARBAGE_PER_STEP:
        return True
    connection.execute(_DELETE_GARBAGE, (number,))
    return False


def _free_garbage(connection: sqlite3.Connection) -> bool:
    """Delete some messages of one removed conversation; return whether there may be more."""
    found = connection.execute(_GARBAGE).fetchone()
    if found is not None:
        free_messages(connection, *found)
    return found is not None


def drop(connection: sqlite3.Connection, number: int, message_count: int) -> bool:
    """Remove a conversation; return whether its messages have become garbage."""
    connection.execute(DELETE, (number,))
    connection.execute(_DELETE_HEADER, (number,))
    return drop_messages(connection, number, message_count)


def drop_messages(connection: sqlite3.Connection, number: int, message_count: int) -> bool:
    """Delete the messages of a number that no conversation has; return whether they are garbage."""
    if message_count > _MAX_MESSAGES_AT_ONCE:
        connection.execute(_ADD_GARBAGE, (number,))
        return True
    connection.execute(_DELETE_MESSAGES, (number, -1))
    return False
