"""Names of files and directories for partitions and ids: unique, and safe on every file system.

A name is a readable part of a text (at most 24 characters of a-z, 0-9 and ``_``), a hyphen, and the
SHA-256 of the text in hex. Whatever the text is, the name has no separator and no dot, is no device
of Windows, has at most 94 bytes, and stays the same on file systems that fold case or normalise
Unicode.
"""

import re
from functools import lru_cache
from hashlib import sha256
from typing import Final

from greentic_session.tenancy import Partition

__all__ = ["conversation_name", "partition_name"]

_MAX_READABLE_CHARACTERS: Final = 24
_REPLACED_CHARACTERS: Final = re.compile("[^a-z0-9]+")


@lru_cache(4096)
def conversation_name(id: str) -> str:
    """Return the name of a conversation's files, without suffix."""
    return _name(id, "conversation", id)


@lru_cache(1024)
def partition_name(partition: Partition) -> str:
    """Return the name of a partition's directory."""
    env, tenant, team = partition
    parts = (env, tenant) if team is None else partition
    return _name("_".join(map(str, parts)), "room", *map(str, parts))  # as 0.1.0 named it


def _name(readable: str, *parts: str) -> str:
    # No part holds a NUL, so two lists of parts never give the same text.
    prefix = _REPLACED_CHARACTERS.sub("_", readable[:_MAX_READABLE_CHARACTERS].lower())[:_MAX_READABLE_CHARACTERS]
    digest = sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()
    return f"{prefix}-{digest}"
