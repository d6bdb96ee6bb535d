"""The one place where seconds and timedeltas become milliseconds, Redis's unit and ours inside."""

import logging
import math
import sys
import warnings
from datetime import timedelta
from enum import Enum
from typing import Final, Literal, TypeAlias

from .errors import InvalidInputError

__all__ = ["MAX_TTL_MS", "NEVER", "Never", "Seconds", "Ttl", "default_ttl_ms", "milliseconds", "ttl_ms"]

MAX_TTL_MS: Final = 2**52
"""The longest lifetime, in milliseconds.

About 142,000 years. Beyond it, adding "now" could overflow a server's clock.
"""


TEN_YEARS_MS: Final = 3_653 * 86_400_000
"""Beyond it a lifetime is taken for a mistake: for milliseconds, most often."""

_log = logging.getLogger("greentic_session")

_PACKAGE: Final = __name__.partition(".")[0]

_USUAL: Final = (0.001, TEN_YEARS_MS / 1000)
"""Numbers between these need no closer look."""


class Never(Enum):
    """The type of `NEVER`."""

    NEVER = "never"

    def __repr__(self) -> str:
        return "NEVER"


NEVER: Final = Never.NEVER
"""As a TTL: never expires, whatever the store's default."""

Seconds: TypeAlias = float | timedelta
"""A length of time: a number of seconds, or a timedelta."""

Ttl: TypeAlias = Seconds | Literal[Never.NEVER] | None
"""A lifetime: `Seconds`, `NEVER`, or None for the store's default."""


def milliseconds(value: Seconds, name: str = "ttl") -> int:
    """Return a length of time in whole milliseconds: rounded to the nearest, at least 1.

    Args:
        value: A number of seconds, or a timedelta.
        name: What it is, for the message.

    Raises:
        InvalidInputError: It is zero, negative, NaN, infinite, or beyond 2**52 ms.
        TypeError: It is neither a number nor a timedelta.

    Warns:
        UserWarning: It is longer than ten years, as milliseconds are that were taken for seconds.
            It counts all the same; where warnings are errors, it is logged instead.

    >>> milliseconds(1.5), milliseconds(timedelta(days=1)), milliseconds(0.0000001)
    (1500, 86400000, 1)
    >>> milliseconds(0)
    Traceback (most recent call last):
        ...
    greentic_session.errors.InvalidInputError: ttl must be longer than zero
    """
    if (type(value) is float or type(value) is int) and _USUAL[0] <= value <= _USUAL[1]:
        return round(value * 1000)
    if isinstance(value, timedelta):
        microseconds = value // timedelta(microseconds=1)
        positive, result = microseconds > 0, (microseconds + 500) // 1000
    elif isinstance(value, int) and not isinstance(value, bool):
        positive, result = value > 0, value * 1000
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidInputError(f"{name} must be a finite number of seconds")
        # Past this bound the product could overflow to infinity, and the answer is known.
        positive, result = value > 0, round(value * 1000) if value <= MAX_TTL_MS else MAX_TTL_MS + 1
    else:
        raise TypeError(f"{name} must be a number of seconds or a timedelta, not {type(value).__name__}")
    if not positive:
        raise InvalidInputError(f"{name} must be longer than zero")
    if result > MAX_TTL_MS:
        raise InvalidInputError(f"{name} must be at most 2**52 milliseconds")
    if result > TEN_YEARS_MS:
        _warn_of_long(name, result)
    return max(result, 1)


def _warn_of_long(name: str, result_ms: int) -> None:
    """Warn of a lifetime that is most likely a mistake, at the line outside this package."""
    level, frame = 1, sys._getframe()  # noqa: SLF001
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        level, frame = level + 1, frame.f_back
    days = result_ms // 86_400_000
    try:
        warnings.warn(
            f"{name} is longer than ten years ({days} days): a number counts seconds, not milliseconds",
            UserWarning,
            stacklevel=level,
        )
    except UserWarning:  # a legal lifetime does not fail where warnings are errors
        _log.warning("%s is longer than ten years (%d days): a number counts seconds", name, days)


def default_ttl_ms(value: Ttl, name: str) -> int | None:
    """Return a store's default lifetime in milliseconds; None where sessions live for ever.

    Raises:
        InvalidInputError: As `milliseconds`.
        TypeError: As `milliseconds`.
    """
    return None if value is None or value is NEVER else milliseconds(value, name)


def ttl_ms(value: Ttl, default_ms: int | None) -> int | None:
    """Return a lifetime in milliseconds; None for ever. A `value` of None asks for the default.

    Raises:
        InvalidInputError: As `milliseconds`.
        TypeError: As `milliseconds`.

    >>> ttl_ms(2, 5000), ttl_ms(None, 5000), ttl_ms(NEVER, 5000)
    (2000, 5000, None)
    """
    if value is None:
        return default_ms
    return None if value is NEVER else milliseconds(value)
