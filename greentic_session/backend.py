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

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator

from msgspec import Struct

from ._base.hiding import Hiding, outline
from ._base.lifecycle import Closable
from .admin import Inspector, Step
from .expiry import Never
from .ids import SessionKey
from .models import ReplyScope, SessionData, TenantCtx
from .tenancy import Owner
from .wait import Wait

__all__ = ["Claiming", "Creation", "Parking", "SessionBackend", "Update"]


class Creation(Hiding, Struct, frozen=True, gc=False):
    """A new session that waits for nothing.

    Attributes:
        key: The session key.
        data: The snapshot.
        pointer: Whose latest session it becomes; None for nobody's.
        ttl_ms: Its lifetime.
        text: The wire text of `data`, for a backend that keeps texts (`SessionBackend.keeps_text`).
    """

    key: SessionKey
    data: SessionData
    pointer: Owner | None
    ttl_ms: int | None
    text: bytes | None = None

    def __repr__(self) -> str:
        return outline(self, *self.__struct_fields__)  # without keys, tokens and texts


class Update(Hiding, Struct, frozen=True, gc=False):
    """New data of a session.

    Attributes:
        key: The session key.
        data: The new snapshot.
        ctx: The caller, who has to reach the session; None for anybody.
        if_version: The version that the session must have; None for any.
        text: As in `Creation`.
    """

    key: SessionKey
    data: SessionData
    ctx: TenantCtx | None
    if_version: str | None
    text: bytes | None = None

    def __repr__(self) -> str:
        return outline(self, *self.__struct_fields__)  # without keys, tokens and texts


class Parking(Hiding, Struct, frozen=True, gc=False):
    """A session that waits at a scope from now on.

    Attributes:
        owner: Whose wait it is.
        scope: Where the answer will come in.
        key: The session key.
        data: The snapshot.
        ttl_ms: The lifetime of wait and session.
        text: As in `Creation`.
        replace: Whether another live session is displaced from the scope; else it is a conflict.
        token: Of the claim by which the session is parked, and which ends with it; None where
            nobody claimed it.
        max_waits: How many waits the owner may have, once there is one more; None for any number.
    """

    owner: Owner
    scope: ReplyScope
    key: SessionKey
    data: SessionData
    ttl_ms: int | None
    text: bytes | None = None
    replace: bool = True
    token: str | None = None
    max_waits: int | None = None

    def __repr__(self) -> str:
        return outline(self, *self.__struct_fields__)  # without keys, tokens and texts


class Claiming(Hiding, Struct, frozen=True, gc=False):
    """A claim on the wait of the first of some scopes that has one.

    Attributes:
        owner: Whose wait it is.
        scopes: Where it may wait, best first.
        token: A new random one; only who knows it can act by the claim.
        lease_ms: How long the claim lives, in milliseconds.
    """

    owner: Owner
    scopes: tuple[ReplyScope, ...]
    token: str
    lease_ms: int

    def __repr__(self) -> str:
        return outline(self, *self.__struct_fields__)  # without keys, tokens and texts


class SessionBackend(Closable, ABC):
    """Storage for sessions and waits.

    Each method is one atomic step, but `iterate`, `purge`, and `list_waits` of many.

    Attributes:
        system: What keeps the data, for observers: OpenTelemetry's ``db.system.name`` where it has
            one. A backend that wraps another says what that one says.
        keeps_text: Whether it keeps wire texts. Then `create`, `update` and `register` are given
            that of `data`, which was made to see that it is not too long. Else their `text` is
            None; so it is from a wrapper that changes the data.
    """

    system: str = "other"
    keeps_text: bool = False

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
    async def park(self, parking: Parking) -> SessionKey | None:
        """Make a session the one wait of a scope; return the key of the displaced session.

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
    async def claim(self, claiming: Claiming) -> Wait | None:
        """Claim the wait of the first scope that has one; the session lives at least as long.

        A call that is cancelled, or fails because the backend is late or away, gives back what it
        may have got: without its caller, by the token, after the claim may have taken effect, and
        trying no longer than an operation may take.

        Raises:
            ClaimedError: It is claimed. (No further scope is tried.)
            CorruptSessionError: Its text is no SessionData; nothing is held.
        """

    @abstractmethod
    async def complete(self, owner: Owner, key: str, token: str) -> bool:
        """Remove the session of a live claim on a wait of `owner`; False if the claim is over."""

    @abstractmethod
    async def release(self, key: str, token: str) -> bool:
        """End a live claim; False if it is over."""

    @abstractmethod
    async def renew(self, key: str, token: str, lease_ms: int) -> bool:
        """Give a live claim a new lease; the session lives at least as long.

        False if it is over.
        """

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
        """Let go of everything; idempotent."""
