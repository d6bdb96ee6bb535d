"""Walks over the sessions of a tenant: who administers them reads them, or removes them."""

import sqlite3

from greentic_session import tenancy, transitions
from greentic_session.admin import Step
from greentic_session.errors import CorruptSessionError
from greentic_session.limits import ReplyLimits
from greentic_session.models import TenantCtx
from greentic_session.transitions import Leaving
from greentic_session.wait import Wait

from . import operations
from .rows import Row, by_key, rows_between
from .walking import END, STEP_BYTES, next_window

__all__ = ["purge_window", "sessions_behind"]


def sessions_behind(connection: sqlite3.Connection, now: float, ctx: TenantCtx, after: int) -> tuple[list[Wait], int]:
    """Return the sessions of one step that a caller administers, and where the next step begins."""
    window = next_window(connection, after)
    if window is None:
        return [], END
    found, size = list[Wait](), 0
    for row in rows_between(connection, *window, (ctx.env, ctx.tenant_id), text=True):
        wait = _readable(row) if transitions.is_live(row, now) else None
        if wait is not None and tenancy.administers(ctx, None, wait.data):
            found.append(wait)
        size += row.size
        if size >= STEP_BYTES:
            return found, row.id
    return found, window[1]


def purge_window(
    connection: sqlite3.Connection, now: float, ctx: TenantCtx, user: str | None, after: int, limits: ReplyLimits
) -> tuple[Step, int]:
    """Remove the sessions of one step that a caller administers; return where the next begins.

    Args:
        connection: A transaction.
        now: The moment.
        ctx: The tenant.
        user: Only those of this user, unless it is None.
        after: Where this step begins.
        limits: The limits of the store, for the replies that wait there.
    """
    window = next_window(connection, after)
    if window is None:
        return Step(0, 0), END
    looked = removed = 0
    for found in list(rows_between(connection, *window)):
        looked += 1
        # What goes may end another one, which lived on for a reply.
        row = by_key(connection, found.key) if found.takes_part else found
        if row is not None and tenancy.administers(ctx, user, row.data):
            removed += transitions.is_live(row, now)
            operations.take_away(connection, row, Leaving.REMOVED, now, limits)
    return Step(looked, removed), window[1]


def _readable(row: Row) -> Wait | None:
    try:
        return row.wait(row.known_scope)
    except CorruptSessionError:
        return None  # whose it is cannot be said; reading it by its key tells
