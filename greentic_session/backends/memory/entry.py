"""One session in memory, and how it may be read while others write."""

from typing import Any, Final, cast

from greentic_session._expiry.expiring import NEVER_ENDS
from greentic_session.models import ReplyScope, SessionData
from greentic_session.tenancy import Owner
from greentic_session.transitions import AtOnce, Received, Turn
from greentic_session.wait import Wait

from .inbox import Inbox

__all__ = ["GONE", "Entry"]

GONE: Final = float("-inf")
"""The end of a session that was removed: before every moment."""


class Entry:
    """One session and all that the store knows of it.

    `wait.scope` says where it waits, if it does; `owner` whose it is (None: nobody's), `pointer`
    whose latest session. `due` is since when it is ready, or when it will be; `parked` is since
    when it waits where it does. All of them are slots, also those that most sessions never use:
    every operation looks at some.

    `lying` is what lies at its place: an inbox; or what a delivery that claimed it has made,
    which becomes an inbox when somebody asks for that (`inbox`), for most are over before. What its
    claim holds lies there, too, or `elsewhere`: in places that other sessions have taken meanwhile.

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
        "elsewhere",
        "end",
        "is_new",
        "lease_end",
        "lying",
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
        self.lying: Inbox | AtOnce | None = None
        self.elsewhere: tuple[Inbox, ...] = ()

    @property
    def data(self) -> SessionData:
        """The snapshot, for `transitions`."""
        return self.wait.data

    @property
    def scope(self) -> ReplyScope | None:
        """Where it waits, for `transitions`."""
        return self.wait.scope

    @property
    def inbox(self) -> Inbox | None:
        """The inbox of its place; None where nothing lies there. For writers."""
        lying = self.lying
        if isinstance(lying, AtOnce):
            owner, scope = cast("Owner", self.owner), cast("ReplyScope", self.wait.scope)  # a wait has both
            self.lying = lying = Inbox(owner, scope.normalized(), {lying.reply.id: lying.received})
        return lying

    @property
    def count(self) -> int:
        """Number of replies that lie at its place."""
        lying = self.lying
        if lying is None:
            return 0
        return 1 if isinstance(lying, AtOnce) else len(lying.replies)

    def held(self) -> list[tuple[Inbox, Received]]:
        """Return the replies that the claim on the session holds, and where they lie."""
        own, token = self.inbox, self.token
        if token is None:
            return []
        inboxes = self.elsewhere if own is None else (own, *[inbox for inbox in self.elsewhere if inbox is not own])
        return [(inbox, received) for inbox in inboxes for received in inbox.all() if received.token == token]

    def let_go(self) -> list[tuple[Inbox, Received]]:
        """Return the same, where the claim ends."""
        held, self.elsewhere = self.held(), ()
        return held
