"""The store whose snapshots and replies are encrypted, over any other; see `encrypted`."""

from contextlib import aclosing

from greentic_session._crypto.keyring import Keyring
from greentic_session._crypto.sealing import Resealing, Sealer
from greentic_session.backends.encrypted import EncryptedBackend
from greentic_session.ids import plain
from greentic_session.models import ReplyScope, SessionData, TenantCtx
from greentic_session.store import SessionStore
from greentic_session.tenancy import lookup_owner
from greentic_session.wait import SessionIterator, Wait

__all__ = ["EncryptedSessionStore"]


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
        """Encrypt anew what `ctx` has under an older key than the primary one, or plain.

        Sessions, and the bodies of unsettled replies.

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
        async with aclosing(self._encrypted.lying_sealed(ctx)) as walk:
            async for lying in walk:
                await resealing.see_to(self._encrypted.reseal_reply(lying))
        return resealing.end()

    async def aclose(self) -> None:
        """Close this store and the one that it wraps; idempotent."""
        await self._sealed.aclose()
