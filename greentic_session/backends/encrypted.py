"""Sessions whose snapshots are encrypted before any other backend sees them.

Of a session the snapshot (`SessionData.context_json`) is encrypted: what is stored is a SessionData
whose `context_json` is a sealed text, readable by every runtime that routes or cleans up. All else
is plain, because stores need it to find a session and to say whose it is. A sealed snapshot opens
only

- under the session key, and for the env, tenant, team and user, that it was written for, and only
  where these are the caller's, whatever the stored text says of itself, and
- beside the flow_id, pack_id and cursor that it was written with: where the flow goes on cannot be
  changed either.

Of a reply the body is encrypted: it opens only for the owner of the wait, the scope that it was
delivered to, and beside its id, `delivery_id` and `sender`.

What is not noticed: an older snapshot of the same session put back in the place of a newer one; a
session or a reply that was removed; a reply that is put into an inbox again; a wait that was
pointed at another scope of its user; changes to the rest of `tenant_ctx` (attributes, tracing,
attempt, deadline, impersonation).
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from functools import partial
from typing import Self

from msgspec.structs import replace

from greentic_session._base.lifecycle import Wrapping
from greentic_session._concurrency.shield import shielded
from greentic_session._crypto.sealing import Box, Sealer, parts
from greentic_session.admin import Inspector, Step
from greentic_session.backend import SessionBackend, arguments, replies
from greentic_session.backends.sealed_replies import ReplySealer
from greentic_session.backends.unreadable import put_off_unreadable
from greentic_session.errors import ConflictError, DecryptionError, NotFoundError, TenantMismatchError
from greentic_session.expiry import Never
from greentic_session.ids import SessionKey
from greentic_session.limits import ReplyLimits
from greentic_session.models import ReplyScope, SessionData, TenantCtx
from greentic_session.reply import DeliveryOutcome, Reply
from greentic_session.tenancy import Identity, Owner, administers, expected_identity, owner_of
from greentic_session.wait import Wait, close_iterator

__all__ = ["EncryptedBackend"]


class EncryptedBackend(Wrapping[SessionBackend], SessionBackend):
    """Seals what goes in to another backend, and opens what comes out.

    It forwards each operation by itself, and has no forwarding base: an operation that is new would
    pass through one unsealed, and here it is missing until somebody says what is sealed in it.
    """

    def __init__(self, backend: SessionBackend, sealer: Sealer) -> None:
        super().__init__(backend)
        self.updates_with: bool = backend.updates_with
        self._sealer = sealer
        self._replies = ReplySealer(sealer)

    # -- snapshots

    def opened(self, key: str, data: SessionData, asker: Owner | TenantCtx | None) -> SessionData:
        """Return stored data with its snapshot decrypted.

        Args:
            key: The session key.
            data: What is stored.
            asker: The owner of a lookup, or the context of an operation by key. The snapshot opens
                only as theirs, whatever the stored text says of itself. None: for anybody.

        Raises:
            DecryptionError: It does not decrypt.
        """
        snapshot = self._box(key, expected_identity(asker, data)).open(data.context_json, _course(data))
        return replace(data, context_json=snapshot.decode("utf-8", "surrogatepass"))

    def opened_wait(self, wait: Wait, asker: Owner | TenantCtx | None) -> Wait:
        """Return what was found as `opened`, with the version of what is stored."""
        return _Opened(wait.key, self.opened(wait.key, wait.data, asker), wait.scope, wait.text, sealed=wait)

    def _seal(self, key: str, data: SessionData) -> SessionData:
        box = self._box(key, expected_identity(None, data))
        return replace(data, context_json=box.seal(data.context_json.encode(), _course(data)))

    def _box(self, key: str, identity: Identity) -> Box:
        return Box(self._sealer, parts("session", *identity, key), session_key=key)

    async def reseal(self, wait: Wait, ctx: TenantCtx) -> bool:
        """Write a session that `ctx` administers anew, under the primary key.

        Returns:
            Whether it was; False if that was not needed (any more).
        """
        found: Wait | None = wait
        while found is not None and not self._sealer.is_current(found.data.context_json):
            if not administers(ctx, None, found.data):
                return False
            data = self._seal(found.key, self.opened(found.key, found.data, None))
            try:
                await self._inner.update(arguments.Update(found.key, data, None, found.version))
            except (ConflictError, TenantMismatchError):  # written meanwhile, or even somebody else's by now
                found = await self._inner.get(found.key)
            except NotFoundError:
                return False
            else:
                return True
        return False

    # -- sessions, by key

    async def create(self, creation: arguments.Creation) -> bool:
        sealed = self._seal(creation.key, creation.data)
        return await self._inner.create(replace(creation, data=sealed, text=None))

    async def get(self, key: str) -> Wait | None:
        found = await self._inner.get(key)
        if found is None:
            return None
        text = found.data.to_json() if found.text is None else found.text  # whose version is asked for by whoever reads
        return Wait(found.key, self.opened(found.key, found.data, None), found.scope, text)

    async def update(self, update: arguments.Update) -> str:
        return await self._inner.update(replace(update, data=self._seal(update.key, update.data), text=None))

    async def update_with(self, update: arguments.Update, other: arguments.Creation | arguments.Parking) -> str | None:
        update = replace(update, data=self._seal(update.key, update.data), text=None)
        other = replace(other, data=self._seal(other.key, other.data), text=None)
        return await self._inner.update_with(update, other)

    async def remove(self, key: str, ctx: TenantCtx | None) -> bool:
        return await self._inner.remove(key, ctx)

    async def touch(self, key: str, ttl_ms: int | None, ctx: TenantCtx | None) -> bool:
        return await self._inner.touch(key, ttl_ms, ctx)

    async def remaining_ms(self, key: str, ctx: TenantCtx | None) -> int | Never | None:
        return await self._inner.remaining_ms(key, ctx)

    # -- waits, by scope

    async def park(self, parking: arguments.Parking) -> arguments.Settled:
        sealed = replace(parking, data=self._seal(parking.key, parking.data), text=None)
        return self._opened_settled(await self._inner.park(sealed), parking.owner)

    async def find(self, owner: Owner, scopes: tuple[ReplyScope, ...]) -> Wait | None:
        return self._opened(await self._inner.find(owner, scopes), owner)

    async def find_key(self, owner: Owner, scope: ReplyScope) -> SessionKey | None:
        return await self._inner.find_key(owner, scope)

    async def list_waits(self, owner: Owner) -> list[SessionKey]:
        return await self._inner.list_waits(owner)

    async def clear(self, owner: Owner, scope: ReplyScope) -> None:
        await self._inner.clear(owner, scope)

    async def find_by_user(self, owner: Owner) -> Wait | None:
        return self._opened(await self._inner.find_by_user(owner), owner)

    # -- claims

    async def claim(self, claiming: arguments.Claiming) -> arguments.Claimed | None:
        claimed = await self._inner.claim(claiming)
        if claimed is None:
            return None
        try:
            return self._opened_claim(claimed, claiming.owner)
        except DecryptionError:
            await shielded(partial(self._inner.release, claimed.wait.key, claiming.token))
            raise

    async def complete(self, owner: Owner, key: str, token: str) -> arguments.Settled | None:
        settled = await self._inner.complete(owner, key, token)
        return None if settled is None else self._opened_settled(settled, owner)

    async def release(self, key: str, token: str) -> bool:
        return await self._inner.release(key, token)

    async def renew(self, key: str, token: str, lease_ms: int) -> bool:
        return await self._inner.renew(key, token, lease_ms)

    # -- replies

    def limit_replies(self, limits: ReplyLimits) -> None:
        super().limit_replies(limits)
        self._inner.limit_replies(limits)

    async def deliver(self, delivering: replies.Delivering) -> replies.Delivered:
        sealed = replace(delivering, text=self._replies.seal(delivering))
        if (beginning := delivering.beginning) is not None:
            data = self._seal(beginning.key, beginning.data)
            sealed = replace(sealed, beginning=replace(beginning, data=data, text=None))
        delivered = await self._inner.deliver(sealed)
        owner, claimed = delivering.owner, delivered.claimed
        reply = None if delivered.reply is None else self._replies.opened(owner, delivered.reply)
        if claimed is None:
            return replies.Delivered(delivered.outcome, reply)
        try:
            return replies.Delivered(delivered.outcome, reply, self._opened_claim(claimed, owner))
        except DecryptionError as error:
            await shielded(partial(put_off_unreadable, self._inner, owner, claimed.wait.key, delivering.token, error))
            return replies.Delivered(DeliveryOutcome.QUEUED, reply)

    async def claim_ready(self, readying: replies.Readying) -> replies.Readiness:
        while True:
            ready = await self._inner.claim_ready(readying)
            if ready.claimed is None:
                return ready
            wait = ready.claimed.wait
            owner = owner_of(wait.data)
            try:
                return replies.Readiness(self._opened_claim(ready.claimed, owner))
            except DecryptionError as error:
                await shielded(partial(put_off_unreadable, self._inner, owner, wait.key, readying.token, error))

    async def readiness(self, ctx: TenantCtx | None) -> replies.Backlog:
        return await self._inner.readiness(ctx)

    async def take(self, taking: replies.Taking) -> tuple[Reply, ...] | None:
        taken = await self._inner.take(taking)
        return None if taken is None else self._opened_replies(taken, taking.owner)

    async def stay(self, staying: replies.Staying) -> bool:
        if staying.data is not None:
            staying = replace(staying, data=self._seal(staying.key, staying.data), text=None)
        return await self._inner.stay(staying)

    async def put_off(self, putting_off: replies.PuttingOff) -> bool:
        return await self._inner.put_off(putting_off)

    async def inbox(self, owner: Owner, scope: ReplyScope) -> tuple[Reply, ...]:
        return self._opened_replies(await self._inner.inbox(owner, scope), owner)

    async def retry(self, key: str) -> bool:
        return await self._inner.retry(key)

    async def drop(self, key: str) -> Reply | None:
        return await self._inner.drop(key)  # as it is stored: nobody reads what an operator removes

    async def lying(self, ctx: TenantCtx) -> AsyncGenerator[replies.Lying, None]:
        async with aclosing(self._inner.lying(ctx)) as walk:
            async for lying in walk:
                yield replace(lying, reply=self._replies.opened(lying.owner, lying.reply))

    def lying_sealed(self, ctx: TenantCtx) -> AsyncGenerator[replies.Lying, None]:
        """Yield the unsettled replies of `ctx` as they are stored."""
        return self._inner.lying(ctx)

    async def rewrite(self, rewriting: replies.Rewriting) -> bool:
        return await self._inner.rewrite(rewriting)

    async def reseal_reply(self, lying: replies.Lying) -> bool:
        """Write the body of a reply anew, under the primary key.

        Returns:
            Whether it was; False if that was not needed (any more).
        """
        if self._sealer.is_current(lying.reply.text):
            return False
        return await self._inner.rewrite(replies.Rewriting(lying, self._replies.resealed(lying)))

    def _opened_claim(self, claimed: arguments.Claimed, owner: Owner | None) -> arguments.Claimed:
        wait = self.opened_wait(claimed.wait, owner)
        if owner is None or not claimed.replies:
            return replace(claimed, wait=wait)
        return replace(claimed, wait=wait, replies=self._opened_replies(claimed.replies, owner))

    def _opened_settled(self, settled: arguments.Settled, owner: Owner) -> arguments.Settled:
        if not settled.leftovers:
            return settled
        return replace(settled, leftovers=self._opened_replies(settled.leftovers, owner))

    def _opened_replies(self, sealed: tuple[Reply, ...], owner: Owner) -> tuple[Reply, ...]:
        return tuple([self._replies.opened(owner, reply) for reply in sealed])

    # -- the store as a whole

    def iterate(self, ctx: TenantCtx) -> AsyncIterator[Wait]:
        return _Opening(self, self._inner.iterate(ctx), ctx)

    async def purge(self, ctx: TenantCtx, user: str | None) -> int:
        return await self._inner.purge(ctx, user)

    def purging(self, ctx: TenantCtx, user: str | None) -> AsyncGenerator[Step, None]:
        return self._inner.purging(ctx, user)

    def inspector(self) -> Inspector | None:
        return self._inner.inspector()

    def _opened(self, wait: Wait | None, owner: Owner) -> Wait | None:
        return None if wait is None else self.opened_wait(wait, owner)


class _Opened(Wait, frozen=True, kw_only=True, gc=False):
    """What was found, decrypted.

    Its version is that of what is stored, and computed when asked for.
    """

    sealed: Wait

    @property
    def version(self) -> str:
        return self.sealed.version


class _Opening:
    """A walk over decrypted sessions. Unlike a generator it goes on after an error."""

    def __init__(self, backend: EncryptedBackend, walk: AsyncIterator[Wait], ctx: TenantCtx) -> None:
        self._backend = backend
        self._walk = walk
        # A walk of a context without a team reaches every team, which an operation by key does not.
        self._ctx = ctx if ctx.effective_team is not None else None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Wait:
        return self._backend.opened_wait(await anext(self._walk), self._ctx)

    async def aclose(self) -> None:
        await close_iterator(self._walk)


def _course(data: SessionData) -> bytes:
    """Return where a flow goes on: what has to stand beside a snapshot when it is opened."""
    cursor = data.cursor
    return parts(data.flow_id, data.pack_id, cursor.node_pointer, cursor.wait_reason, cursor.outbox_marker)
