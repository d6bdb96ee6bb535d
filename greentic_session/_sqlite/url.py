"""URLs and paths of databases: ``sqlite:///relative/path`` and ``sqlite:////absolute/path``.

To be imported without `sqlite3`. No message quotes a URL: it may hold what nobody should see.
"""

import os
import re
from typing import Final
from urllib.parse import unquote_to_bytes

from greentic_session.errors import InvalidInputError

__all__ = ["SQLITE_SCHEME", "checked_path", "path_of"]

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
    if url.lower() in (f"{SQLITE_SCHEME}://", f"{SQLITE_SCHEME}://{_MEMORY}"):
        raise InvalidInputError("a database in memory would not outlive the store: that is memory://")
    if url[: len(_PREFIX)].lower() != _PREFIX:
        raise InvalidInputError(
            "the URL of a SQLite database is sqlite:///path with three slashes; an absolute path begins with a fourth"
        )
    return checked_path(_decoded(url[len(_PREFIX) :]))


def _decoded(path: str) -> str:
    """Return the path of a URL, which ends with it, without its escapes."""
    if "?" in path or "#" in path:
        raise InvalidInputError("the URL of a SQLite database ends with the path; a ? in that is %3F, a # is %23")
    if re.search("%(?![0-9A-Fa-f]{2})", path):
        raise InvalidInputError("the URL of a SQLite database has a % that is no escape; in a path it is %25")
    if re.search("[\\x00-\\x20\\x7f]|%00", path):
        raise InvalidInputError("the URL of a SQLite database has a space or control character; a space is %20")
    try:
        return unquote_to_bytes(path).decode()
    except UnicodeError:
        raise InvalidInputError("the URL of a SQLite database is no valid Unicode") from None  # the cause quotes the URL


def checked_path(path: str | os.PathLike[str]) -> str:
    """Return the absolute path of a database's file; a relative one is resolved now.

    Raises:
        InvalidInputError: It names no file, or is ``:memory:``.
        TypeError: It is neither a str nor a path.
    """
    text = os.fspath(path)
    if not isinstance(text, str):
        raise TypeError(f"path must be a str or a path, not {type(path).__name__}")
    if text == _MEMORY:
        raise InvalidInputError("a database in memory would not outlive the store: that is memory://")
    if not text.strip("/") or text.endswith("/"):
        raise InvalidInputError("the path of a SQLite database must be that of its file")
    if "\0" in text:
        raise InvalidInputError("the path of a SQLite database must not hold NUL")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInputError("the path of a SQLite database is no valid Unicode") from None  # the cause quotes it
    return os.path.abspath(text)  # noqa: PTH100  # resolve() would follow symbolic links now
