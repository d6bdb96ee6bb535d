"""The schema of a database: parts with a version each, all versions in SQLite's ``user_version``.

A part (that of sessions, that of conversations) has one byte of ``user_version``; so one file may
hold several parts, made by programs that know only some of them. ``application_id`` says that a
file is ours.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from greentic_session.errors import CorruptStoreError, SchemaVersionError

__all__ = ["APPLICATION_ID", "SchemaPart", "is_current", "upgrade"]

APPLICATION_ID: Final = 0x67726E74
"""What the header of our files has as ``application_id``: "grnt"."""
_MAX_SLOT: Final = 2
"""The highest byte is unused: ``user_version`` is signed."""


class SchemaPart(Struct, frozen=True):
    """The tables of one kind of store.

    Attributes:
        name: What they are for, for error messages: "sessions".
        slot: Which byte of ``user_version`` holds the part's version: 0 sessions, 1 conversations.
        steps: The statements of version 1, then those that make version 2 of it, and so on. Steps
            that a release had are never changed.
    """

    name: str
    slot: int
    steps: Sequence[Sequence[str]]

    def version_in(self, user_version: int) -> int:
        """Return the part's version in a file; 0 where the file does not have the part."""
        return user_version >> 8 * self.slot & 0xFF

    def check(self, user_version: int, path: str) -> None:
        """Refuse a file whose part is newer than this one.

        Raises:
            SchemaVersionError: It is.
        """
        version = self.version_in(user_version)
        if version > len(self.steps) or user_version >> 8 * (_MAX_SLOT + 1):
            raise SchemaVersionError(
                f"unsupported schema version {version} of {self.name} (expected {len(self.steps)}): "
                f"a newer release of this library wrote the database ({path})"
            )


def is_current(connection: sqlite3.Connection, parts: Sequence[SchemaPart], path: str) -> bool:
    """Say whether a file is ours and has all parts in their versions; within a transaction.

    Raises:
        CorruptStoreError: The file is a database of something else.
        SchemaVersionError: A part is newer than ours.
    """
    user_version = _number(connection, "PRAGMA user_version")
    if user_version == 0 or _number(connection, "PRAGMA application_id") != APPLICATION_ID:
        _check_ours(connection, path)
        return False
    for part in parts:
        part.check(user_version, path)
    return all(part.version_in(user_version) == len(part.steps) for part in parts)


def upgrade(connection: sqlite3.Connection, parts: Sequence[SchemaPart], path: str) -> None:
    """Bring a file to the current version of all parts, in the transaction that is open.

    Raises:
        CorruptStoreError: The file is a database of something else.
        SchemaVersionError: A part is newer than ours.
    """
    if is_current(connection, parts, path):
        return
    user_version = _number(connection, "PRAGMA user_version")
    for part in parts:
        for step in part.steps[part.version_in(user_version) :]:
            for statement in step:
                connection.execute(statement)
        user_version += (len(part.steps) - part.version_in(user_version)) << 8 * part.slot
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {user_version}")


def _check_ours(connection: sqlite3.Connection, path: str) -> None:
    """Refuse a database that another program made: an empty one may become ours."""
    foreign = _number(connection, "PRAGMA application_id") not in (0, APPLICATION_ID)
    empty = _number(connection, "SELECT count(*) FROM (SELECT 1 FROM sqlite_master LIMIT 1)") == 0
    if foreign or not (empty and _number(connection, "PRAGMA user_version") == 0):
        raise CorruptStoreError(f"the file is a database of another program ({path})")


def _number(connection: sqlite3.Connection, statement: str) -> int:
    (number,) = connection.execute(statement).fetchone()
    return int(number)
