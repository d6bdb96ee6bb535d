"""One session in memory, and how it may be read while others write."""

from collections.abc import Sequence
from typing import Any, Final

from greentic_session import tenancy
from greentic_session._expiry.expiring import NEVER_ENDS
from greentic_session.models import ReplyScope, SessionData
from greentic_session.tenancy import Owner
from greentic_session.transitions import Turn
from greentic_session.wait import Wait

from .inbox import Inbox

__all__ = ["GONE", "Entry"]

GONE: Final = float("-inf")
"""The end of a session that was removed: before every moment."""


class Entry:
    """One session and all that the store knows of it.

    `wait.scope` says where it waits, if it does; `owner` whose it is (None: nobody's), `pointer`
    whose latest session. `inbox` is that of its place, where one is; `held` is where the replies
    lie that its claim holds; `due` is since when it is ready, or when it will be; `parked` is since
    when it waits where it does.

    Writers hold the lock. A reader without it may follow an index to an entry and read `wait`, then
    `end`, while a writer is at work; what it finds was true when it read `wait`, if the scope in
    there is the one it came by and `end` is still to come. For that, writers keep to this: an entry
    that has ended never lives again (its key gets a new one); `end` is set back before a session is
    taken out of the indices; and a session loses its scope before another gets it.
    """

    __slots__ = (
        "__dict__",
        "bucket",
        "deadline",
        "end",
        "lease_end",
        "owner",
        "parked",
        "pointer",
        "rest_end",
        "token",
        "wait",
    )

    # What `transitions.Waiting` names besides. Most sessions never have any of it, and pay nothing.
    resume: bool = False
    put_off: float = 0.0
    turn: Turn | None = None
    is_new: bool = False
    due: float = NEVER_ENDS
    inbox: Inbox | None = None
    held: Sequence[tuple[Inbox, str]] = ()

    def __init__(self, wait: Wait) -> None:
        self.wait: Wait = wait
        self.owner: Owner | None = tenancy.owner_of(wait.data)
        self.pointer: Owner | None = None
        self.end: float = NEVER_ENDS
        self.bucket: set[Any] | None = None
        self.token: str | None = None
        self.lease_end: float = 0.0
        self.deadline: float = NEVER_ENDS
        self.rest_end: float = NEVER_ENDS
        self.parked: float = NEVER_ENDS

    @property
    def data(self) -> SessionData:
        """The snapshot, for `transitions`."""
        return self.wait.data

    @property
    def scope(self) -> ReplyScope | None:
        """Where it waits, for `transitions`."""
        return self.wait.scope
