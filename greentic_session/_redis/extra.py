"""Error of an installation without redis-py; this module does without it."""

from collections.abc import Iterator
from contextlib import contextmanager

from greentic_session.errors import UnavailableError

__all__ = ["needing_redis"]


@contextmanager
def needing_redis() -> Iterator[None]:
    """Import in the block what needs redis-py.

    Raises:
        UnavailableError: It is not installed, or too old; the message names the extra.
    """
    try:
        yield
    except ImportError as error:
        raise UnavailableError("Redis needs an extra: python -m pip install 'greentic-session[redis]'") from error
