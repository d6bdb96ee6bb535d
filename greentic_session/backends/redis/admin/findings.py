"""What the names mean by which `lua/admin/examine.lua` tells what it found."""

from collections.abc import Mapping
from typing import Final

__all__ = ["FAULTS"]

_PARK_AGAIN = (
    "Park the flow again, or remove the session with `greentic-session remove`; --reveal names the keys. "
    "Find out who wrote there: no operation of the store leaves this."
)

FAULTS: Final[Mapping[str, tuple[bool, str, str]]] = {
    "type": (
        True,
        "keys that hold another type than they should",
        "Another program writes in this namespace: give it one of its own, and delete these keys (--reveal names them).",
    ),
    "lost": (
        True,
        "waits whose session is gone, while all that leads to it is still there",
        "Deleted by hand, or evicted: these flows are lost. See the eviction policy; start them again, or restore a backup.",
    ),
    "unreachable": (True, "waits that no scope leads to: their answers find nothing", _PARK_AGAIN),
    "unlisted": (
        True,
        "waits that are missing in their user's set: lists leave them out",
        "Park the flow again; --reveal names the keys. They were taken out by hand, or by a Rust runtime's old scope key.",
    ),
    "unindexed": (
        True,
        "waits that are missing in their user's index",
        "Parking anything for that user, or listing the user's waits, makes the index anew. Find out who wrote there.",
    ),
    "unready": (
        True,
        "inboxes whose waits are missing in the index of what is ready: no runner finds them",
        "The next delivery there, or parking the flow again, puts them in (--reveal names them). Find out who wrote there.",
    ),
    "pointer": (
        True,
        "sessions that no owner pointer leads to, on a cluster: they cannot be read by their key",
        "Park the flow again; --reveal names the keys. Find out who wrote there: no operation of the store leaves this.",
    ),
    "unnamed": (
        True,
        "users who have, or will have, something ready and are missing in the index across slots, on a cluster",
        "Delete the key `named` in the slot of each (--reveal says whom): the next delivery there makes the entry anew.",
    ),
    "lifetimes": (
        True,
        "waits of which not all parts have the same lifetime: they may end early, or in part",
        "Give them one with touch, or park the flow again (--reveal names the keys). Find out who set a lifetime by hand.",
    ),
    "owner": (True, "sessions whose record names another owner than their text", _PARK_AGAIN),
    "endless_claim": (
        True,
        "claims without an end: nobody can claim these waits any more",
        "Delete these keys (--reveal names them): the waits are free again then. Find out who wrote there.",
    ),
    "unreadable": (
        False,
        "sessions of which nobody can tell whose they are: their text is not a session",
        "Remove them with `greentic-session remove`; --reveal names the keys.",
    ),
    "leftover": (
        False,
        "entries that lead to nothing",
        "They answer nothing. Runtimes of the Rust reference leave them; else sessions were deleted by hand, or evicted.",
    ),
    "foreign": (
        False,
        "sessions that another runtime wrote last",
        "As it should be where runtimes of the Rust reference share the namespace.",
    ),
    "endless_set": (
        False,
        "sets of waits without a lifetime, though every wait in them has one",
        "Runtimes of the Rust reference leave them; the next operation on that user gives them one.",
    ),
    "unknown": (
        False,
        "keys of no kind that the store knows",
        "Another program writes in this namespace, or a newer version: --reveal names them.",
    ),
}
"""By its name.

Whether it is a fault, what it is, and what to do. In the order in which they are told.
"""
