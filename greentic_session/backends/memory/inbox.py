"""The inbox of a place in memory, and the ids of deliveries."""

from typing import Any

from msgspec import Struct

from greentic_session._base.hiding import Outlined
from greentic_session._expiry.expiring import NEVER_ENDS
from greentic_session.models import ReplyScope
from greentic_session.tenancy import Owner
from greentic_session.transitions import Received

__all__ = ["Inbox", "KnownDelivery"]


class Inbox(Outlined, Struct, eq=False):
    """The unsettled replies of a place, by id, in the order of their acceptance.

    `end` is when the last of them has run out, where nothing waits at the place.
    """

    owner: Owner
    scope: ReplyScope
    replies: dict[str, Received]
    end: float = NEVER_ENDS
    bucket: set[Any] | None = None

    def all(self) -> tuple[Received, ...]:
        """Return the replies, oldest first."""
        return tuple(self.replies.values())


class KnownDelivery:
    """A `delivery_id` of an owner's conversation that is remembered.

    `inbox` is where its reply lies, under `reply_id`, until it is settled or removed; it is
    forgotten at `end`.
    """

    __slots__ = ("bucket", "end", "inbox", "name", "owner", "reply_id")

    def __init__(self, owner: Owner, name: tuple[str, str], inbox: Inbox, reply_id: str) -> None:
        self.owner: Owner = owner
        self.name: tuple[str, str] = name
        self.inbox: Inbox | None = inbox
        self.reply_id: str = reply_id
        self.end: float = NEVER_ENDS
        self.bucket: set[Any] | None = None
