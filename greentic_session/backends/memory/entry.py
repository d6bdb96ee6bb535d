"""One session in memory, and how it may be read while others write."""

from collections.abc import Sequence
from typing import Any, Final

from greentic_session._expiry.expiring import NEVER_ENDS
from greentic_session.models import ReplyScope, SessionData
from greentic_session.tenancy import Owner
from greentic_session.transitions import Received, Turn
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
    when it waits where it does. All of them are slots, also those that most sessions never use:
    every operation looks at some.

    Writers hold the lock. A reader without it may follow an index to an entry and read `wait`, then
    `end`, while a writer is at work; what it finds was true when it read `wait`, if the scope in
    there is the one it came by and `end` is still to come. For that, writers keep to this: an entry
    that has ended never lives again (its key gets a new one); `end` is set back before a session is
    taken out of the indices; and a session loses its scope before another gets it.
    """

    __slots__ = (
        "bucket",
        "deadline",
        "due",
        "end",
        "held",
        "inbox",
        "is_new",
        "lease_end",
        "owner",
        "parked",
        "pointer",
        "put_off",
        "rest_end",
        "resume",
        "token",
        "turn",
        "wait",
    )

    def __init__(self, wait: Wait, owner: Owner | None) -> None:
        self.wait: Wait = wait
        self.owner: Owner | None = owner
        self.pointer: Owner | None = None
        self.end: float = NEVER_ENDS
        self.bucket: set[Any] | None = None
        self.token: str | None = None
        self.lease_end: float = 0.0
        self.deadline: float = NEVER_ENDS
        self.rest_end: float = NEVER_ENDS
        self.parked: float = NEVER_ENDS
        self.resume: bool = False
        self.put_off: float = 0.0
        self.turn: Turn | None = None
        self.is_new: bool = False
        self.due: float = NEVER_ENDS
        self.inbox: Inbox | None = None
        self.held: Sequence[tuple[Inbox, str]] = ()

    @property
    def data(self) -> SessionData:
        """The snapshot, for `transitions`."""
        return self.wait.data

    @property
    def scope(self) -> ReplyScope | None:
        """Where it waits, for `transitions`."""
        return self.wait.scope

    def let_go(self) -> list[tuple[Inbox, Received]]:
        """Return the replies that the claim on the session holds; from now on it holds none."""
        held, token = self.held, self.token
        self.held = ()
        let = []
        for inbox, reply_id in held:
            received = inbox.replies.get(reply_id)
            if received is not None and received.token == token:
                let.append((inbox, received))
        return let
