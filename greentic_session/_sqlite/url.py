"""URLs of databases: ``sqlite:///relative/path`` and ``sqlite:////absolute/path``."""

import os
import re
from typing import Final
from urllib.parse import unquote_to_bytes

from greentic_session.errors import InvalidInputError

__all__ = ["SQLITE_SCHEME", "path_of"]

SQLITE_SCHEME: Final = "sqlite"
_PREFIX: Final = f"{SQLITE_SCHEME}:///"
_MEMORY: Final = ":memory:"


def path_of(url: str) -> str:
    """Return the absolute path of a database's file; a relative one is resolved now.

    Raises:
        InvalidInputError: The URL is not valid. The error does not repeat it.

    >>> path_of("sqlite:////var/lib/bot%20data/bot.db")
    '/var/lib/bot data/bot.db'
    """
    if url[: len(_PREFIX)].lower() != _PREFIX:
        raise InvalidInputError(
            "the URL of a SQLite database is sqlite:///path with three slashes; an absolute path begins with a fourth"
        )
    path = url[len(_PREFIX) :]
    if not path.strip("/") or path.endswith("/"):
        raise InvalidInputError("the URL of a SQLite database ends with the path of its file")
    if path == _MEMORY:
        raise InvalidInputError("a database in memory would not outlive the store: that is memory://")
    if "?" in path or "#" in path:
        raise InvalidInputError("the URL of a SQLite database ends with the path; a ? in that is %3F, a # is %23")
    if re.search("%(?![0-9A-Fa-f]{2})", path):
        raise InvalidInputError("the URL of a SQLite database has a % that is no escape; in a path it is %25")
    if re.search("[\\x00-\\x20\\x7f]|%00", path):
        raise InvalidInputError("the URL of a SQLite database has a space or control character; a space is %20")
    try:
        decoded = unquote_to_bytes(path).decode()
    except UnicodeError:
        raise InvalidInputError("the URL of a SQLite database is no valid Unicode") from None  # the cause quotes the URL
    return os.path.abspath(decoded)  # noqa: PTH100  # resolve() would follow symbolic links now
