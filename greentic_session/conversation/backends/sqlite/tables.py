"""Operations on the tables of conversations, each within a transaction that is open.

Every operation checks before it writes. It may run again after its transaction was rolled back, so
it changes nothing but the database.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from greentic_session._expiry.expiring import Timer
from greentic_session.conversation.conversation import ConversationSummary
from greentic_session.conversation.envelope import read_envelope, write_envelope
from greentic_session.conversation.header import Change, Edit, Expected, Header, Lifetime, Revision, Tail
from greentic_session.conversation.moments import MAX_MOMENT, as_datetime, later
from greentic_session.conversation.rules import absent, check_schema, corrupt
from greentic_session.conversation.transitions import changed_header, end_of_edit, replacing
from greentic_session.tenancy import NO_TEAM, Partition

from .removal import DELETE, drop, drop_messages

__all__ = ["Tables", "key_of", "partition_of_key"]

_COLUMNS: Final = "number, birth, schema_version, created_at, updated_at, message_count, expires_at"
_FIND: Final = f"SELECT {_COLUMNS} FROM conversation WHERE namespace = ? AND partition_key = ? AND id = ?"  # noqa: S608
_INSERT: Final = """
    INSERT INTO conversation
    (namespace, partition_key, id, birth, schema_version, created_at, updated_at, message_count, expires_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_ADD: Final = "INSERT INTO conversation_message (conversation, position, text) VALUES (?, ?, ?)"
_GROW: Final = "UPDATE conversation SET message_count = ?, updated_at = ?, expires_at = ? WHERE number = ?"
_CHANGE: Final = "UPDATE conversation SET schema_version = ?, updated_at = ?, expires_at = ? WHERE number = ?"
_RENEW: Final = "UPDATE conversation SET expires_at = ? WHERE number = ?"
_HEADER: Final = "SELECT text FROM conversation_header WHERE conversation = ?"
_ADD_HEADER: Final = "INSERT OR REPLACE INTO conversation_header VALUES (?, ?)"
_MESSAGES: Final = """
    SELECT position, text FROM conversation_message
    WHERE conversation = ? AND position >= ? AND position < ?
    ORDER BY position
"""
_DELETE_FROM: Final = "DELETE FROM conversation_message WHERE conversation = ? AND position >= ?"
_REBEAR: Final = "UPDATE conversation SET birth = ?, message_count = ?, updated_at = ?, expires_at = ? WHERE number = ?"
_MOVE_HEADER: Final = "UPDATE conversation_header SET conversation = ? WHERE conversation = ?"
_MOVE_FROM: Final = """
    UPDATE conversation_message SET conversation = ?, position = position + ? WHERE conversation = ? AND position >= ?
"""
# A range of the index first: of what changed at the very moment, only ids behind the last one.
_RECENT: Final = """
    SELECT id, created_at, updated_at, message_count FROM conversation
    WHERE namespace = ? AND partition_key = ? AND updated_at <= ? AND (updated_at < ? OR id > ?)
    AND (expires_at IS NULL OR expires_at > ?)
    ORDER BY updated_at DESC, id LIMIT ?
"""
_NAMES: Final = """
    SELECT number, partition_key, id FROM conversation WHERE number > ? AND namespace = ? ORDER BY number LIMIT ?
"""
_LAST: Final = "SELECT max(number) FROM conversation"
_OF_PARTITION: Final = """
    SELECT number, message_count, expires_at FROM conversation
    WHERE namespace = ? AND partition_key = ? AND number <= ? LIMIT ?
"""
_PARTITIONS: Final = """
    SELECT DISTINCT partition_key FROM conversation
    WHERE namespace = ? AND partition_key >= ? AND partition_key < ?
"""


class _Row(NamedTuple):
    """What ``conversation`` has of one, without its names."""

    number: int
    birth: str
    schema_version: int
    created_at: int
    updated_at: int
    message_count: int
    expires_at: int | None

    def header(self) -> Header:
        """Return what the rules of a `put` look at."""
        return Header(
            birth=self.birth,
            created_at=self.created_at,
            updated_at=self.updated_at,
            schema_version=self.schema_version,
        )


def key_of(partition: Partition) -> str:
    """Return a partition as text; ``-`` is no team of anybody.

    >>> key_of(("prod", "acme", None))
    'prod/acme/-'
    """
    env, tenant, team = partition
    return f"{env}/{tenant}/{team or NO_TEAM}"


def partition_of_key(key: str) -> Partition:
    """Return the partition that `key_of` made a text of.

    >>> partition_of_key("prod/acme/-")
    ('prod', 'acme', None)
    """
    env, tenant, team = key.split("/")
    return env, tenant, None if team == NO_TEAM else team


class Tables:
    """Conversations of one namespace.

    Args:
        namespace: The namespace; any text.
        timer: Returns the time in seconds since the Unix epoch, by which lifetimes are measured.
    """

    def __init__(self, namespace: str, timer: Timer) -> None:
        self._namespace = namespace
        self._timer = timer

    def put(
        self,
        connection: sqlite3.Connection,
        partition: Partition,
        id: str,
        header: Header,
        messages: Sequence[bytes],
        expected: Expected,
        life: Lifetime,
    ) -> Header:
        """Do `ConversationBackend.put`."""
        now = self._now_ms()
        row = self._find(connection, partition, id)
        live = row if row is not None and _is_live(row.expires_at, now) else None
        header = replacing(None if live is None else live.header(), header, expected, id)
        text = write_envelope(header, (), id)
        expires_at = _end(life.ttl_ms, now) if live is None else _renewed(live, life, now)
        if row is not None:
            drop(connection, row.number, row.message_count)
        times = (header.created_at, header.updated_at)
        values = (self._namespace, key_of(partition), id, header.birth, header.schema_version, *times)
        number = connection.execute(_INSERT, (*values, len(messages), expires_at)).lastrowid
        assert number is not None
        connection.execute(_ADD_HEADER, (number, text))
        _add(connection, number, 0, messages)
        return header

    def load(
        self, connection: sqlite3.Connection, partition: Partition, id: str, life: Lifetime, most: int | None = None
    ) -> tuple[Header, list[bytes]] | None:
        """Do `ConversationBackend.load`; with more than `most` messages, nothing: return None."""
        now = self._now_ms()
        row = self._readable(connection, partition, id, now)
        if most is not None and row.message_count > most:
            return None
        header = _read_header(connection, row, id)
        messages = _read_messages(connection, row, 0)
        _renew(connection, row, life, now)
        return header, messages

    def delete(self, connection: sqlite3.Connection, partition: Partition, id: str) -> list[int]:
        """Do `ConversationBackend.delete`; return its number where messages have become garbage."""
        row = self._find(connection, partition, id)
        if row is None or not _is_live(row.expires_at, self._now_ms()):
            raise absent(id)
        return [row.number] if drop(connection, row.number, row.message_count) else []

    def append(
        self,
        connection: sqlite3.Connection,
        partition: Partition,
        id: str,
        messages: Sequence[bytes],
        now: int,
        life: Lifetime,
    ) -> int:
        """Do `ConversationBackend.append`."""
        now_ms = self._now_ms()
        row = self._readable(connection, partition, id, now_ms)
        if not messages:
            _renew(connection, row, life, now_ms)
            return row.message_count
        count = row.message_count + len(messages)
        _add(connection, row.number, row.message_count, messages)
        updated_at = later(now, row.updated_at)
        connection.execute(_GROW, (count, updated_at, _renewed(row, life, now_ms), row.number))
        return count

    def messages(
        self,
        connection: sqlite3.Connection,
        partition: Partition,
        id: str,
        last: int | None,
        life: Lifetime,
        most: int | None = None,
    ) -> Tail | None:
        """Do `ConversationBackend.messages`; for more than `most` of them, nothing: return None."""
        now = self._now_ms()
        row = self._readable(connection, partition, id, now)
        first = 0 if last is None else max(row.message_count - last, 0)
        if most is not None and row.message_count - first > most:
            return None
        messages = _read_messages(connection, row, first)
        _renew(connection, row, life, now)
        return Tail(row.birth, row.message_count, messages)

    def edit(
        self, connection: sqlite3.Connection, partition: Partition, id: str, edit: Edit, now: int, life: Lifetime
    ) -> tuple[int, list[int]]:
        """Do `ConversationBackend.edit`.

        Messages behind those that go get other positions, so the conversation gets another number,
        as by a `put`: nothing is written where a reader may be, and long garbage is freed later.

        Returns:
            The new number of messages, and the old number of the conversation where messages have
            become garbage.
        """
        now_ms = self._now_ms()
        row = self._readable(connection, partition, id, now_ms)
        end = end_of_edit(row.birth, row.message_count, edit, id)
        behind = edit.first + len(edit.messages)
        count = behind + row.message_count - end
        updated_at, expires_at = later(now, row.updated_at), _renewed(row, life, now_ms)
        if edit.first:
            connection.execute(_DELETE_FROM, (row.number, edit.first))
            _add(connection, row.number, edit.first, edit.messages)
            connection.execute(_REBEAR, (edit.birth, count, updated_at, expires_at, row.number))
            return count, []
        connection.execute(DELETE, (row.number,))
        values = (self._namespace, key_of(partition), id, edit.birth, row.schema_version, row.created_at, updated_at)
        number = connection.execute(_INSERT, (*values, count, expires_at)).lastrowid
        assert number is not None
        connection.execute(_MOVE_HEADER, (number, row.number))
        connection.execute(_MOVE_FROM, (number, behind - end, row.number, end))
        _add(connection, number, 0, edit.messages)
        return count, [row.number] if drop_messages(connection, row.number, end) else []

    def renew(self, connection: sqlite3.Connection, partition: Partition, id: str, life: Lifetime) -> None:
        """Renew a lifetime, for a read that is not done in the same transaction."""
        now = self._now_ms()
        _renew(connection, self._readable(connection, partition, id, now), life, now)

    def update(
        self, connection: sqlite3.Connection, partition: Partition, id: str, change: Change, now: int, life: Lifetime
    ) -> None:
        """Do `ConversationBackend.update`."""
        now_ms = self._now_ms()
        row = self._readable(connection, partition, id, now_ms)
        header = changed_header(_read_header(connection, row, id), change, now)
        connection.execute(_ADD_HEADER, (row.number, write_envelope(header, (), id)))
        expires_at = _renewed(row, life, now_ms)
        connection.execute(_CHANGE, (header.schema_version, header.updated_at, expires_at, row.number))

    def recent(
        self, connection: sqlite3.Connection, partition: Partition, limit: int, after: str | None, since: int | None
    ) -> list[ConversationSummary]:
        """Do `ConversationBackend.recent`; a limit of -1 is none."""
        now = self._now_ms()
        if after is not None and since is None:
            row = self._find(connection, partition, after)
            if row is None or not _is_live(row.expires_at, now):
                raise absent(after)
            since = row.updated_at
        since = MAX_MOMENT if since is None else since
        keys = (self._namespace, key_of(partition), since, since, after or "", now, limit)
        return [
            ConversationSummary(id, as_datetime(created_at), as_datetime(updated_at), count)
            for id, created_at, updated_at, count in connection.execute(_RECENT, keys)
        ]

    def peek(self, connection: sqlite3.Connection, partition: Partition, id: str) -> tuple[Revision, int | None] | None:
        """Return revision and remaining lifetime (in ms, None for ever) of a live conversation."""
        now = self._now_ms()
        row = self._find(connection, partition, id)
        if row is None or not _is_live(row.expires_at, now):
            return None
        return row.header().revision, None if row.expires_at is None else row.expires_at - now

    def names(self, connection: sqlite3.Connection, after: int, most: int) -> tuple[list[tuple[Partition, str]], int]:
        """Return partition and id of some conversations, by number, and the last number.

        Args:
            connection: The connection.
            after: The number behind which to begin.
            most: How many to return.
        """
        rows = connection.execute(_NAMES, (after, self._namespace, most)).fetchall()
        return [(partition_of_key(key), id) for _, key, id in rows], rows[-1][0] if rows else after

    def last_number(self, connection: sqlite3.Connection) -> int:
        """Return the largest number of a conversation; 0 without any."""
        (number,) = connection.execute(_LAST).fetchone()
        return number or 0

    def partition_keys(self, connection: sqlite3.Connection, env: str, tenant: str, team: str | None) -> list[str]:
        """Return the partitions of a tenant, or the one of its team, as `key_of` has them."""
        if team is not None:
            return [key_of((env, tenant, team))]
        first, end = f"{env}/{tenant}/", f"{env}/{tenant}0"  # 0 is the character behind the slash
        return [key for (key,) in connection.execute(_PARTITIONS, (self._namespace, first, end))]

    def remove_some(
        self, connection: sqlite3.Connection, partition_key: str, last_number: int, most: int
    ) -> tuple[int, int, list[int]]:
        """Remove some conversations of a partition.

        Args:
            connection: The connection.
            partition_key: The partition, as `key_of` has it.
            last_number: Newer conversations stay.
            most: How many to remove.

        Returns:
            How many were removed, how many of these were live, and the numbers of those whose
            messages have become garbage.
        """
        now = self._now_ms()
        found = connection.execute(_OF_PARTITION, (self._namespace, partition_key, last_number, most)).fetchall()
        garbage = [number for number, count, _ in found if drop(connection, number, count)]
        return len(found), sum([_is_live(expires_at, now) for _, _, expires_at in found]), garbage

    def _now_ms(self) -> int:
        return int(self._timer() * 1000)

    def _find(self, connection: sqlite3.Connection, partition: Partition, id: str) -> _Row | None:
        found = connection.execute(_FIND, (self._namespace, key_of(partition), id)).fetchone()
        return None if found is None else _Row._make(found)

    def _readable(self, connection: sqlite3.Connection, partition: Partition, id: str, now: int) -> _Row:
        row = self._find(connection, partition, id)
        if row is None or not _is_live(row.expires_at, now):
            raise absent(id)
        check_schema(row.schema_version, id)
        return row


def _is_live(expires_at: int | None, now: int) -> bool:
    return expires_at is None or expires_at > now


def _end(ttl_ms: int | None, now: int) -> int | None:
    return None if ttl_ms is None else now + ttl_ms


def _renewed(row: _Row, life: Lifetime, now: int) -> int | None:
    """Return the end of a lifetime after an operation."""
    return row.expires_at if life.again_ms is None else now + life.again_ms


def _renew(connection: sqlite3.Connection, row: _Row, life: Lifetime, now: int) -> None:
    if life.again_ms is not None:
        connection.execute(_RENEW, (_renewed(row, life, now), row.number))


def _add(connection: sqlite3.Connection, number: int, first: int, messages: Sequence[bytes]) -> None:
    if len(messages) == 1:
        connection.execute(_ADD, (number, first, messages[0]))
    else:
        connection.executemany(_ADD, ((number, position, text) for position, text in enumerate(messages, first)))


def _read_header(connection: sqlite3.Connection, row: _Row, id: str) -> Header:
    found = connection.execute(_HEADER, (row.number,)).fetchone()
    if found is None:
        raise corrupt(id)
    header, _ = read_envelope(_as_bytes(found[0]), id)
    return replace(header, birth=row.birth, created_at=row.created_at, updated_at=row.updated_at)


def _read_messages(connection: sqlite3.Connection, row: _Row, first: int) -> list[bytes]:
    """Return the messages from a position on; a missing one is empty, which no decoder reads."""
    found: list[Any] = connection.execute(_MESSAGES, (row.number, first, row.message_count)).fetchall()
    if len(found) == row.message_count - first:
        return [_as_bytes(text) for _, text in found]
    by_position = dict(found)
    return [_as_bytes(by_position.get(position, b"")) for position in range(first, row.message_count)]


def _as_bytes(text: Any) -> bytes:
    """Return a text of a row; another program may have stored it as TEXT."""
    return text if isinstance(text, bytes) else str(text).encode("utf-8", "surrogateescape")
