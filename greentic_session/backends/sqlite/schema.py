"""The tables of sessions, replies and deliveries.

A row of ``sessions`` holds all that is known of a session; the text comes last, so that reading
what is before it leaves the text's pages alone. Columns that claims change have one length, claimed
or not: SQLite then writes only the page in which they are.

====================  ============================================================================
``id``                counts up; a session keeps it, so a walk in this order meets each once
``key``               the session key
``env`` ... ``user``  whose it is; ``''`` where it has no team or no user
``pointer``           the user whose latest session it is; NULL for nobody's
``place``             SHA-256 of owner and scope, under which it waits; NULL where it is no wait
``scope``             that scope, as JSON, with ``since``, the moment since when it waits there;
                      of a copied wait whose scope nobody knows, its SHA-256
``end``               when its lifetime ends: seconds since the Unix epoch, infinite for never
``token``             of the claim on it; `FREE` without one
``lease_end``         when that claim ends
``text``              the SessionData, as JSON
====================  ============================================================================

``turns`` has a row, under the same ``id``, for each session that takes part in replies and
deadlines: a reply has lain at its place, it is to be resumed at its deadline, or it was put off.
Others have none, and cost what they cost before there were any.

========================  ========================================================================
``env``, ``tenant``,      as in the session
``team``
``deadline``              when the wait is forgotten or resumed
``rest_end``              when the session ends, once nothing unsettled lies at its place
``resume``                1 where it is resumed
``put_off``               when it may be ready again after it was put off; 0 where it was not
``is_new``                1 until the first verdict of a session that a delivery began
``about``, ``failed``,    the open turn; NULL, 0, NULL without one
``turn_key``
``due``                   since when it is ready, or when it will be; infinite for never
========================  ========================================================================

``tenants`` has a row for each tenant that has something due; ``rank`` is when the first of it is
due or when the tenant had its last turn (``served``), whichever is later, or stands too early (see
`ranks`). Of equal ranks, the lowest ``id`` is first.

``replies`` has the unsettled replies: ``serial`` is the order of acceptance, ``at`` the scope of
the place and ``scope`` that of the delivery, ``delivery`` the name of its delivery, ``accepted_at``
what is told of ``accepted``, ``kept`` when it runs out where nothing waits (NULL where something
does).

``deliveries`` has the remembered ids of deliveries, each under its ``name``, one SHA-256 of the
conversation and the id: with the ``reply``, while that is unsettled, then until ``end``.

``copies`` has what `migrate` copied here and how it left it, for 30 days at most, and
``copied_replies`` which replies, with the ``token`` of the claim that held each there (empty for
none); no operation of a store looks at them.
"""

from typing import Final

from greentic_session._sqlite.schema import SchemaPart

__all__ = ["FREE", "SESSIONS"]

FREE: Final = "-" * 32
"""The token of a session without a claim: as long as one."""

SESSIONS: Final = SchemaPart(
    "sessions",
    0,
    [
        [
            """
            CREATE TABLE sessions (
                id INTEGER PRIMARY KEY,
                key TEXT NOT NULL,
                env TEXT NOT NULL,
                tenant TEXT NOT NULL,
                team TEXT NOT NULL,
                user TEXT NOT NULL,
                pointer TEXT,
                place BLOB,
                scope BLOB,
                end REAL NOT NULL,
                token TEXT NOT NULL,
                lease_end REAL NOT NULL,
                text BLOB NOT NULL
            )
            """,
            "CREATE UNIQUE INDEX sessions_by_key ON sessions (key)",
            "CREATE UNIQUE INDEX sessions_by_place ON sessions (place) WHERE place IS NOT NULL",
            "CREATE INDEX waits_by_owner ON sessions (user, tenant, env, team) WHERE place IS NOT NULL",
            "CREATE UNIQUE INDEX sessions_by_pointer ON sessions (pointer, tenant, env, team) WHERE pointer IS NOT NULL",
            "CREATE INDEX sessions_by_end ON sessions (end) WHERE end < 9e999",
            """
            CREATE TABLE copies (
                key TEXT PRIMARY KEY NOT NULL,
                source TEXT NOT NULL,
                version TEXT NOT NULL,
                end REAL NOT NULL,
                scope_hash TEXT NOT NULL,
                token TEXT NOT NULL,
                forgotten REAL NOT NULL
            ) WITHOUT ROWID
            """,
            "CREATE INDEX copies_by_end ON copies (forgotten)",
        ],
        [
            """
            CREATE TABLE turns (
                id INTEGER PRIMARY KEY,
                env TEXT NOT NULL,
                tenant TEXT NOT NULL,
                team TEXT NOT NULL,
                deadline REAL NOT NULL,
                rest_end REAL NOT NULL,
                resume INTEGER NOT NULL,
                put_off REAL NOT NULL,
                is_new INTEGER NOT NULL,
                about TEXT,
                failed INTEGER NOT NULL,
                turn_key TEXT,
                due REAL NOT NULL
            )
            """,
            "CREATE INDEX due_by_tenant ON turns (tenant, env, due) WHERE due < 9e999",
            "CREATE INDEX due_by_team ON turns (tenant, env, team, due) WHERE due < 9e999",
            """
            CREATE TABLE tenants (
                id INTEGER PRIMARY KEY,
                env TEXT NOT NULL,
                tenant TEXT NOT NULL,
                rank REAL NOT NULL,
                served REAL NOT NULL
            )
            """,
            "CREATE UNIQUE INDEX tenants_by_name ON tenants (tenant, env)",
            "CREATE INDEX tenants_by_rank ON tenants (rank)",
            """
            CREATE TABLE replies (
                serial INTEGER PRIMARY KEY AUTOINCREMENT,
                id TEXT NOT NULL,
                place BLOB NOT NULL,
                env TEXT NOT NULL,
                tenant TEXT NOT NULL,
                team TEXT NOT NULL,
                user TEXT NOT NULL,
                at BLOB NOT NULL,
                scope BLOB NOT NULL,
                delivery BLOB,
                delivery_id TEXT,
                sender TEXT,
                size INTEGER NOT NULL,
                accepted REAL NOT NULL,
                accepted_at REAL NOT NULL,
                keep_until REAL NOT NULL,
                token TEXT,
                held_until REAL NOT NULL,
                kept REAL,
                body BLOB NOT NULL
            )
            """,
            "CREATE INDEX replies_by_id ON replies (id)",
            "CREATE INDEX replies_by_place ON replies (place)",
            "CREATE INDEX replies_by_token ON replies (token) WHERE token IS NOT NULL",
            "CREATE INDEX kept_by_owner ON replies (user, tenant, env, team, kept, size) WHERE kept IS NOT NULL",
            "CREATE INDEX kept_by_end ON replies (kept) WHERE kept IS NOT NULL",
            """
            CREATE TABLE deliveries (
                id INTEGER PRIMARY KEY,
                name BLOB NOT NULL,
                env TEXT NOT NULL,
                tenant TEXT NOT NULL,
                team TEXT NOT NULL,
                user TEXT NOT NULL,
                reply INTEGER,
                end REAL NOT NULL
            )
            """,
            "CREATE UNIQUE INDEX deliveries_by_name ON deliveries (name, user, tenant, env, team)",
            "CREATE INDEX deliveries_by_end ON deliveries (end) WHERE end < 9e999",
            """
            CREATE TABLE copied_replies (
                id TEXT PRIMARY KEY NOT NULL,
                source TEXT NOT NULL,
                token TEXT NOT NULL,
                forgotten REAL NOT NULL
            ) WITHOUT ROWID
            """,
            "CREATE INDEX copied_replies_by_end ON copied_replies (forgotten)",
        ],
    ],
)
"""The part of the schema that sessions have."""
