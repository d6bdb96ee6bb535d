"""The schemes of the URLs that lead to a Redis; to be imported without redis-py."""

from typing import Final
from urllib.parse import urlsplit

from greentic_session.errors import InvalidInputError

__all__ = ["REDIS_SCHEMES", "check_scheme", "scheme_of"]

_SEVERAL_HOSTS: Final = ("redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")
REDIS_SCHEMES: Final = ("redis", "rediss", "unix", *_SEVERAL_HOSTS)
"""What the URL of a Redis, of its sentinels, or of a cluster begins with."""


def check_scheme(url: str, what: str, *others: str) -> None:
    """Check that a URL begins with a scheme that leads to a Redis.

    Args:
        url: The URL. It may hold a password: no message quotes any part of it.
        what: What the message calls it.
        others: More schemes for the message to name.

    Raises:
        InvalidInputError: It does not, or cannot be read. The message names the schemes.
        TypeError: It is no str.
    """
    if not isinstance(url, str):
        raise TypeError(f"url must be a str, not {type(url).__name__}")
    if scheme_of(url) not in REDIS_SCHEMES:
        schemes = ", ".join(f"{name}://" for name in (*others, *REDIS_SCHEMES))
        raise InvalidInputError(f"{what} must begin with one of: {schemes}")


def scheme_of(url: str) -> str:
    """Return the scheme of a URL, in small letters.

    Raises:
        InvalidInputError: The URL cannot be read. It may hold a password: no message quotes any
            part of it.
    """
    scheme = url.partition("://")[0].lower()
    if scheme in _SEVERAL_HOSTS:
        return scheme  # urlsplit may refuse what follows: several hosts
    try:
        return urlsplit(url).scheme
    except ValueError:
        raise InvalidInputError("the store's URL cannot be read") from None  # the cause quotes it
