"""The runner: finds the flow that waits for a message, resumes it, and parks it again.

What the person says and what the bot answers goes into the flow's conversation, which the parked
session names.

It keeps nothing itself. Any number of runners may serve the same chats, each from its own process:
what they know is in the store, and of all that see one answer exactly one gets the claim.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from msgspec.structs import replace

from greentic_session import Claim, ClaimedError, ReplyScope, SessionData, SessionStore, TenantCtx
from greentic_session.conversation import ConversationStore, link_conversation, linked_conversation
from greentic_session.conversation import Message as Said

from . import flow
from .flow import Order, Step
from .routing import answer_scopes, question_scope, session_key, tenant_of, tenant_partition, user_of
from .telegram import Message, Update, User

__all__ = ["Outcome", "Runner", "Snapshot"]

_START_AGAIN: Final = "Nothing waits for your answer. Send /order to start again."


class Snapshot(msgspec.Struct, frozen=True):
    """What the store keeps of a paused flow.

    Attributes:
        last_update: The id of the update that the flow has seen last: what is not newer was
            delivered again.
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
        conversation: The id of the conversation in which both are kept.
        length: How many messages that has now.
    """

    resumed_at: str | None = None
    parked_at: str | None = None
    scope: ReplyScope | None = None
    too_late: bool = False
    note: str | None = None
    says: str | None = None
    conversation: str | None = None
    length: int = 0


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
        conversations: Where their transcripts are; each must live longer than a question waits.
        ttl: For how many seconds a question waits for its answer.
        lease: For how many seconds a turn may take: if the runner dies in it, another one may
            resume the flow after that. By default as long as a question waits.
        think: What a turn does after the claim and before the flow's step, and what may take long:
            asking a model, say.
    """

    def __init__(
        self,
        store: SessionStore,
        conversations: ConversationStore[Said],
        ttl: float,
        *,
        lease: float | None = None,
        think: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._store = store
        self._conversations = conversations
        self._ttl = ttl
        self._lease = ttl if lease is None else lease
        self._think = think

    async def handle(self, update: Update) -> Outcome:
        """Do what `update` asks for.

        Raises:
            GreenticError: The store failed.
        """
        message = update.message
        if message is None or message.sender is None or message.text is None:
            return _NO_TEXT
        if flow.is_start(message.text):
            return await self._start(update.update_id, message, message.sender, message.text)
        if _is_small_talk(message):
            return _SMALL_TALK
        return await self._answer(update.update_id, message, message.sender, message.text)

    async def _start(self, update_id: int, message: Message, sender: User, text: str) -> Outcome:
        user = user_of(sender)
        ctx = tenant_partition(tenant_of(message)).with_user(user)
        key = session_key(ctx, message, sender)
        unfinished = await self._store.get_session(key, ctx=ctx)
        if unfinished is not None and _has_seen(unfinished, update_id):
            return _DUPLICATE
        step = flow.start()
        scope = question_scope(message)
        conversation = await self._conversations.create(ctx)
        session = link_conversation(_session(ctx, update_id, step), conversation.id)
        length = await self._record(session, text, step)
        # An order under this key, if there is one, is overwritten, and waits at the new place only.
        # Of two runners that see the same update at once both write this session, and the
        # conversation of the first is left to its lifetime.
        await self._store.register_wait(ctx, user, scope, key, session, ttl=self._ttl)
        note = None if unfinished is None else "instead of the unfinished order in this chat"
        said = Outcome(note=note, says=step.says, conversation=conversation.id, length=length)
        return replace(said, parked_at=step.node, scope=scope)

    async def _answer(self, update_id: int, message: Message, sender: User, text: str) -> Outcome:
        user = user_of(sender)
        ctx = tenant_partition(tenant_of(message)).with_user(user)
        for scope in answer_scopes(message):
            try:
                # A claim keeps the session alive as long as its lease: by default no longer than
                # the question would wait anyway.
                claim = await self._store.claim_wait(ctx, user, scope, lease=self._lease)
            except ClaimedError:
                return _CLAIMED
            if claim is not None:
                async with claim:
                    return await self._resume(claim, update_id, message, text)

        # Nothing waits there. In a group that is also what happens to an answer that is delivered
        # twice: the flow has moved on to the next question, and waits for a reply to that one.
        session = await self._store.get_session(session_key(ctx, message, sender), ctx=ctx)
        if session is None:
            return _TOO_LATE
        return _DUPLICATE if _has_seen(session, update_id) else _ELSEWHERE

    async def _resume(self, claim: Claim, update_id: int, message: Message, text: str) -> Outcome:
        if _has_seen(claim.data, update_id):
            return _DUPLICATE  # no verdict: the claim is released, and the flow waits on
        if self._think is not None:
            await self._think()
        node = claim.data.cursor.node_pointer
        step = flow.resume(node, claim.data.context(Snapshot).order, text)
        note = None
        if message.replied is not None and claim.scope.reply_to is None:
            note = f"nothing waits on a reply to {message.replied.message_id}: found without reply_to"
        # Before the verdict: if this runner dies in between, another one resumes the flow and
        # records the answer again. A line twice is better than a line lost.
        length = await self._record(claim.data, text, step)
        said = Outcome(
            resumed_at=node, note=note, says=step.says, conversation=linked_conversation(claim.data), length=length
        )
        if step.node is None:
            # The session goes, and with it what it had seen: the last answer, delivered again,
            # would find nothing.
            await claim.complete()
            return said
        scope = question_scope(message)
        # The context goes on naming the conversation.
        await claim.park(scope, _session(claim.data.tenant_ctx, update_id, step), ttl=self._ttl)
        return replace(said, parked_at=step.node, scope=scope)

    async def _record(self, session: SessionData, text: str, step: Step) -> int:
        """Add what was said to the conversation of a session; return how long that is now."""
        conversation = linked_conversation(session)
        if conversation is None:
            return 0  # parked by a program that keeps no transcripts
        said = Said.user(text), Said.assistant(step.says)
        return await self._conversations.append(session.tenant_ctx, conversation, *said)


def _session(ctx: TenantCtx, update_id: int, step: Step) -> SessionData:
    node = step.node or ""
    data = SessionData.new(ctx, flow.FLOW_ID, node, context=Snapshot(update_id, step.order))
    return data.new_cursor(node, wait_reason="answer")


def _has_seen(data: SessionData, update_id: int) -> bool:
    return update_id <= data.context(Snapshot).last_update


def _is_small_talk(message: Message) -> bool:
    if message.is_private:
        return False
    replied = message.replied
    return replied is None or (replied.sender is not None and not replied.sender.is_bot)
