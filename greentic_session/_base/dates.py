"""Dates of moments that are counted from the Unix epoch."""

from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = ["EPOCH", "date_of"]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def date_of(seconds: float) -> datetime:
    """Return the date of a moment, in seconds since the epoch.

    Raises:
        OverflowError: The calendar does not go so far.

    >>> date_of(1.5).isoformat()
    '1970-01-01T00:00:01.500000+00:00'
    """
    return EPOCH + timedelta(seconds=seconds)
