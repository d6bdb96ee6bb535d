"""Examination of replies, turns and ids of deliveries: whether they agree."""

import sqlite3
from collections.abc import Mapping
from typing import Final

from .walking import END

__all__ = ["REPLY_FAULTS", "REPLY_TABLES", "examine_replies"]

_STEP_ROWS: Final = 250
"""Number of rows that a step looks at."""

_BY_HAND: Final = "No operation of the store leaves this: find out who wrote there. --reveal names them."
REPLY_FAULTS: Final[Mapping[str, tuple[bool, str, str]]] = {
    "stranded": (True, "replies that no wait leads to and that never run out", _BY_HAND),
    "unheard": (True, "waits with a reply or a deadline that no runner is told of", _BY_HAND),
    "forgotten": (True, "replies whose delivery is not remembered, or the other way round", _BY_HAND),
}
"""By its name: whether it is a fault, what it is, and what to do."""

_STRANDED: Final = """
    SELECT 'stranded', id FROM replies r
    WHERE serial BETWEEN ? AND ? AND (kept IS NULL) != EXISTS (SELECT 1 FROM sessions s WHERE s.place = r.place)
"""
_UNREMEMBERED: Final = """
    SELECT 'forgotten', id FROM replies r
    WHERE serial BETWEEN ? AND ? AND delivery IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.name = r.delivery AND d.reply = r.serial)
"""
_UNTOLD: Final = """
    SELECT 'unheard', id FROM replies r
    WHERE serial BETWEEN ? AND ? AND NOT EXISTS (
        SELECT 1 FROM sessions s JOIN turns t ON t.id = s.id WHERE s.place = r.place AND t.due < 9e999
    ) AND kept IS NULL
"""
_DISAGREEING: Final = """
    SELECT 'unheard', coalesce(s.key, t.id) FROM turns t LEFT JOIN sessions s ON s.id = t.id
    WHERE t.id BETWEEN ? AND ? AND (
        s.id IS NULL
        OR (t.due < 9e999) != (s.place IS NOT NULL AND (
            (t.resume AND t.deadline < 9e999) OR EXISTS (SELECT 1 FROM replies r WHERE r.place = s.place)
        ))
        OR (t.due < 9e999 AND NOT EXISTS (SELECT 1 FROM tenants x WHERE x.tenant = t.tenant AND x.env = t.env))
    )
"""
_OUT_OF_TURN: Final = """
    SELECT 'unheard', tenant FROM tenants x WHERE id BETWEEN ? AND ? AND x.rank > max(
        x.served, (SELECT min(t.due) FROM turns t WHERE t.tenant = x.tenant AND t.env = x.env AND t.due < 9e999)
    )
"""
_LEADING_NOWHERE: Final = """
    SELECT 'forgotten', id FROM deliveries d
    WHERE id BETWEEN ? AND ? AND (reply IS NULL) != (end < 9e999)
    OR (id BETWEEN ? AND ? AND reply IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM replies r WHERE r.serial = d.reply AND r.delivery = d.name))
"""
REPLY_TABLES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "replies": ("serial", (_STRANDED, _UNREMEMBERED, _UNTOLD)),
    "turns": ("id", (_DISAGREEING,)),
    "tenants": ("id", (_OUT_OF_TURN,)),
    "deliveries": ("id", (_LEADING_NOWHERE,)),
}
"""By its name: the id of a table, and what finds the faults of its rows."""


def examine_replies(connection: sqlite3.Connection, table: str, after: int) -> tuple[int, list[tuple[str, str]], int]:
    """Look at some rows of a table.

    Returns:
        How many there were; what is wrong, with the names of what it is about; and where the next
        step begins.
    """
    id, statements = REPLY_TABLES[table]
    (first,) = connection.execute(f"SELECT min({id}) FROM {table} WHERE {id} > ?", (after,)).fetchone()  # noqa: S608
    if first is None:
        return 0, [], END
    window = (first, first + _STEP_ROWS - 1)
    (count,) = connection.execute(f"SELECT count(*) FROM {table} WHERE {id} BETWEEN ? AND ?", window).fetchone()  # noqa: S608
    found: list[tuple[str, str]] = []
    for statement in statements:
        values = window * (statement.count("BETWEEN"))
        found += [(name, str(what)) for name, what in connection.execute(statement, values)]
    return count, found, window[1]
