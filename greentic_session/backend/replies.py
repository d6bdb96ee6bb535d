"""The arguments and answers of a backend's operations on replies."""

from msgspec import Struct

from greentic_session._base.hiding import Hiding, Outlined, outline
from greentic_session.ids import SessionKey
from greentic_session.models import ReplyScope, SessionData, TenantCtx
from greentic_session.reply import DeliveryOutcome, Reply
from greentic_session.tenancy import Owner

from .arguments import Claimed, Parking

__all__ = [
    "Backlog",
    "Beginning",
    "Delivered",
    "Delivering",
    "Lying",
    "PuttingOff",
    "Readiness",
    "Readying",
    "Rewriting",
    "Staying",
    "Taking",
]


class Beginning(Outlined, Struct, frozen=True, gc=False):
    """A session to begin with, where a reply finds nothing that waits.

    Attributes:
        key: The session key.
        data: The snapshot.
        ttl_ms: The lifetime of wait and session.
        resume: As in `Parking`.
        max_waits: As in `Parking`.
        text: As in `Creation`.
    """

    key: SessionKey
    data: SessionData
    ttl_ms: int | None
    resume: bool = False
    max_waits: int | None = None
    text: bytes | None = None

    def parking(self, owner: Owner, scope: ReplyScope) -> Parking:
        """Return what parks the session there."""
        return Parking(
            owner, scope, self.key, self.data, self.ttl_ms, self.text, max_waits=self.max_waits, resume=self.resume
        )


class Delivering(Outlined, Struct, frozen=True, gc=False):
    """A reply that comes in.

    Attributes:
        owner: Whose wait it answers.
        scopes: Where it was delivered; behind that, the scope without its correlation, which is
            meant where no wait is at the first and one is there.
        reply_id: A new random one.
        text: The body.
        size: The length of the plain body, in bytes of UTF-8: by it inboxes are bounded.
        token: A new random one, for a claim.
        turn_key: A new random one: the idempotency key, unless an open turn goes on.
        lease_ms: How long a claim lives, in milliseconds.
        delivery_id: The sender's id of the delivery.
        sender: Who answers.
        beginning: What is parked where nothing waits.
        keep_ms: How long the reply is kept where nothing waits, in milliseconds; None: it is not.
        claims: Whether a wait that is free is claimed.
    """

    owner: Owner
    scopes: tuple[ReplyScope, ...]
    reply_id: str
    text: str
    size: int
    token: str
    turn_key: str
    lease_ms: int
    delivery_id: str | None = None
    sender: str | None = None
    beginning: Beginning | None = None
    keep_ms: int | None = None
    claims: bool = True


class Delivered(Hiding, Struct, frozen=True, gc=False):
    """Result of a delivery.

    Attributes:
        outcome: One word for it.
        reply: The reply as it is stored; None for duplicate and unmatched.
        claimed: The claim, where the outcome is claimed.
    """

    outcome: DeliveryOutcome
    reply: Reply | None = None
    claimed: Claimed | None = None

    def __repr__(self) -> str:
        return outline(self, "reply", "claimed", outcome=getattr(self, "outcome", None))


class Readying(Outlined, Struct, frozen=True, gc=False):
    """A claim on whichever wait is ready, and whose turn it is.

    Attributes:
        ctx: Only waits that it administers; None: of all tenants.
        token: As in `Claiming`.
        turn_key: As in `Delivering`.
        lease_ms: As in `Claiming`.
    """

    ctx: TenantCtx | None
    token: str
    turn_key: str
    lease_ms: int


class Readiness(Hiding, Struct, frozen=True, gc=False):
    """Result of looking for a wait that is ready.

    Attributes:
        claimed: The claim; None where nothing is ready.
        next_ms: In how many milliseconds, at the earliest, something becomes ready by itself; None
            where the backend knows of nothing.
    """

    claimed: Claimed | None = None
    next_ms: int | None = None

    def __repr__(self) -> str:
        return outline(self, "claimed", next_ms=getattr(self, "next_ms", None))


class Backlog(Struct, frozen=True, gc=False):
    """Number of waits that are ready, and for how long the first has been.

    Attributes:
        count: How many waits are ready.
        oldest_ms: For how many milliseconds the first of them has been ready; None where none is.
        is_capped: Whether the backend stopped counting: there may be more waits, and older ones.
    """

    count: int = 0
    oldest_ms: int | None = None
    is_capped: bool = False


class Taking(Outlined, Struct, frozen=True, gc=False):
    """More replies that a live claim wants to hold.

    Attributes:
        owner: Whose wait it is.
        key: The session key.
        token: Of the claim.
        turn_key: Its idempotency key.
        limit: How many, at most.
    """

    owner: Owner
    key: str
    token: str
    turn_key: str
    limit: int


class Staying(Outlined, Struct, frozen=True, gc=False):
    """A verdict by which a wait stays where it is.

    Attributes:
        owner: Whose wait it is.
        key: The session key.
        token: Of the claim.
        data: The new snapshot; None: as it is.
        text: As in `Creation`.
    """

    owner: Owner
    key: SessionKey
    token: str
    data: SessionData | None = None
    text: bytes | None = None


class PuttingOff(Outlined, Struct, frozen=True, gc=False):
    """A claim that is given back, its wait being ready no earlier than after a delay.

    Attributes:
        owner: Whose wait it is.
        key: The session key.
        token: Of the claim.
        delay_ms: The delay, in milliseconds.
    """

    owner: Owner
    key: str
    token: str
    delay_ms: int


class Lying(Outlined, Struct, frozen=True, gc=False):
    """An unsettled reply, and where it lies.

    Attributes:
        owner: Whose wait it answers.
        scope: The scope of its place; `reply.scope` is the one it was delivered to.
        reply: The reply.
    """

    owner: Owner
    scope: ReplyScope
    reply: Reply


class Rewriting(Outlined, Struct, frozen=True, gc=False):
    """Another stored text of a reply, whose body is the same.

    Attributes:
        lying: The reply as it was found.
        text: The new text.
    """

    lying: Lying
    text: str
