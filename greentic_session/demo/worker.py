"""The worker: a handler of the ordering flow, for a `greentic_session.Runner`.

It keeps nothing itself. All that it works with is in the claim: the answer or the passed deadline,
the snapshot, and a key that is the same at each attempt.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import msgspec

from greentic_session import Claim, SessionData
from greentic_session.conversation import ConversationStore, linked_conversation
from greentic_session.conversation import Message as Said

from . import flow
from .flow import Order, Step

__all__ = ["NEW", "Began", "Paying", "Report", "Says", "Worker"]

NEW: Final = "new"
"""The node of a flow that has not asked anything yet."""

_REST_S: Final = 600.0
"""Seconds that a question waits after its reminder."""


class Began(msgspec.Struct, frozen=True, tag="began"):
    """A turn has begun; `text` is the answer, or None for a passed deadline."""

    worker: str
    text: str | None
    attempt: int


class Paying(msgspec.Struct, frozen=True, tag="paying"):
    """The bank is asked for the money, with an idempotency key."""

    worker: str
    order: Order
    key: str


class Says(msgspec.Struct, frozen=True, tag="says"):
    """The bot says something."""

    worker: str
    text: str


Report: TypeAlias = Began | Paying | Says
"""Message of a worker about its work."""


@dataclass(frozen=True, kw_only=True)
class Worker:
    """Works on one answer, or on a passed deadline.

    Attributes:
        name: What it is called.
        conversations: Where the transcript is.
        report: Hears what it does.
        pay: Asks the bank for the money: with the attempt, for the demo.
        patience: After how many seconds without an answer a customer is reminded.
    """

    name: str
    conversations: ConversationStore[Said]
    report: Callable[[Report], None]
    pay: Callable[[int], Awaitable[None]]
    patience: float

    async def __call__(self, claim: Claim) -> None:
        """Do one turn. If it fails, or its process dies in it, it is done again."""
        text = None if claim.reply is None else claim.reply.body
        self.report(Began(self.name, text, claim.attempt))
        if text is None:
            await self._say(claim.data, "Are you still there?")
            await claim.park(claim.scope, claim.data, ttl=_REST_S, on_timeout="forget")
            return
        order, node = claim.data.context(Order), claim.data.cursor.node_pointer
        step = flow.start() if node == NEW else flow.resume(node, order, text)
        if step.pays:
            self.report(Paying(self.name, step.order, claim.idempotency_key))
            await self.pay(claim.attempt)
        # First it is said, then comes the verdict: said twice is better than never said.
        await self._say(claim.data, step.says, answer=text)
        await self._settle(claim, step)

    async def _settle(self, claim: Claim, step: Step) -> None:
        if step.node is None:
            await claim.complete()
        else:
            data = claim.data.new_cursor(step.node).new_context(step.order)
            await claim.park(claim.scope, data, ttl=self.patience, on_timeout="resume")

    async def _say(self, data: SessionData, text: str, *, answer: str | None = None) -> None:
        """Say something to the customer, and add it to the transcript, behind the answer."""
        self.report(Says(self.name, text))
        conversation = linked_conversation(data)
        if conversation is not None:
            said = [Said.assistant(text)] if answer is None else [Said.user(answer), Said.assistant(text)]
            await self.conversations.append(data.tenant_ctx, conversation, *said)
