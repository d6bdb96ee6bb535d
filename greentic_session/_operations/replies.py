"""The operations of a store on replies: checks, and calls of the backend."""

import uuid
from typing import Any

from greentic_session import tenancy
from greentic_session._base.holder import claim_token, delivery_tokens
from greentic_session._concurrency.shield import shielded
from greentic_session._concurrency.terms import Terms
from greentic_session._concurrency.together import together
from greentic_session._json.fields import check_bool, check_int, check_type
from greentic_session.backend import Beginning, Delivering, Readying
from greentic_session.claim import Claim
from greentic_session.errors import ConflictError, InvalidInputError
from greentic_session.expiry import Seconds, milliseconds, ttl_ms
from greentic_session.ids import SessionKey
from greentic_session.models import ReplyScope, TenantCtx
from greentic_session.reply import Reply, Start, check_label, resumes_on_timeout, text_of_body
from greentic_session.tenancy import Owner

from .claims import ClaimOperations, new_token
from .delivery import Delivery
from .ready import ReadyIterator, Source

__all__ = ["ReplyOperations"]

_MAX_CLAIMS = 100_000


class ReplyOperations(ClaimOperations):
    """Operations of a `SessionStore` on replies and deadlines."""

    async def deliver(
        self,
        ctx: TenantCtx,
        user_id: str,
        scope: ReplyScope,
        body: Any,
        *,
        delivery_id: str | None = None,
        sender: str | None = None,
        start: Start | None = None,
        keep_for: Seconds | None = None,
        fallback: bool = False,
        claim: bool = True,
        lease: Seconds = 30.0,
    ) -> Delivery:
        """Accept a reply, and take the right to work on it where nobody is at its wait.

        An accepted reply stays in the store until a verdict has settled it, somebody has removed
        it, or a time that its sender or the store's options name has run out. One atomic step.

        Args:
            ctx: The caller; one with a user delivers for that user only.
            user_id: Whose wait it is: the user who was asked. Who answers is the `sender`.
            scope: Where the reply came in.
            body: A str as it is, anything else written as JSON.
            delivery_id: The sender's own id of this delivery, 1 to 255 characters: of one owner and
                conversation, the same one is accepted once. Without it, to repeat a call whose
                answer was lost may accept the reply twice.
            sender: Who answers, 1 to 255 characters, where several may.
            start: A session to begin with, where nothing waits.
            keep_for: For how many seconds the reply is kept where nothing waits and no `start` is
                given: a wait that comes to the place in that time is ready at once.
            fallback: Where `scope` has a correlation and no wait is at its place, the place without
                it is meant, if a wait is there. Then an answer to an old question may answer a new
                one.
            claim: Whether a wait that is free is claimed; else the reply is queued there.
            lease: For how many seconds, as for `claim_wait`.

        Returns:
            The outcome: ``claimed``, with the claim, which holds the oldest reply of the place;
            ``queued`` at the end of the inbox, where the wait is claimed, busy or put off;
            ``kept`` where nothing waits; ``duplicate`` of a delivery that was settled or removed;
            ``unmatched`` where nothing waits, and nothing was accepted.

        Raises:
            ConflictError: A live session has the key of `start`.
            InboxFullError: The reply would be queued or kept, and is one too many. Nothing was
                accepted, remembered or changed.
            InvalidInputError: The body is longer than `max_reply_bytes`, or cannot be written.
            TenantMismatchError: `user_id` is not the user of `ctx`, or `start` is of somebody else.
            TooManyWaitsError: `start` is one wait too many for the user.
        """
        self._backend.check_open()
        owner = tenancy.lookup_owner(ctx, user_id)
        if owner is None:
            raise tenancy.mismatch("user must match the user who is waited for", ctx)
        scopes = tenancy.candidates(scope, fallback=fallback)
        if type(body) is str and body.isascii():
            text, size = body, len(body)  # the usual case, in one step
        else:
            text = text_of_body(body)
            size = len(text.encode())
        if size > self._limits.replies.max_reply_bytes:
            raise InvalidInputError(
                f"the body is {size} bytes long, and the limit is {self._limits.replies.max_reply_bytes}"
            )
        if claim is not True:
            check_bool("claim", claim)
        lease_ms = milliseconds(lease, "lease")
        token, reply_id, turn_key = delivery_tokens()
        terms = Terms(lease_ms)
        delivering = Delivering(
            owner,
            scopes,
            reply_id,
            text,
            size,
            token,
            turn_key,
            lease_ms,
            check_label("delivery_id", delivery_id) if delivery_id is not None else None,
            check_label("sender", sender) if sender is not None else None,
            self._beginning(ctx, owner, start) if start is not None else None,
            milliseconds(keep_for, "keep_for") if keep_for is not None else None,
            claim,
        )
        delivered = await self._backend.deliver(delivering)
        claimed = delivered.claimed
        if claimed is None:
            self._bell.ring()
            return Delivery(delivered.outcome, delivered.reply)
        return Delivery(
            delivered.outcome,
            delivered.reply,
            Claim(self._backend, self._limits, ctx, owner, claimed, token, self._bell, terms),
        )

    async def claim_ready(self, ctx: TenantCtx | None = None, *, limit: int = 1, lease: Seconds = 30.0) -> list[Claim]:
        """Claim waits that are ready: there is a reply or a passed deadline, and nobody is at it.

        Tenants take turns, each longest due first. Each claim is a step of its own.

        Args:
            ctx: Only waits that it administers (one env and tenant, and one team if it has one);
                None for all of the store.
            limit: How many, at most.
            lease: For how many seconds, as for `claim_wait`.

        Raises:
            InvalidInputError: `ctx` has a user, or `limit` is less than 1.
        """
        self._backend.check_open()
        tenancy.check_administration(ctx)
        check_int("limit", limit, 1, _MAX_CLAIMS)
        lease_ms = milliseconds(lease, "lease")
        return await self._claim_in_turn(ctx, lease_ms, limit)

    def iter_ready(self, ctx: TenantCtx | None = None, *, lease: Seconds = 30.0, poll: Seconds = 0.5) -> ReadyIterator:
        """Yield claims on what is ready, for ever, as `claim_ready` does.

        What this very store makes ready is yielded at once; what another process does, within
        `poll`. It goes on while the backend is away or late, and ends when the store is closed.

        Args:
            ctx: As for `claim_ready`.
            lease: As for `claim_ready`.
            poll: For how many seconds, at most, it sleeps.

        Raises:
            InvalidInputError: `ctx` has a user, or a time is out of range.
        """
        self._backend.check_open()
        tenancy.check_administration(ctx)
        lease_ms, pause = milliseconds(lease, "lease"), milliseconds(poll, "poll") / 1000
        source = Source(
            lambda: self._claim_one(ctx, lease_ms),
            lambda most: self._claim_together(ctx, lease_ms, most),
            lambda: not self._backend.closed,
            self._bell,
        )
        return ReadyIterator(source, pause)

    async def inbox(self, ctx: TenantCtx, user_id: str, scope: ReplyScope) -> list[Reply]:
        """Return the unsettled replies at exactly this scope, oldest first; nothing is changed."""
        self._backend.check_open()
        owner = tenancy.lookup_owner(ctx, user_id)
        tenancy.check_scope(scope)
        return [] if owner is None else list(await self._backend.inbox(owner, scope))

    def wake(self) -> None:
        """Let every `iter_ready` of this store look again at once."""
        self._bell.ring()

    async def _claim_one(self, ctx: TenantCtx | None, lease_ms: int) -> Claim | float | None:
        """Claim one wait that is ready, or say in how many seconds there may be one."""
        token, terms = claim_token(), Terms(lease_ms)
        ready = await self._backend.claim_ready(Readying(ctx, token, new_token(), lease_ms))
        if ready.claimed is None:
            return None if ready.next_ms is None else ready.next_ms / 1000
        data = ready.claimed.wait.data
        owner = tenancy.owner_of(data)
        if owner is None:
            raise tenancy.absent(ready.claimed.wait.key)
        return Claim(self._backend, self._limits, data.tenant_ctx, owner, ready.claimed, token, self._bell, terms)

    async def _claim_in_turn(self, ctx: TenantCtx | None, lease_ms: int, most: int) -> list[Claim]:
        """Claim so many waits that are ready, at the most, in the order in which they are due."""
        claims: list[Claim] = []
        try:
            while len(claims) < most:
                found = await self._claim_one(ctx, lease_ms)
                if not isinstance(found, Claim):
                    break
                claims.append(found)
        except BaseException:
            await _give_back(claims)
            raise
        return claims

    async def _claim_together(self, ctx: TenantCtx | None, lease_ms: int, most: int) -> list[Claim]:
        """Claim so many waits that are ready, in no order: all are asked for at the same time."""
        if self._backend.answers_at_once:
            return await self._claim_in_turn(ctx, lease_ms, most)
        answers: list[Claim | float | None] = []
        try:
            await together(lambda: self._claim_one(ctx, lease_ms), most, answers)
        except BaseException:
            await _give_back(_claims_of(answers))
            raise
        return _claims_of(answers)

    def _beginning(self, ctx: TenantCtx, owner: Owner, start: Start) -> Beginning:
        check_type("start", start, Start)
        text = self._limits.admit(start.data, as_text=self._backend.keeps_text)
        tenancy.wait_owner(tenancy.acting_for(ctx, owner[3]), owner[3], start.data)
        return Beginning(
            SessionKey(str(uuid.uuid4()) if start.key is None else start.key),
            start.data,
            ttl_ms(start.ttl, self._limits.wait_ttl_ms),
            resumes_on_timeout(start.on_timeout),
            self._limits.max_waits_per_user,
            text,
        )


def _claims_of(answers: list[Claim | float | None]) -> list[Claim]:
    return [answer for answer in answers if isinstance(answer, Claim)]


async def _give_back(claims: list[Claim]) -> None:
    """Release claims that nobody will ever have, although the caller may be cancelled."""

    async def release() -> None:
        for claim in claims:
            try:
                await claim.release()
            except ConflictError:
                pass  # over by now

    if claims:
        await shielded(release, persistent=True)
