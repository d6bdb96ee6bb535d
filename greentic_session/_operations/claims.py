"""Claiming a wait: the plain operation, and what all claims of a store share."""

import os

from greentic_session import tenancy
from greentic_session._base.holder import claim_token
from greentic_session._concurrency.bell import Bell
from greentic_session._concurrency.terms import PLAIN, Terms
from greentic_session._json.fields import check_bool
from greentic_session.backend import Claiming, SessionBackend
from greentic_session.claim import Claim
from greentic_session.expiry import Seconds, milliseconds
from greentic_session.limits import Limits
from greentic_session.models import ReplyScope, TenantCtx

__all__ = ["ClaimOperations", "new_token"]


def new_token() -> str:
    """Return a text that nobody guesses: of a reply or a turn."""
    return os.urandom(16).hex()


class ClaimOperations:
    """Operations of a `SessionStore` that claim a wait."""

    _backend: SessionBackend
    _limits: Limits
    _bell: Bell

    async def claim_wait(
        self,
        ctx: TenantCtx,
        user_id: str,
        scope: ReplyScope,
        *,
        lease: Seconds = 30.0,
        fallback: bool = False,
        keep_alive: bool = False,
    ) -> Claim | None:
        """Find a wait and take the right to resume it: of all runners that try, one gets it.

        Only claims look at claims: the plain operations go on as if there were none. A call that is
        cancelled or late gives back what it may have got.

        Args:
            ctx: The caller; one with a user finds that user's waits only.
            user_id: Who answered.
            scope: Where the answer came in.
            lease: For how many seconds, if nothing else ends it. A shorter lifetime of the session
                is lengthened to it, and stays so when the claim is released: choose a lease that
                suits the wait.
            fallback: Where `scope` has a correlation and nothing waits there, try it without. Then
                an answer to an old question may find a newer one.
            keep_alive: Whether the lease is renewed, at a third of itself, within ``async with``.

        Returns:
            The claim, to be used as an async context manager; None if nothing waits.

        Raises:
            ClaimedError: Another holds it. The fallback is not tried then.
            CorruptSessionError: The stored text is no SessionData; nothing is held.
        """
        self._backend.check_open()
        owner = tenancy.lookup_owner(ctx, user_id)
        scopes = tenancy.candidates(scope, fallback=fallback)
        lease_ms = milliseconds(lease, "lease")
        if owner is None:
            check_bool("keep_alive", keep_alive)
            return None
        token, terms = claim_token(), PLAIN
        if keep_alive is not False:
            check_bool("keep_alive", keep_alive)
        if keep_alive:
            terms = Terms(lease_ms, is_plain=True)
        claimed = await self._backend.claim(Claiming(owner, scopes, token, lease_ms))
        if claimed is None:
            return None
        return Claim(self._backend, self._limits, ctx, owner, claimed, token, self._bell, terms)
