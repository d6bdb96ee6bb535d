"""The base of wrappers that leave every operation to another backend and do something around it."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from typing import TypeAlias, TypeVar

from greentic_session._base.lifecycle import Wrapping
from greentic_session.admin import Inspector, Step
from greentic_session.backend import SessionBackend, arguments, replies
from greentic_session.expiry import Never
from greentic_session.ids import SessionKey
from greentic_session.limits import ReplyLimits
from greentic_session.models import ReplyScope, TenantCtx
from greentic_session.reply import Reply
from greentic_session.tenancy import Owner
from greentic_session.wait import Wait

__all__ = ["ForwardingBackend", "Party"]

T = TypeVar("T")
Party: TypeAlias = Owner | TenantCtx | None
"""For whom an operation is, as far as its arguments tell."""


class ForwardingBackend(Wrapping[SessionBackend], SessionBackend):
    """A backend that leaves every operation to another one.

    A subclass overrides `_around`, and the operations that it does otherwise.

    Args:
        backend: What does the work.
    """

    def __init__(self, backend: SessionBackend) -> None:
        super().__init__(backend)
        self.keeps_text: bool = backend.keeps_text
        self.answers_at_once: bool = backend.answers_at_once
        self.updates_with: bool = backend.updates_with

    async def _around(self, operation: str, party: Party, work: Awaitable[T]) -> T:  # noqa: ARG002  # for subclasses
        """Do what stands around an operation, and return what it returned.

        Args:
            operation: Its name in the public API: ``register_wait``, ``claim.park``, ...
            party: For whom it is.
            work: The operation of the other backend; to be awaited once.
        """
        return await work

    # -- sessions, by key

    async def create(self, creation: arguments.Creation) -> bool:
        return await self._around("create_session", creation.data.tenant_ctx, self._inner.create(creation))

    async def get(self, key: str) -> Wait | None:
        return await self._around("get_session", None, self._inner.get(key))

    async def update(self, update: arguments.Update) -> str:
        return await self._around("update_session", update.data.tenant_ctx, self._inner.update(update))

    async def update_with(self, update: arguments.Update, other: arguments.Creation | arguments.Parking) -> str | None:
        return await self._around("update_session", update.data.tenant_ctx, self._inner.update_with(update, other))

    async def remove(self, key: str, ctx: TenantCtx | None) -> bool:
        return await self._around("remove_session", ctx, self._inner.remove(key, ctx))

    async def touch(self, key: str, ttl_ms: int | None, ctx: TenantCtx | None) -> bool:
        return await self._around("touch", ctx, self._inner.touch(key, ttl_ms, ctx))

    async def remaining_ms(self, key: str, ctx: TenantCtx | None) -> int | Never | None:
        return await self._around("remaining_ttl", ctx, self._inner.remaining_ms(key, ctx))

    # -- waits, by scope

    async def park(self, parking: arguments.Parking) -> arguments.Settled:
        operation = "register_wait" if parking.token is None else "claim.park"
        return await self._around(operation, parking.owner, self._inner.park(parking))

    async def find(self, owner: Owner, scopes: tuple[ReplyScope, ...]) -> Wait | None:
        return await self._around("find_wait", owner, self._inner.find(owner, scopes))

    async def find_key(self, owner: Owner, scope: ReplyScope) -> SessionKey | None:
        return await self._around("find_wait_by_scope", owner, self._inner.find_key(owner, scope))

    async def list_waits(self, owner: Owner) -> list[SessionKey]:
        return await self._around("list_waits_for_user", owner, self._inner.list_waits(owner))

    async def clear(self, owner: Owner, scope: ReplyScope) -> None:
        await self._around("clear_wait", owner, self._inner.clear(owner, scope))

    async def find_by_user(self, owner: Owner) -> Wait | None:
        return await self._around("find_by_user", owner, self._inner.find_by_user(owner))

    # -- claims

    async def claim(self, claiming: arguments.Claiming) -> arguments.Claimed | None:
        return await self._around("claim_wait", claiming.owner, self._inner.claim(claiming))

    async def complete(self, owner: Owner, key: str, token: str) -> arguments.Settled | None:
        return await self._around("claim.complete", owner, self._inner.complete(owner, key, token))

    async def release(self, key: str, token: str) -> bool:
        return await self._around("claim.release", None, self._inner.release(key, token))

    async def renew(self, key: str, token: str, lease_ms: int) -> bool:
        return await self._around("claim.renew", None, self._inner.renew(key, token, lease_ms))

    # -- replies

    def limit_replies(self, limits: ReplyLimits) -> None:
        super().limit_replies(limits)
        self._inner.limit_replies(limits)

    async def deliver(self, delivering: replies.Delivering) -> replies.Delivered:
        return await self._around("deliver", delivering.owner, self._inner.deliver(delivering))

    async def claim_ready(self, readying: replies.Readying) -> replies.Readiness:
        return await self._around("claim_ready", readying.ctx, self._inner.claim_ready(readying))

    async def readiness(self, ctx: TenantCtx | None) -> replies.Backlog:
        return await self._inner.readiness(ctx)  # an observer's question, which nobody observes

    async def take(self, taking: replies.Taking) -> tuple[Reply, ...] | None:
        return await self._around("claim.take", taking.owner, self._inner.take(taking))

    async def stay(self, staying: replies.Staying) -> bool:
        return await self._around("claim.stay", staying.owner, self._inner.stay(staying))

    async def put_off(self, putting_off: replies.PuttingOff) -> bool:
        return await self._around("claim.release", putting_off.owner, self._inner.put_off(putting_off))

    async def inbox(self, owner: Owner, scope: ReplyScope) -> tuple[Reply, ...]:
        return await self._around("inbox", owner, self._inner.inbox(owner, scope))

    async def retry(self, key: str) -> bool:
        return await self._inner.retry(key)  # an operator's, as `purging`

    async def drop(self, key: str) -> Reply | None:
        return await self._inner.drop(key)

    def lying(self, ctx: TenantCtx) -> AsyncGenerator[replies.Lying, None]:
        return self._inner.lying(ctx)

    async def rewrite(self, rewriting: replies.Rewriting) -> bool:
        return await self._inner.rewrite(rewriting)

    # -- the store as a whole

    async def health(self) -> None:
        await self._around("health", None, self._inner.health())

    def iterate(self, ctx: TenantCtx) -> AsyncIterator[Wait]:
        return self._inner.iterate(ctx)

    async def purge(self, ctx: TenantCtx, user: str | None) -> int:
        return await self._around("purge", ctx, self._inner.purge(ctx, user))

    def purging(self, ctx: TenantCtx, user: str | None) -> AsyncGenerator[Step, None]:
        return self._inner.purging(ctx, user)

    def inspector(self) -> Inspector | None:
        return self._inner.inspector()
