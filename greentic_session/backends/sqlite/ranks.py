"""Order in which tenants take turns: the rows of ``tenants``.

A tenant's rank is when the first of it is due or when it had its last turn (``served``), whichever
is later. It may stand too early, and never too late: what becomes due later, or is due no more,
leaves the rank as it is, so that a verdict on a claim changes nothing here. Who meets such a rank
at the head sets it right, and upkeep frees those of tenants that have nothing due.
"""

import sqlite3
from typing import Final, TypeAlias

__all__ = ["Tenant", "bring_forward", "free_idle", "free_idle_of", "serve", "set_right"]

Tenant: TypeAlias = tuple[str, str]
"""Its env and its name."""

_DUE: Final = "SELECT min(due) FROM turns t WHERE t.tenant = tenants.tenant AND t.env = tenants.env AND t.due < 9e999"
_LOOKED_AT: Final = 20
"""Number of ranks that are looked at where the first one stands too early."""
_EARLY: Final = (
    f"SELECT env, tenant, served, due FROM (SELECT *, ({_DUE}) AS due FROM tenants ORDER BY rank, id LIMIT ?) "  # noqa: S608  # constants of ours
    "WHERE due IS NULL OR max(due, served) > rank"
)
"""Those of the first ranks that stand too early."""
_OF_ONE: Final = "WHERE tenant = ? AND env = ?"
_IDLE: Final = f"({_DUE}) IS NULL"


def bring_forward(connection: sqlite3.Connection, tenant: Tenant, due: float, now: float) -> None:
    """Note that something of a tenant is due at a moment; its rank may be as early anyway.

    Where the clock was set back, its last turn counts as one of now.
    """
    env, name = tenant
    known = connection.execute(f"SELECT rank, served FROM tenants {_OF_ONE}", (name, env)).fetchone()  # noqa: S608  # as above
    if known is None:
        _put(connection, tenant, due, 0.0)
    elif (rank := max(due, served := min(known[1], now))) < known[0]:
        _put(connection, tenant, rank, served)


def serve(connection: sqlite3.Connection, tenant: Tenant, now: float) -> None:
    """Put a tenant behind the others: it had its turn."""
    env, name = tenant
    statement = "SELECT min(due) FROM turns WHERE tenant = ? AND env = ? AND due < 9e999"
    (due,) = connection.execute(statement, (name, env)).fetchone()
    _correct(connection, tenant, due, now)


def set_right(connection: sqlite3.Connection) -> bool:
    """Set the rank at the head right if it stands too early; say whether it did.

    The next ones are set right with it: they would be at the head soon, and each cost a sync.
    """
    if not connection.execute(_EARLY, (1,)).fetchall():
        return False
    for env, name, served, due in connection.execute(_EARLY, (_LOOKED_AT,)).fetchall():
        _correct(connection, (env, name), due, served)
    return True


def free_idle(connection: sqlite3.Connection, after: int, most: int) -> int:
    """Free the ranks of tenants that have nothing due, among the next ones behind an id.

    Returns:
        Behind which id to go on; 0 at the end.
    """
    ids = connection.execute("SELECT id FROM tenants WHERE id > ? ORDER BY id LIMIT ?", (after, most)).fetchall()
    if not ids:
        return 0
    last: int = ids[-1][0]
    connection.execute(f"DELETE FROM tenants WHERE id > ? AND id <= ? AND {_IDLE}", (after, last))  # noqa: S608  # as above
    return last if len(ids) == most else 0


def free_idle_of(connection: sqlite3.Connection, tenant: Tenant) -> None:
    """Free the rank of a tenant that has nothing due."""
    env, name = tenant
    connection.execute(f"DELETE FROM tenants {_OF_ONE} AND {_IDLE}", (name, env))  # noqa: S608  # as above


def _correct(connection: sqlite3.Connection, tenant: Tenant, due: float | None, served: float) -> None:
    if due is None:
        free_idle_of(connection, tenant)
    else:
        _put(connection, tenant, max(due, served), served)


def _put(connection: sqlite3.Connection, tenant: Tenant, rank: float, served: float) -> None:
    # Behind all that have the same rank: the new row's id is the highest.
    statement = "INSERT OR REPLACE INTO tenants (env, tenant, rank, served) VALUES (?, ?, ?, ?)"
    connection.execute(statement, (*tenant, rank, served))
