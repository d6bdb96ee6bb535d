"""An agent that keeps its transcript, and asks a person before it uses certain tools.

What to do next is read from the transcript alone. So any machine can go on with an agent that died
anywhere in between: it repeats only what was not written down, a call of the model or of a tool. A
tool is told the id of its use, by which it can tell that it did its work before.
"""

import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from greentic_session import ReplyScope, SessionData, SessionStore, TenantCtx
from greentic_session.conversation import (
    ConversationStore,
    Message,
    TokenUsage,
    ToolResultBlock,
    ToolUseBlock,
    link_conversation,
    linked_conversation,
)

DAY = 24 * 3600
WINDOW = 50


class Tool(msgspec.Struct, frozen=True):
    """A function that the model may call, by name, with the id of this use and its input."""

    call: Callable[[str, Any], Awaitable[str]]
    needs_approval: bool = False


Model = Callable[[list[Message]], Awaitable[tuple[Message, TokenUsage]]]
"""Your model: it sees the end of the transcript, and gives the next message and what that cost."""


class Agent:
    """Talks to people.

    In each chat, each of them has one conversation that waits for a decision: the latest.
    """

    def __init__(
        self, sessions: SessionStore, conversations: ConversationStore[Message], model: Model, tools: Mapping[str, Tool]
    ) -> None:
        self._sessions = sessions
        self._conversations = conversations
        self._model = model
        self._tools = tools

    async def ask(self, ctx: TenantCtx, chat: str, text: str) -> str:
        """Begin a conversation; return the agent's answer, or its question."""
        conversation = await self._conversations.create(ctx, system_message="Use the tools.")
        await self._conversations.append(ctx, conversation.id, Message.user(text))
        pending = await self._work(ctx, conversation.id, {})
        if isinstance(pending, str):
            return pending
        data = link_conversation(_paused(ctx, pending), conversation.id)
        await self._sessions.register_wait(ctx, _user(ctx), ReplyScope(chat), str(uuid.uuid4()), data, ttl=DAY)
        return _question(pending)

    async def decide(self, ctx: TenantCtx, chat: str, *, approve: bool) -> str | None:
        """Resume what waits for this user's decision; None if nothing does.

        Raises:
            ClaimedError: Another machine is at it.
        """
        claim = await self._sessions.claim_wait(ctx, _user(ctx), ReplyScope(chat), lease=300)
        if claim is None:
            return None
        async with claim:  # if anything fails, it waits on
            id = linked_conversation(claim.data)
            if id is None:
                raise LookupError("this flow has no conversation")
            pending = await self._work(ctx, id, {claim.data.context(str): approve})
            if isinstance(pending, str):
                await claim.complete()
                return pending
            await claim.park(claim.scope, link_conversation(_paused(ctx, pending), id), ttl=DAY)
            return _question(pending)

    async def _work(self, ctx: TenantCtx, id: str, decisions: Mapping[str, bool]) -> str | ToolUseBlock:
        """Go on until there is an answer, or a tool whose use somebody must allow."""
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
                result = ToolResultBlock(use.id, await tool.call(use.id, use.input))
            else:
                result = ToolResultBlock(use.id, "refused", is_error=True)
            await self._conversations.append(ctx, id, Message("tool", (result,)))


def _unanswered(transcript: list[Message]) -> list[ToolUseBlock]:
    """Return the uses of tools that the model asked for and that have no result yet."""
    blocks = [block for message in transcript for block in message.content]
    answered = {block.tool_use_id for block in blocks if isinstance(block, ToolResultBlock)}
    return [block for block in blocks if isinstance(block, ToolUseBlock) and block.id not in answered]


def _paused(ctx: TenantCtx, use: ToolUseBlock) -> SessionData:
    """Return the snapshot of an agent that waits for a decision.

    Which one. All else is in the transcript.
    """
    return SessionData.new(ctx, "agent", "approve", context=use.id)


def _question(use: ToolUseBlock) -> str:
    return f"May I use {use.name} with {use.input}?"


def _user(ctx: TenantCtx) -> str:
    if ctx.effective_user is None:
        raise ValueError("say who is talking: TenantCtx.new(..., user=...)")
    return ctx.effective_user
