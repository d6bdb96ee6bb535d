"""Error of a Python that was built without `sqlite3`; this module does without it."""

from collections.abc import Iterator
from contextlib import contextmanager

from greentic_session.errors import UnavailableError

__all__ = ["needing_sqlite"]


@contextmanager
def needing_sqlite() -> Iterator[None]:
    """Import in the block what needs `sqlite3`.

    Raises:
        UnavailableError: Python was built without it.
    """
    try:
        yield
    except ImportError as error:
        raise UnavailableError("a store in SQLite needs Python's own sqlite3, and this Python has none") from error
