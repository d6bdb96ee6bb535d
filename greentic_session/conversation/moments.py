"""Moments: points in time, to the microsecond.

Microseconds since the Unix epoch inside, UTC datetimes outside, RFC 3339 in JSON.
"""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from greentic_session._base.dates import EPOCH
from greentic_session.errors import InvalidInputError

__all__ = ["MAX_MOMENT", "Clock", "as_datetime", "as_moment", "later", "utc_now"]

Clock: TypeAlias = Callable[[], int]
"""Returns the time in microseconds since the Unix epoch."""

MAX_MOMENT: Final = 2**53 - 1
"""The latest moment, in the year 2255: the largest integer that a double of Redis or Lua holds."""

_MICROSECOND: Final = timedelta(microseconds=1)


def utc_now() -> int:
    """Return the time of this machine."""
    return time.time_ns() // 1000


def later(now: int, before: int) -> int:
    """Return the moment of a change: `now`, but later than the change `before` it.

    >>> later(now=1000, before=7), later(now=1000, before=2000)
    (1000, 2001)
    """
    return max(now, before + 1)


def as_datetime(moment: int) -> datetime:
    """Return a moment as a UTC datetime.

    >>> as_datetime(1_500_000).isoformat()
    '1970-01-01T00:00:01.500000+00:00'
    """
    return EPOCH + timedelta(microseconds=moment)


def as_moment(value: object, name: str) -> int:
    """Return a datetime as a moment; `name` is its name in error messages.

    Raises:
        InvalidInputError: The datetime has no time zone, or is before 1970 or after 2255.
        TypeError: The value is no datetime.

    >>> from datetime import UTC
    >>> as_moment(datetime(1970, 1, 2, tzinfo=UTC), "created_at")
    86400000000
    """
    if not isinstance(value, datetime):
        raise TypeError(f"{name} must be a datetime, not {type(value).__name__}")
    if value.utcoffset() is None:
        raise InvalidInputError(f"{name} must have a time zone")
    moment = (value - EPOCH) // _MICROSECOND
    if not 0 <= moment <= MAX_MOMENT:
        raise InvalidInputError(f"{name} must be from 1970 to 2255")
    return moment
