"""The schemes of the URLs that lead to a Redis; to be imported without redis-py."""

from typing import Final
from urllib.parse import urlsplit

from greentic_session.errors import InvalidInputError

__all__ = ["REDIS_SCHEMES", "scheme_of"]

_OF_SEVERAL: Final = ("redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")
REDIS_SCHEMES: Final = ("redis", "rediss", "unix", *_OF_SEVERAL)
"""What the URL of a Redis, of its sentinels, or of a cluster begins with."""


def scheme_of(url: str) -> str:
    """Return the scheme of a URL, in small letters.

    Raises:
        InvalidInputError: The URL cannot be read. It may hold a password: no message quotes any part of it.
    """
    scheme = url.partition("://")[0].lower()
    if scheme in _OF_SEVERAL:
        return scheme  # urlsplit may refuse what follows: several hosts
    try:
        return urlsplit(url).scheme
    except ValueError:
        raise InvalidInputError("the store's URL cannot be read") from None  # the cause quotes it
