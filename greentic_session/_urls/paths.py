"""Path of a file in a URL."""

import re
from urllib.parse import unquote_to_bytes

from greentic_session.errors import InvalidInputError

__all__ = ["decode_path"]


def decode_path(path: str, store: str) -> str:
    """Return the path of a URL without its escapes.

    Args:
        path: The path as it stands in the URL, which ends with it.
        store: The noun of what the URL leads to, for messages: "a SQLite database".

    Raises:
        InvalidInputError: It has a query, a fragment, a character that must be escaped, or an
            escape that is none. The error does not repeat it.

    >>> decode_path("var/lib/bot%20data.db", "a SQLite database")
    'var/lib/bot data.db'
    """
    if "?" in path or "#" in path:
        raise InvalidInputError(f"the URL of {store} ends with the path; a ? in that is %3F, a # is %23")
    if re.search("%(?![0-9A-Fa-f]{2})", path):
        raise InvalidInputError(f"the URL of {store} has a % that is no escape; in a path it is %25")
    if re.search("[\\x00-\\x20\\x7f]|%00", path):
        raise InvalidInputError(f"the URL of {store} has a space or control character; a space is %20")
    try:
        return unquote_to_bytes(path).decode()
    except UnicodeError:
        raise InvalidInputError(f"the URL of {store} is no valid Unicode") from None  # the cause quotes the URL
