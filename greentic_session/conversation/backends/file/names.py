"""From partitions and ids to names of files that no id can escape from, and no two ids share.

A name is what can be read of a text (at most 24 characters of a-z, 0-9 and ``_``), a hyphen, and
the SHA-256 of the text in hex. It says the same on file systems that fold case or normalise
Unicode, it is no device of Windows, has no dot at its ends and 94 bytes at most, whatever the text
was.
"""

import re
from functools import lru_cache
from hashlib import sha256
from typing import Final

from greentic_session.tenancy import Partition

__all__ = ["LOCK", "LOG", "TEMPORARY", "base_of", "conversation_name", "namespace_name", "partition_name"]

LOG: Final = ".log"
"""Ends the name of a file that holds a conversation."""
LOCK: Final = ".lock"
"""Ends the name of a file that is locked by whoever is at the conversation."""
TEMPORARY: Final = ".tmp"
"""Ends the name of a file that is just being written, to take the place of another."""

_READABLE: Final = 24
_UNREADABLE: Final = re.compile("[^a-z0-9]+")
_OURS: Final = re.compile(r"([a-z0-9_]{0,24}-[0-9a-f]{64})(\.log|\.lock|\.tmp)")


@lru_cache(4096)
def conversation_name(id: str) -> str:
    """Return the name of a conversation's files, without what tells them apart."""
    return _name(id, "conversation", id)


@lru_cache(1024)
def partition_name(partition: Partition) -> str:
    """Return the name of a partition's directory."""
    env, tenant, team = partition
    parts = (env, tenant) if team is None else partition
    return _name("_".join(map(str, parts)), "room", *map(str, parts))  # as directories have it


def namespace_name(namespace: str) -> str:
    """Return the name of a namespace's directory."""
    return _name(namespace, "namespace", namespace)


def base_of(name: str) -> tuple[str, str] | None:
    """Return the base and the suffix of a file name; None for a foreign one."""
    match = _OURS.fullmatch(name)
    return None if match is None else (match[1], match[2])


def _name(readable: str, *parts: str) -> str:
    # No part holds a NUL, so no two lists of parts are joined to one text.
    front = _UNREADABLE.sub("_", readable[:_READABLE].lower())[:_READABLE]
    digest = sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()
    return f"{front}-{digest}"
