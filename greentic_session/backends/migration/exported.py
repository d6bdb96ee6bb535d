"""Sessions, inboxes and ids of deliveries on their way from one store to another."""

import asyncio
from typing import NamedTuple, Self

from greentic_session._base.hiding import outlined
from greentic_session.tenancy import Identity

__all__ = [
    "DEADLINE",
    "CopiedReply",
    "Exported",
    "ExportedDelivery",
    "ExportedInbox",
    "ExportedReply",
    "ExportedTurn",
    "identity_of",
]

DEADLINE = "deadline"
"""What a turn is about that is for the deadline of its session."""


@outlined
class ExportedTurn(NamedTuple):
    """What a session has that takes part in replies and deadlines.

    Moments are told in milliseconds from when they were read, negative once they have passed.

    Attributes:
        deadline: When it is forgotten or resumed; None for no deadline.
        rest: When it ends, once nothing unsettled lies at its place; None for never.
        resume: Whether it is resumed at its deadline.
        put_off: When it may be ready again; None where it was not put off.
        is_new: Whether its first verdict is still due.
        about: What its open turn is about: the id of a reply, or `DEADLINE`; empty without one.
        failed: How many attempts of that ended by their lease or were put off.
        key: The idempotency key of it.
        held: SHA-256 of the scope of each place where a live claim on it holds replies.
        terms: For how long things are kept, as `lua/includes/terms.lua` reads it; empty where they
            are not stored with the session.
    """

    deadline: int | None
    rest: int | None
    resume: bool
    put_off: int | None
    is_new: bool
    about: str
    failed: int
    key: str
    held: tuple[str, ...] = ()
    terms: str = ""

    def aged(self, passed: int) -> Self:
        """Return it as it is so many milliseconds later."""
        return self._replace(
            deadline=None if self.deadline is None else self.deadline - passed,
            rest=None if self.rest is None else self.rest - passed,
            put_off=None if self.put_off is None else self.put_off - passed,
        )


@outlined
class ExportedReply(NamedTuple):
    """An unsettled reply. Moments are told as in `ExportedTurn`.

    Attributes:
        id: Its id.
        scope: The scope that it was delivered to, as JSON.
        delivery_id: The sender's id of the delivery; None without one.
        sender: Who answers; None where nobody said so.
        size: The length of its plain body, in bytes.
        accepted: When it was accepted.
        told: What is told of that: microseconds since the Unix epoch.
        keep: Until when it is kept where nothing waits; None where nobody said so.
        token: Of the claim that holds it, or held it last; empty without one.
        held: When the lease of that claim ends.
        body: The body as it is stored.
    """

    id: str
    scope: bytes
    delivery_id: str | None
    sender: str | None
    size: int
    accepted: int
    told: int
    keep: int | None
    token: str
    held: int
    body: bytes


@outlined
class ExportedInbox(NamedTuple):
    """All that lies at one place, oldest first.

    Attributes:
        seen: When it was read, by the loop's clock.
        owner: Whose it is, as in `Exported`.
        scope: The scope of the place, as JSON.
        replies: What lies there.
        terms: As in `ExportedTurn`.
    """

    seen: float
    owner: bytes
    scope: bytes
    replies: tuple[ExportedReply, ...]
    terms: str = ""


@outlined
class ExportedDelivery(NamedTuple):
    """An id of a delivery that was settled or removed, and is remembered.

    Attributes:
        seen: When it was read, by the loop's clock.
        owner: Whose it is, as in `Exported`.
        name: As `greentic_session.reply.delivery_hash` says.
        left: For how many milliseconds more it is remembered.
    """

    seen: float
    owner: bytes
    name: bytes
    left: int


@outlined
class CopiedReply(NamedTuple):
    """An unsettled reply that was copied.

    Attributes:
        owner: Whose it is, as in `Exported`.
        scope_hash: SHA-256 of the scope of its place.
        id: Its id.
        name: The name of its delivery, in hex digits; empty without an id.
        forgotten: Whether that is forgotten where it comes from: the same may be delivered anew.
    """

    owner: bytes
    scope_hash: str
    id: str
    name: str
    forgotten: bool = False


@outlined
class Exported(NamedTuple):
    """A session on its way, as `lua/migration/export.lua` tells it.

    Attributes:
        believed: Whether only a scope key tells that it waits there.
        seen: When it was read, by the loop's clock.
        lease: What is left of the claim, in ms.
        turn: What it has that takes part in replies or deadlines; None where it has nothing.
    """

    believed: bool
    seen: float
    key: bytes
    text: bytes
    ttl: int
    owner: bytes
    scope_hash: bytes
    scope: bytes
    latest: bytes
    unseen: bytes
    claim: bytes
    lease: int
    turn: ExportedTurn | None = None

    def aged(self) -> Self | None:
        """Return it as it is now; None if its life is over."""
        passed = round((asyncio.get_running_loop().time() - self.seen) * 1000)
        ttl, lease = self.ttl if self.ttl == -1 else self.ttl - passed, self.lease - passed
        if self.ttl != -1 and ttl <= 0:
            return None
        turn = None if self.turn is None else self.turn.aged(passed)
        aged = self._replace(ttl=ttl, lease=lease, seen=self.seen + passed / 1000, turn=turn)
        return aged if lease > 0 else aged._replace(claim=b"", lease=0)


def identity_of(text: bytes) -> Identity:
    """Return an identity that is told as ``env:tenant:team:user``; no id holds a colon."""
    env, tenant, team, user = text.decode().split(":")
    return env, tenant, team or None, user or None
