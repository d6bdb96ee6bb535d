"""The interface of a backend: storage for a `SessionStore`, one atomic step an operation.

The store has checked every argument before it calls: ids, keys, scopes and sizes are valid,
lifetimes are milliseconds (None: for ever), an `Owner` is the identity that the caller may act for.
What is left to the backend is what needs stored state; a backend that keeps it in Python asks
`transitions` for the rules.

An operation that has several arguments takes them as one frozen struct, from here to the script or
the table.

Everywhere: a session that has expired is absent. Removing a session removes every index entry that
leads to it, and the claim on it. A driver's errors leave as GreenticErrors.
"""

from .arguments import NOTHING_ELSE, Claimed, Claiming, Creation, Parking, Settled, Update
from .interface import SessionBackend
from .replies import (
    Backlog,
    Beginning,
    Delivered,
    Delivering,
    Lying,
    PuttingOff,
    Readiness,
    Readying,
    Rewriting,
    Staying,
    Taking,
)

__all__ = [
    "NOTHING_ELSE",
    "Backlog",
    "Beginning",
    "Claimed",
    "Claiming",
    "Creation",
    "Delivered",
    "Delivering",
    "Lying",
    "Parking",
    "PuttingOff",
    "Readiness",
    "Readying",
    "Rewriting",
    "SessionBackend",
    "Settled",
    "Staying",
    "Taking",
    "Update",
]
