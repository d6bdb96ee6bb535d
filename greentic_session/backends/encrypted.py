"""Sessions whose snapshots are encrypted before any other backend sees them.

Of a session the snapshot (`SessionData.context_json`) is encrypted: what is stored is a SessionData
whose `context_json` is a sealed text, readable by every runtime that routes or cleans up. All else
is plain, because stores need it to find a session and to say whose it is. A sealed snapshot opens
only

- under the session key, and for the env, tenant, team and user, that it was written for, and only
  where these are the caller's, whatever the stored text says of itself, and
- beside the flow_id, pack_id and cursor that it was written with: where the flow goes on cannot be
  changed either.

What is not noticed: an older snapshot of the same session put back in the place of a newer one; a
session that was removed; a wait that was pointed at another scope of its user; changes to the rest
of `tenant_ctx` (attributes, tracing, attempt, deadline, impersonation).
"""

from collections.abc import AsyncGenerator, AsyncIterator
from functools import partial
from typing import Self

from msgspec.structs import replace

from greentic_session._base.lifecycle import Wrapping
from greentic_session._concurrency.shield import shielded
from greentic_session._crypto.keyring import Keyring
from greentic_session._crypto.sealing import Box, Resealing, Sealer, parts
from greentic_session.admin import Inspector, Step
from greentic_session.backend import Claiming, Creation, Parking, SessionBackend, Update
from greentic_session.errors import ConflictError, DecryptionError, NotFoundError, TenantMismatchError
from greentic_session.expiry import Never
from greentic_session.ids import SessionKey, plain
from greentic_session.models import ReplyScope, SessionData, TenantCtx
from greentic_session.store import SessionStore
from greentic_session.tenancy import Identity, Owner, administers, expected_identity, lookup_owner
from greentic_session.wait import SessionIterator, Wait, close_iterator

__all__ = ["EncryptedBackend", "EncryptedSessionStore"]


class EncryptedSessionStore(SessionStore):
    """A `SessionStore` that encrypts snapshots, over any other.

    ``EncryptedSessionStore(store, keyring)`` is used in the place of `store`.

    It needs the extra: ``python -m pip install 'greentic-session[encryption]'``. It has the options
    of the store that it wraps, and closes it when it is closed. `max_snapshot_bytes` counts the
    plain session; what is stored of a snapshot is a third longer than its UTF-8, and some 60 bytes.

    Every operation that returns a snapshot raises DecryptionError, besides what `SessionStore`
    says, where the stored one does not decrypt; `claim_wait` holds nothing then. All others (list,
    update, remove, clear, touch, purge, ...) go on working. Versions are those of the stored text:
    the same snapshot written twice has two.

    Args:
        store: Where the sessions are kept. What is written through it directly is not encrypted.
        keyring: The keys.
        allow_plain: Whether snapshots that are not encrypted are read as they are. To move over:
            turn it on, call `reencrypt` for every tenant, turn it off. While it is on, whoever can
            write to the storage can plant a snapshot of their own.

    Raises:
        TypeError: An argument has a wrong type.
        UnavailableError: The extra is not installed.
    """

    def __init__(self, store: SessionStore, keyring: Keyring, *, allow_plain: bool = False) -> None:
        if not isinstance(store, SessionStore):
            raise TypeError(f"store must be a SessionStore, not {type(store).__name__}")
        self._sealed = store
        self._encrypted = EncryptedBackend(store.backend, Sealer(keyring, allow_plain=allow_plain))
        self._take_over(store, self._encrypted)

    # The store below decides what this caller may see, before anything is decrypted: a session of
    # somebody else's is absent, whichever key it is under. And it may know a shorter way to its own
    # backend.

    async def get_session(self, key: str, *, ctx: TenantCtx | None = None) -> SessionData | None:
        """Return the snapshot under `key`; see `SessionStore.get_session`."""
        found = await self._sealed.get_session(key, ctx=ctx)
        return None if found is None else self._encrypted.opened(plain(key), found, ctx)

    async def get_versioned(self, key: str, *, ctx: TenantCtx | None = None) -> Wait | None:
        """Return the same with its version; see `SessionStore.get_versioned`."""
        found = await self._sealed.get_versioned(key, ctx=ctx)
        return None if found is None else self._encrypted.opened_wait(found, ctx)

    async def find_wait(self, ctx: TenantCtx, user_id: str, scope: ReplyScope, *, fallback: bool = False) -> Wait | None:
        """Find the paused flow that an answer belongs to; see `SessionStore.find_wait`."""
        found = await self._sealed.find_wait(ctx, user_id, scope, fallback=fallback)
        return None if found is None else self._encrypted.opened_wait(found, lookup_owner(ctx, user_id))

    def iter_sessions(self, ctx: TenantCtx) -> SessionIterator:
        """Yield every session of one env and tenant; see `SessionStore.iter_sessions`.

        Raises:
            DecryptionError: From the iterator's ``__anext__``, where a session does not decrypt.
                The next call of that goes on with the next session.
        """
        return super().iter_sessions(ctx)

    async def reencrypt(self, ctx: TenantCtx) -> int:
        """Encrypt the sessions of `ctx` that are plain or under an older key under the primary key.

        Lifetimes, waits and claims stay; the versions of what is written anew change. What somebody
        else writes meanwhile is never overwritten. It can be repeated, and cut short.

        Returns:
            How many were written anew.

        Raises:
            CorruptSessionError: One is no session any more; all others were seen to.
            DecryptionError: One does not decrypt; all others were seen to.
        """
        resealing = Resealing()
        async for wait in self._sealed.iter_sessions(ctx):
            await resealing.see_to(self._encrypted.reseal(wait, ctx))
        return resealing.end()

    async def aclose(self) -> None:
        """Close this store and the one that it wraps; idempotent."""
        await self._sealed.aclose()


class EncryptedBackend(Wrapping[SessionBackend], SessionBackend):
    """Seals what goes in to another backend, and opens what comes out.

    It forwards each operation by itself, and has no forwarding base: an operation that is new would
    pass through one unsealed, and here it is missing until somebody says what is sealed in it.
    """

    def __init__(self, backend: SessionBackend, sealer: Sealer) -> None:
        super().__init__(backend)
        self._sealer = sealer

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
                await self._inner.update(Update(found.key, data, None, found.version))
            except (ConflictError, TenantMismatchError):  # written meanwhile, or even somebody else's by now
                found = await self._inner.get(found.key)
            except NotFoundError:
                return False
            else:
                return True
        return False

    # -- sessions, by key

    async def create(self, creation: Creation) -> bool:
        sealed = self._seal(creation.key, creation.data)
        return await self._inner.create(replace(creation, data=sealed, text=None))

    async def get(self, key: str) -> Wait | None:
        found = await self._inner.get(key)
        if found is None:
            return None
        text = found.data.to_json() if found.text is None else found.text  # whose version is asked for by whoever reads
        return Wait(found.key, self.opened(found.key, found.data, None), found.scope, text)

    async def update(self, update: Update) -> str:
        return await self._inner.update(replace(update, data=self._seal(update.key, update.data), text=None))

    async def remove(self, key: str, ctx: TenantCtx | None) -> bool:
        return await self._inner.remove(key, ctx)

    async def touch(self, key: str, ttl_ms: int | None, ctx: TenantCtx | None) -> bool:
        return await self._inner.touch(key, ttl_ms, ctx)

    async def remaining_ms(self, key: str, ctx: TenantCtx | None) -> int | Never | None:
        return await self._inner.remaining_ms(key, ctx)

    # -- waits, by scope

    async def park(self, parking: Parking) -> SessionKey | None:
        return await self._inner.park(replace(parking, data=self._seal(parking.key, parking.data), text=None))

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

    async def claim(self, claiming: Claiming) -> Wait | None:
        wait = await self._inner.claim(claiming)
        try:
            return self._opened(wait, claiming.owner)
        except DecryptionError:
            if wait is not None:  # pragma: no branch  # something did not open
                await shielded(partial(self._inner.release, wait.key, claiming.token))
            raise

    async def complete(self, owner: Owner, key: str, token: str) -> bool:
        return await self._inner.complete(owner, key, token)

    async def release(self, key: str, token: str) -> bool:
        return await self._inner.release(key, token)

    async def renew(self, key: str, token: str, lease_ms: int) -> bool:
        return await self._inner.renew(key, token, lease_ms)

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
