"""Walks over all replies, and over all ids of deliveries, in steps."""

import sqlite3
from typing import Any, Final, Literal

import msgspec

from greentic_session import tenancy
from greentic_session.admin import Step
from greentic_session.backend import Lying
from greentic_session.models import ReplyScope, TenantCtx
from greentic_session.tenancy import Owner

from .inboxes import reply_from
from .shelves import Shelves
from .walking import END, STEP_BYTES

__all__ = ["forget_window", "lying_behind", "owner_from"]

_STEP_ROWS: Final = 250
"""Number of rows that a step looks at."""
_SCOPES: Final = msgspec.json.Decoder(ReplyScope)
_IDS: Final = {"replies": "serial", "deliveries": "id"}
_OWNER: Final = "env, tenant, team, user"


def owner_from(columns: tuple[Any, ...]) -> Owner:
    """Return whose a row is, from the columns env, tenant, team and user."""
    env, tenant, team, user = columns
    return env, tenant, team or None, user


def lying_behind(connection: sqlite3.Connection, now: float, ctx: TenantCtx, after: int) -> tuple[list[Lying], int]:
    """Return the unsettled replies of one step that `ctx` owns, and where the next one begins."""
    window = _window(connection, "replies", after)
    if window is None:
        return [], END
    found, size = list[Lying](), 0
    columns = f"serial, kept, {_OWNER}, at, id, body, scope, accepted_at, delivery_id, sender"
    rows = connection.execute(
        f"SELECT {columns} FROM replies WHERE serial BETWEEN ? AND ? ORDER BY serial",  # noqa: S608  # constants of ours
        window,
    )
    for serial, kept, env, tenant, team, user, at, *reply in rows:
        owner = owner_from((env, tenant, team, user))
        if tenancy.owns(ctx, None, owner) and (kept is None or kept > now):
            found.append(Lying(owner, _SCOPES.decode(at), reply_from(tuple(reply))))
            size += len(reply[1])
        if size >= STEP_BYTES:
            return found, serial
    return found, window[1]


def forget_window(
    shelves: Shelves, table: Literal["replies", "deliveries"], ctx: TenantCtx, user: str | None, after: int
) -> tuple[Step, int]:
    """Forget what one step meets of a tenant or a user; return where the next one begins."""
    connection = shelves.connection
    window = _window(connection, table, after)
    if window is None:
        return Step(0, 0), END
    id = _IDS[table]
    rows = connection.execute(
        f"SELECT {id}, {_OWNER} FROM {table} WHERE {id} BETWEEN ? AND ?",  # noqa: S608  # as above
        window,
    ).fetchall()
    doomed = [row[0] for row in rows if tenancy.owns(ctx, user, owner_from(row[1:]))]
    if table == "replies":
        shelves.forget(doomed)
    else:
        connection.executemany("DELETE FROM deliveries WHERE id = ?", [(number,) for number in doomed])
    return Step(len(rows), 0), window[1]


def _window(connection: sqlite3.Connection, table: str, after: int) -> tuple[int, int] | None:
    id = _IDS[table]
    (first,) = connection.execute(f"SELECT min({id}) FROM {table} WHERE {id} > ?", (after,)).fetchone()  # noqa: S608
    return None if first is None else (first, first + _STEP_ROWS - 1)
