"""The runner: for every message it finds the flow that waits for it, resumes it, and parks it again.

It keeps nothing itself. Any number of runners may serve the same chats, each from its own process: what they know is in
the store, and of all that see one answer exactly one gets the claim.
"""

from typing import Final

import msgspec

from greentic_session import Claim, ClaimedError, ReplyScope, SessionCursor, SessionData, SessionStore, TenantCtx

from . import flow
from .flow import Order, Step
from .routing import answer_scopes, question_scope, session_key, tenant_of, tenant_room, user_of
from .telegram import Message, Update, User

__all__ = ["Outcome", "Runner", "Snapshot"]

_START_AGAIN: Final = "Nothing waits for your answer. Send /order to start again."


class Snapshot(msgspec.Struct, frozen=True):
    """What the store keeps of a paused flow.

    Attributes:
        last_update: The id of the update that the flow has seen last: what is not newer was delivered again.
        order: The flow's own state.
    """

    last_update: int
    order: Order


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a message.

    Attributes:
        resumed_at: The node at which a paused flow was resumed by it.
        parked_at: The node at which a flow is parked now.
        scope: Where that one's answer will come in.
        too_late: Whether it answers something, and nothing waits.
        note: What else is worth telling.
        says: What the bot answers.
    """

    resumed_at: str | None = None
    parked_at: str | None = None
    scope: ReplyScope | None = None
    too_late: bool = False
    note: str | None = None
    says: str | None = None


_DUPLICATE: Final = Outcome(note="already processed, ignored: Telegram has delivered this update before")
_CLAIMED: Final = Outcome(note="another runner is resuming this flow, left to it")
_ELSEWHERE: Final = Outcome(note="ignored: this question was answered before, the order waits for another answer")
_SMALL_TALK: Final = Outcome(note="ignored: in a group, only a reply to the bot is an answer")
_TOO_LATE: Final = Outcome(too_late=True, says=_START_AGAIN)
_NO_TEXT: Final = Outcome(note="ignored: this update has no text message from a person")


class Runner:
    """Serves the ordering flow.

    Args:
        store: Where paused flows wait.
        ttl: For how many seconds a question waits for its answer.
    """

    def __init__(self, store: SessionStore, ttl: float) -> None:
        self._store = store
        self._ttl = ttl

    async def handle(self, update: Update) -> Outcome:
        """Do what `update` asks for.

        Raises:
            GreenticError: The store failed.
        """
        message = update.message
        if message is None or message.sender is None or message.text is None:
            return _NO_TEXT
        if flow.is_start(message.text):
            return await self._start(update.update_id, message, message.sender)
        if _is_small_talk(message):
            return _SMALL_TALK
        return await self._answer(update.update_id, message, message.sender, message.text)

    async def _start(self, update_id: int, message: Message, sender: User) -> Outcome:
        user = user_of(sender)
        ctx = tenant_room(tenant_of(message)).with_user(user)
        key = session_key(ctx, message, sender)
        unfinished = await self._store.get_session(key, ctx=ctx)
        if unfinished is not None and _has_seen(unfinished, update_id):
            return _DUPLICATE
        step = flow.start()
        scope = question_scope(message)
        # An order under this key, if there is one, is overwritten, and waits at the new place only. Two runners that see
        # the same update at once write the same session.
        await self._store.register_wait(ctx, user, scope, key, _session(ctx, update_id, step), ttl=self._ttl)
        note = None if unfinished is None else "instead of the unfinished order in this chat"
        return Outcome(parked_at=step.node, scope=scope, note=note, says=step.says)

    async def _answer(self, update_id: int, message: Message, sender: User, text: str) -> Outcome:
        user = user_of(sender)
        ctx = tenant_room(tenant_of(message)).with_user(user)
        for scope in answer_scopes(message):
            try:
                # A claim keeps the session alive as long as its lease: no longer than the question would wait anyway.
                claim = await self._store.claim_wait(ctx, user, scope, lease=self._ttl)
            except ClaimedError:
                return _CLAIMED
            if claim is not None:
                async with claim:
                    return await self._resume(claim, update_id, message, text)

        # Nothing waits there. In a group that is also what happens to an answer that is delivered twice: the flow has moved
        # on to the next question, and waits for a reply to that one.
        session = await self._store.get_session(session_key(ctx, message, sender), ctx=ctx)
        if session is None:
            return _TOO_LATE
        return _DUPLICATE if _has_seen(session, update_id) else _ELSEWHERE

    async def _resume(self, claim: Claim, update_id: int, message: Message, text: str) -> Outcome:
        if _has_seen(claim.data, update_id):
            return _DUPLICATE  # no verdict: the claim is released, and the flow waits on
        node = claim.data.cursor.node_pointer
        step = flow.resume(node, claim.data.context(Snapshot).order, text)
        note = None
        if message.replied is not None and claim.scope.reply_to is None:
            note = f"nothing waits on a reply to {message.replied.message_id}: found without reply_to"
        if step.node is None:
            # The session goes, and with it what it had seen: the last answer, delivered again, would find nothing.
            await claim.complete()
            return Outcome(resumed_at=node, note=note, says=step.says)
        scope = question_scope(message)
        await claim.park(scope, _session(claim.data.tenant_ctx, update_id, step), ttl=self._ttl)
        return Outcome(resumed_at=node, parked_at=step.node, scope=scope, note=note, says=step.says)


def _session(ctx: TenantCtx, update_id: int, step: Step) -> SessionData:
    cursor = SessionCursor(step.node or "", wait_reason="answer")
    data = SessionData(tenant_ctx=ctx, flow_id=flow.FLOW_ID, cursor=cursor, context_json="")
    return data.new_context(Snapshot(update_id, step.order))


def _has_seen(data: SessionData, update_id: int) -> bool:
    return update_id <= data.context(Snapshot).last_update


def _is_small_talk(message: Message) -> bool:
    if message.is_private:
        return False
    replied = message.replied
    return replied is None or (replied.sender is not None and not replied.sender.is_bot)
