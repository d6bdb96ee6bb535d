"""An agent that keeps its transcript, and asks a person before it uses certain tools.

What to do next is read from the transcript alone, and what the person decided lies in the store
until it is done. So any machine can go on with an agent that died anywhere in between: it repeats
only what was not written down, a call of the model or of a tool. A tool is told a key, the same at
each attempt, by which it can tell that it did its work before.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from greentic_session import Claim, ConflictError, ReplyScope, Runner, SessionData, Start, TenantCtx
from greentic_session.conversation import (
    ConversationStore,
    Message,
    TokenUsage,
    ToolResultBlock,
    ToolUseBlock,
    link_conversation,
    linked_conversation,
)

MINUTE, DAY = 60, 24 * 3600
WINDOW = 50


class Tool(msgspec.Struct, frozen=True):
    """A function that the model may call, by name, with a key for this use and its input."""

    call: Callable[[str, Any], Awaitable[str]]
    needs_approval: bool = False


class Question(msgspec.Struct, frozen=True, tag="question"):
    """What somebody asks the agent."""

    text: str


class Decision(msgspec.Struct, frozen=True, tag="decision"):
    """Whether the agent may use a tool: the use that it asked about."""

    use: str
    approve: bool


Model = Callable[[list[Message]], Awaitable[tuple[Message, TokenUsage]]]
"""Your model: it sees the end of the transcript, and gives the next message and what that cost."""

Say = Callable[[TenantCtx, str, str, str | None], Awaitable[None]]
"""Says something to somebody in a chat; with a use, it asks for a decision about that."""


async def tell(runner: Runner, ctx: TenantCtx, chat: str, said: Question | Decision, delivery_id: str | None = None) -> bool:
    """Hand over what somebody said; return whether there is an agent to hear it."""
    start = None
    if isinstance(said, Question):
        start = Start(SessionData.new(ctx, "agent", "begin", context=chat), ttl=DAY)
    user = ctx.effective_user or ""
    return (await runner.deliver(ctx, user, ReplyScope(chat), said, delivery_id=delivery_id, start=start)).accepted


class Agent:
    """Talks to people: ``Runner(store, Agent(...).work)``.

    In each chat, each of them is asked one thing at a time.
    """

    def __init__(self, conversations: ConversationStore[Message], model: Model, tools: Mapping[str, Tool], say: Say) -> None:
        self._conversations = conversations
        self._model = model
        self._tools = tools
        self._say = say

    async def work(self, claim: Claim) -> None:
        """Work on what somebody said, until there is an answer or something to be decided."""
        ctx, chat, node = claim.data.tenant_ctx, claim.data.context(str), claim.data.cursor.node_pointer
        said = claim.reply.value(Question | Decision) if claim.reply else None
        id, decisions = linked_conversation(claim.data), dict[str, bool]()
        if isinstance(said, Question) and id is None:
            id = await self._begin(claim, said)
        elif isinstance(said, Decision) and id is not None and said.use == node:
            decisions[said.use] = said.approve
        else:
            await self._say(ctx, chat, "That is over." if id is None else "First decide about what I asked last.", None)
            await claim.stay()
            return
        pending = await self._go_on(claim, id, decisions)
        # First it is said, then comes the verdict: twice is better than never.
        if isinstance(pending, ToolUseBlock):
            await self._say(ctx, chat, f"May I use {pending.name} with {pending.input}?", pending.id)
            await claim.park(claim.scope, link_conversation(claim.data, id).new_cursor(pending.id), ttl=DAY)
        else:
            await self._say(ctx, chat, pending, None)
            # Not complete(): a question that is behind this one finds its agent.
            await claim.park(claim.scope, link_conversation(claim.data, None).new_cursor("begin"), ttl=MINUTE)

    async def _begin(self, claim: Claim, question: Question) -> str:
        """Begin the transcript, unless an attempt before this one did."""
        ctx, id = claim.data.tenant_ctx, claim.idempotency_key
        try:
            await self._conversations.create(ctx, id=id, system_message="Use the tools.")
        except ConflictError:
            if await self._conversations.messages(ctx, id, last=1):
                return id
        await self._conversations.append(ctx, id, Message.user(question.text))
        return id

    async def _go_on(self, claim: Claim, id: str, decisions: Mapping[str, bool]) -> str | ToolUseBlock:
        """Go on until there is an answer, or a tool whose use somebody must allow."""
        ctx = claim.data.tenant_ctx
        while True:
            transcript = await self._conversations.messages(ctx, id, last=WINDOW)
            wanted = _unanswered(transcript)
            if not wanted and transcript[-1].role == "assistant":
                return transcript[-1].text
            if not wanted:
                message, usage = await self._model(transcript)
                await self._conversations.append(ctx, id, message)
                await self._conversations.update_state(ctx, id, add_usage=usage, add_events=1)
                continue
            use, tool = wanted[0], self._tools.get(wanted[0].name)
            if tool is None:
                result = ToolResultBlock(use.id, "no such tool", is_error=True)
            elif tool.needs_approval and use.id not in decisions:
                return use
            elif decisions.get(use.id, True):
                key = f"{claim.idempotency_key}:{use.id}"
                result = ToolResultBlock(use.id, await tool.call(key, use.input))
            else:
                result = ToolResultBlock(use.id, "refused", is_error=True)
            await self._conversations.append(ctx, id, Message("tool", (result,)))


def _unanswered(transcript: list[Message]) -> list[ToolUseBlock]:
    """Return the uses of tools that the model asked for and that have no result yet."""
    blocks = [block for message in transcript for block in message.content]
    answered = {block.tool_use_id for block in blocks if isinstance(block, ToolResultBlock)}
    return [block for block in blocks if isinstance(block, ToolUseBlock) and block.id not in answered]
