"""What to say where Python was built without `sqlite3`; to be imported without it."""

from greentic_session.errors import UnavailableError

__all__ = ["not_built"]


def not_built() -> UnavailableError:
    """Return the error for an operation that needs `sqlite3` where there is none."""
    return UnavailableError("a store in SQLite needs Python's own sqlite3, and this Python has none")
