"""Agents of pydantic-ai on conversations and replies: history, and approvals that may take days.

It needs the framework: ``python -m pip install 'greentic-session[pydantic-ai]'``.
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic_ai import Agent, DeferredToolRequests, DeferredToolResults, ToolDenied
from pydantic_ai.messages import ModelMessage

from greentic_session.conversation import Conversation, ConversationStore
from greentic_session.expiry import Ttl

from ._turns import BaseTurns, Decided, Decision, Outcome, Prompt, RunOptions, Say, Waiting

__all__ = ["MODEL_MESSAGE", "AgentTurns", "Decision", "Prompt", "RunOptions", "Say"]

MODEL_MESSAGE: Final[TypeAdapter[Any]] = TypeAdapter(ModelMessage)
"""The `message_type` of a conversation store for messages of pydantic-ai."""

_REQUESTS: Final[TypeAdapter[Any]] = TypeAdapter(DeferredToolRequests)
_ANY: Final[TypeAdapter[Any]] = TypeAdapter(Any)


class AgentTurns(BaseTurns):
    """Handler of a `Runner` for one agent: ``Runner(store, AgentTurns(...).work)``.

    How it works, and what it promises, is said at `BaseTurns`.

    Args:
        agent: The agent; for approvals its `output_type` has `DeferredToolRequests`.
        conversations: Where histories are kept, made with ``message_type=MODEL_MESSAGE``.
        say: Tells, or asks for what a `DeferredToolRequests` holds.
        ttl: How long a place waits for the next answer, as for `SessionStore.register_wait`.
        options: Returns what ``agent.run`` gets besides: `deps`, `usage_limits` and the like.

    Raises:
        TypeError: `conversations` is no store.
    """

    def __init__(
        self,
        agent: Agent[Any, Any],
        conversations: ConversationStore[Any],
        say: Say,
        *,
        ttl: Ttl = None,
        options: RunOptions | None = None,
    ) -> None:
        super().__init__(conversations, say, ttl=ttl, options=options)
        self._agent = agent

    async def _begin(self, history: Conversation[Any], prompt: str, options: Mapping[str, Any]) -> Outcome:
        return await self._run(history, prompt, None, options)

    async def _resume(
        self, history: Conversation[Any], deferred: Any, decided: Decided, options: Mapping[str, Any]
    ) -> Outcome:
        del deferred  # the calls are in the messages
        approvals = {id: ToolDenied(value) if isinstance(value, str) else value for id, value in decided.approvals.items()}
        results = DeferredToolResults(approvals=approvals, calls=decided.results)
        return await self._run(history, None, results, options)

    async def _run(
        self,
        history: Conversation[Any],
        prompt: str | None,
        results: DeferredToolResults | None,
        options: Mapping[str, Any],
    ) -> Outcome:
        earlier = history.messages or None
        done = await self._agent.run(prompt, message_history=earlier, deferred_tool_results=results, **options)
        messages = [*history.messages, *done.new_messages()]
        if isinstance(done.output, DeferredToolRequests):
            return Outcome(messages, _REQUESTS.dump_python(done.output, mode="json"), None)
        return Outcome(messages, None, _ANY.dump_python(done.output, mode="json"))

    def _undecided(self, deferred: Any, decided: Decided) -> Waiting:
        asked: DeferredToolRequests = _REQUESTS.validate_python(deferred)
        waiting = DeferredToolRequests(
            calls=[call for call in asked.calls if call.tool_call_id not in decided.results],
            approvals=[call for call in asked.approvals if call.tool_call_id not in decided.approvals],
        )
        approvals, results = (frozenset(call.tool_call_id for call in kind) for kind in (waiting.approvals, waiting.calls))
        return Waiting(waiting, approvals, results)
