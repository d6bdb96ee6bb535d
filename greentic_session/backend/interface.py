"""The operations of a backend."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator

from greentic_session._base.lifecycle import Closable
from greentic_session.admin import Inspector, Step
from greentic_session.expiry import Never
from greentic_session.ids import SessionKey
from greentic_session.limits import ReplyLimits
from greentic_session.models import ReplyScope, TenantCtx
from greentic_session.reply import Reply
from greentic_session.tenancy import Owner
from greentic_session.wait import Wait

from .arguments import Claimed, Claiming, Creation, Parking, Settled, Update
from .replies import Backlog, Delivered, Delivering, Lying, PuttingOff, Readiness, Readying, Rewriting, Staying, Taking

__all__ = ["SessionBackend"]


class SessionBackend(Closable, ABC):
    """Storage for sessions and waits.

    Each method is one atomic step, but `iterate`, `purge`, and `list_waits` of many.

    Attributes:
        system: What keeps the data, for observers: OpenTelemetry's ``db.system.name`` where it has
            one. A backend that wraps another says what that one says.
        keeps_text: Whether it keeps wire texts. Then `create`, `update` and `register` are given
            that of `data`, which was made to see that it is not too long. Else their `text` is
            None; so it is from a wrapper that changes the data.
        answers_at_once: Whether its operations are over before anything else runs, so that nothing
            is won by several at a time.
        updates_with: Whether `update_with` mostly does something.
        reply_limits: What there may be of replies, and for how long; `limit_replies` sets it.
    """

    system: str = "other"
    keeps_text: bool = False
    answers_at_once: bool = False
    updates_with: bool = False
    reply_limits: ReplyLimits = ReplyLimits()

    @abstractmethod
    async def create(self, creation: Creation) -> bool:
        """Store a new session; False if a live one has the key."""

    @abstractmethod
    async def get(self, key: str) -> Wait | None:
        """Return the session, whoever owns it. Raises CorruptSessionError."""

    @abstractmethod
    async def update(self, update: Update) -> str:
        """Replace the data of a session and return the new version; all else of it stays.

        In this order: NotFoundError if it is absent; CorruptSessionError; NotFoundError if it is
        absent for the caller; TenantMismatchError if it would change whose it is; ConflictError if
        it has another version.
        """

    async def update_with(self, update: Update, other: Creation | Parking) -> str | None:  # noqa: ARG002  # for subclasses
        """Do `update`, and store another session of its owner, new, in one step.

        It is for what else would take two steps, and only where it can be had cheaply: `update` has
        a caller and a version, a parking has no claim, and displaces nobody.

        Returns:
            The new version; None if nothing was done, for whatever reason: `update`, and `create`
            or `park`, tell which.
        """
        return None

    @abstractmethod
    async def remove(self, key: str, ctx: TenantCtx | None) -> bool:
        """Remove a session; False if it is absent, or absent for the caller."""

    @abstractmethod
    async def touch(self, key: str, ttl_ms: int | None, ctx: TenantCtx | None) -> bool:
        """Give a session and its index entries a lifetime; False if it is absent for the caller."""

    @abstractmethod
    async def remaining_ms(self, key: str, ctx: TenantCtx | None) -> int | Never | None:
        """Return the remaining lifetime of a session; None if it is absent for the caller."""

    @abstractmethod
    async def park(self, parking: Parking) -> Settled:
        """Make a session the one wait of a scope.

        Raises:
            ConflictError: The claim is over; or another live session holds the scope and is not to
                be displaced.
            TenantMismatchError: A live session under the key is somebody else's.
        """

    @abstractmethod
    async def find(self, owner: Owner, scopes: tuple[ReplyScope, ...]) -> Wait | None:
        """Return the wait of the first of `scopes` that has one, with that scope.

        Raises CorruptSessionError.
        """

    @abstractmethod
    async def find_key(self, owner: Owner, scope: ReplyScope) -> SessionKey | None:
        """Return the key of the wait of `scope`."""

    @abstractmethod
    async def list_waits(self, owner: Owner) -> list[SessionKey]:
        """Return the keys of all waits of `owner`, ascending, each once."""

    @abstractmethod
    async def clear(self, owner: Owner, scope: ReplyScope) -> None:
        """Remove the session that waits at `scope`, if one does."""

    @abstractmethod
    async def find_by_user(self, owner: Owner) -> Wait | None:
        """Return the only wait of `owner`, else the owner's latest session.

        Raises `tenancy.several_waits`.
        """

    @abstractmethod
    async def claim(self, claiming: Claiming) -> Claimed | None:
        """Claim the wait of the first scope that has one; the session lives at least as long.

        A call that is cancelled, or fails because the backend is late or away, gives back what it
        may have got: without its caller, by the token, after the claim may have taken effect, and
        trying no longer than an operation may take.

        Raises:
            ClaimedError: It is claimed. (No further scope is tried.)
            CorruptSessionError: Its text is no SessionData; nothing is held.
        """

    @abstractmethod
    async def complete(self, owner: Owner, key: str, token: str) -> Settled | None:
        """Remove the session of a live claim on a wait of `owner`; None if the claim is over."""

    @abstractmethod
    async def release(self, key: str, token: str) -> bool:
        """End a live claim; False if it is over."""

    @abstractmethod
    async def renew(self, key: str, token: str, lease_ms: int) -> bool:
        """Give a live claim a new lease; the session lives at least as long.

        False if it is over.
        """

    # -- replies; a backend that has none of them refuses

    def limit_replies(self, limits: ReplyLimits) -> None:
        """Take the options of the store, before the first operation."""
        self.reply_limits = limits

    @abstractmethod
    async def deliver(self, delivering: Delivering) -> Delivered:
        """Accept a reply, and claim its wait if that is free and the caller wants it.

        A call that is cancelled, or late, gives back what it may have claimed. A session that
        cannot be read is given back and put off, and the outcome is queued.

        Raises:
            ConflictError: A live session has the key of the beginning.
            InboxFullError: The reply would be queued or kept, and is one too many.
            TooManyWaitsError: The beginning is one wait too many for its user.
        """

    @abstractmethod
    async def claim_ready(self, readying: Readying) -> Readiness:
        """Claim one wait that is ready: tenants take turns, each longest due first.

        A call that is cancelled, or late, gives back what it may have claimed. A session that
        cannot be read is given back and put off, and the next one is claimed.
        """

    @abstractmethod
    async def readiness(self, ctx: TenantCtx | None) -> Backlog:
        """Count the waits that are ready, of all tenants or of those that a context administers.

        For observers, who ask every few seconds: it keeps a server busy for 5 ms at most, and stops
        counting rather than taking longer. What nobody has noticed to be gone may be counted.
        """

    @abstractmethod
    async def take(self, taking: Taking) -> tuple[Reply, ...] | None:
        """Let a live claim hold more of what lies at its place; None if it is over."""

    @abstractmethod
    async def stay(self, staying: Staying) -> bool:
        """Settle what a live claim holds, and leave its wait as it is; False if it is over."""

    @abstractmethod
    async def put_off(self, putting_off: PuttingOff) -> bool:
        """End a live claim, and let its wait be ready after a delay only; False if it is over."""

    @abstractmethod
    async def inbox(self, owner: Owner, scope: ReplyScope) -> tuple[Reply, ...]:
        """Return the unsettled replies of a place, oldest first."""

    @abstractmethod
    async def retry(self, key: str) -> bool:
        """Make ready what is put off, for an operator; False if the session is not put off.

        Raises:
            NotFoundError: No live session has the key.
        """

    @abstractmethod
    async def drop(self, key: str) -> Reply | None:
        """Remove the oldest reply at the place of a wait, for an operator, and return it.

        Its `delivery_id` stays remembered. None where nothing lies there.

        Raises:
            ClaimedError: A live claim holds it.
            NotFoundError: No live session has the key.
        """

    @abstractmethod
    def lying(self, ctx: TenantCtx) -> AsyncGenerator[Lying, None]:
        """Yield the unsettled replies that `tenancy.owns` allows, each once, in bounded steps."""

    @abstractmethod
    async def rewrite(self, rewriting: Rewriting) -> bool:
        """Store another text of a reply; False if it is gone, or has another one by now."""

    # -- the store as a whole

    @abstractmethod
    async def health(self) -> None:
        """Return if the backend answers, raise UnavailableError if not."""

    @abstractmethod
    def iterate(self, ctx: TenantCtx) -> AsyncIterator[Wait]:
        """Yield the sessions that `tenancy.administers` allows, each once, in bounded steps."""

    @abstractmethod
    async def purge(self, ctx: TenantCtx, user: str | None) -> int:
        """Remove the sessions that `tenancy.administers` allows; return how many.

        Never block for long.
        """

    async def purging(self, ctx: TenantCtx, user: str | None) -> AsyncGenerator[Step, None]:
        """Purge step by step, then remove what else is left of the tenant.

        Whoever stops in between has removed what the steps have told, and may begin again. This one
        is for a backend that has no steps.
        """
        removed = await self.purge(ctx, user)
        yield Step(removed, removed)

    def inspector(self) -> Inspector | None:
        """Return who looks into this backend for administration; None if nobody can."""
        return None

    @abstractmethod
    async def aclose(self) -> None:
        """Release all resources; idempotent."""
