"""The table of sessions.

A row holds all that is known of a session; the text comes last, so that reading what is before it
leaves the text's pages alone. Columns that claims change have one length, claimed or not: SQLite
then writes only the page in which they are.

====================  ============================================================================
``id``                counts up; a session keeps it, so a walk in this order meets each once
``key``               the session key
``env`` ... ``user``  whose it is; ``''`` where it has no team or no user
``pointer``           the user whose latest session it is; NULL for nobody's
``place``             SHA-256 of owner and scope, under which it waits; NULL where it is no wait
``scope``             that scope, as JSON; of a copied wait whose scope nobody knows, its SHA-256
``end``               when its lifetime ends: seconds since the Unix epoch, infinite for never
``token``             of the claim on it; `FREE` without one
``lease_end``         when that claim ends
``text``              the SessionData, as JSON
====================  ============================================================================

``copies`` has what `migrate` copied here and how it left it, for 30 days at most; no operation of a
store looks at it.
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
        ]
    ],
)
"""The part of the schema that sessions have."""
