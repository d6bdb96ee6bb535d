"""Agents of pydantic-ai on conversations and replies: history, and approvals that may take days.

It needs the framework: ``python -m pip install 'greentic-session[pydantic-ai]'``.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

import msgspec
from pydantic import TypeAdapter
from pydantic_ai import Agent, DeferredToolRequests, DeferredToolResults, ToolDenied
from pydantic_ai.messages import ModelMessage

from greentic_session._json.fields import check_instance
from greentic_session.claim import Claim
from greentic_session.conversation import Conversation, ConversationStore, link_conversation, linked_conversation
from greentic_session.errors import NotFoundError
from greentic_session.expiry import Ttl

__all__ = ["MODEL_MESSAGE", "AgentTurns", "Decision", "Prompt", "Say"]

MODEL_MESSAGE: Final[TypeAdapter[Any]] = TypeAdapter(ModelMessage)
"""The `message_type` of a conversation store for messages of pydantic-ai."""

_REQUESTS: Final[TypeAdapter[Any]] = TypeAdapter(DeferredToolRequests)
_ANY: Final[TypeAdapter[Any]] = TypeAdapter(Any)
_TURN: Final = "turn"
"""In a conversation's custom values: the key of the last turn that is done."""
_OUTPUT: Final = "output"
_DEFERRED: Final = "deferred"
_DECIDED: Final = "decided"


class Prompt(msgspec.Struct, frozen=True, tag="prompt"):
    """What somebody asks the agent.

    Attributes:
        text: The text.
    """

    text: str


class Decision(msgspec.Struct, frozen=True, tag="decision"):
    """What somebody decided about calls of tools that wait for it; several may come.

    Attributes:
        approvals: By id of the call: whether it is approved, or a text that says why not.
        results: By id of a call that others carry out: its result, any JSON.
    """

    approvals: Mapping[str, bool | str] = {}
    results: Mapping[str, Any] = {}


Say: TypeAlias = Callable[[Claim, Any], Awaitable[object]]
"""Tells somebody the agent's output, as JSON, or asks for what a `DeferredToolRequests` holds.

It may be awaited twice with the same.
"""


class AgentTurns:
    """Handler of a `Runner` for one agent: ``Runner(store, AgentTurns(...).work)``.

    Deliver a `Prompt` or a `Decision` as JSON, with a `Start` for the first prompt. The history of
    a place is a conversation in the partition of its session. A turn writes its messages, its
    output and what it asks for in one step, and under the key of the turn: an attempt after a crash
    repeats a model's call that was not written down, and never one that was.

    A decision that comes twice, late, or about something else changes nothing, and the first one
    about a call counts. A prompt that comes while calls wait has them asked for once more. The
    agent goes on when all of them are decided.

    Args:
        agent: The agent; for approvals its `output_type` has `DeferredToolRequests`.
        conversations: Where histories are kept, made with ``message_type=MODEL_MESSAGE``.
        say: Tells or asks.
        ttl: How long a place waits for the next answer, as for `SessionStore.register_wait`.

    Raises:
        TypeError: `conversations` is no store.
    """

    def __init__(self, agent: Agent[Any, Any], conversations: ConversationStore[Any], say: Say, *, ttl: Ttl = None) -> None:
        check_instance("conversations", conversations, ConversationStore)
        self._agent = agent
        self._conversations = conversations
        self._say = say
        self._ttl = ttl

    async def work(self, claim: Claim) -> None:
        """Work on an answer: run the agent, tell or ask, and wait for the next one.

        A place at its deadline is over.

        Raises:
            InvalidInputError: The answer is neither a `Prompt` nor a `Decision`.
        """
        if claim.reply is None:
            await (claim.complete() if claim.timed_out else claim.stay())
            return
        said: Prompt | Decision = claim.reply.value(Prompt | Decision)
        history = await self._history(claim)
        if history.state.custom.get(_TURN) != claim.idempotency_key and not await self._turn(claim, history, said):
            await claim.stay()
            return
        output = _output(history.state.custom)
        await self._say(claim, output)
        node = "decide" if isinstance(output, DeferredToolRequests) else "ask"
        await claim.park(claim.scope, link_conversation(claim.data, history.id).new_cursor(node), ttl=self._ttl)

    async def _history(self, claim: Claim) -> Conversation[Any]:
        """Return the history of the place; the first turn begins one."""
        linked = linked_conversation(claim.data)
        id = claim.idempotency_key if linked is None else linked
        try:
            return await self._conversations.load(claim.data.tenant_ctx, id)
        except NotFoundError:
            return Conversation.new(id)

    async def _turn(self, claim: Claim, history: Conversation[Any], said: Prompt | Decision) -> bool:
        """Do what the answer asks for, and write it down; return whether there was anything."""
        custom = history.state.custom
        waiting = _waiting(custom)
        if waiting is None:
            if not isinstance(said, Prompt):
                return False
            await self._run(history, said.text, None)
        elif isinstance(said, Prompt):
            await self._say(claim, waiting)
            return False
        else:
            news = _of(waiting, said)
            if not any(news.values()):
                return False
            decided = {kind: custom.get(_DECIDED, {}).get(kind, {}) | news[kind] for kind in news}
            custom[_DECIDED] = decided
            if _waiting(custom) == DeferredToolRequests():
                await self._run(history, None, _results(decided))
        custom[_TURN] = claim.idempotency_key
        await self._conversations.save(claim.data.tenant_ctx, history)
        return True

    async def _run(self, history: Conversation[Any], prompt: str | None, results: DeferredToolResults | None) -> None:
        done = await self._agent.run(prompt, message_history=history.messages or None, deferred_tool_results=results)
        history.messages = [*history.messages, *done.new_messages()]
        custom = history.state.custom
        custom.pop(_DECIDED, None)
        deferred = isinstance(done.output, DeferredToolRequests)
        custom[_DEFERRED] = _REQUESTS.dump_python(done.output, mode="json") if deferred else None
        custom[_OUTPUT] = None if deferred else _ANY.dump_python(done.output, mode="json")


def _waiting(custom: Mapping[str, Any]) -> DeferredToolRequests | None:
    """Return what is not decided of what the agent asked for; None if it asked for nothing."""
    if custom.get(_DEFERRED) is None:
        return None
    asked: DeferredToolRequests = _REQUESTS.validate_python(custom[_DEFERRED])
    decided = custom.get(_DECIDED, {})
    return DeferredToolRequests(
        calls=[call for call in asked.calls if call.tool_call_id not in decided.get("results", {})],
        approvals=[call for call in asked.approvals if call.tool_call_id not in decided.get("approvals", {})],
    )


def _output(custom: Mapping[str, Any]) -> Any:
    waiting = _waiting(custom)
    return custom[_OUTPUT] if waiting is None else waiting


def _of(waiting: DeferredToolRequests, said: Decision) -> dict[str, dict[str, Any]]:
    """Return what was decided about calls that wait, and nothing else."""
    approvals, calls = ({call.tool_call_id for call in kind} for kind in (waiting.approvals, waiting.calls))
    return {
        "approvals": {id: value for id, value in said.approvals.items() if id in approvals},
        "results": {id: value for id, value in said.results.items() if id in calls},
    }


def _results(decided: Mapping[str, Mapping[str, Any]]) -> DeferredToolResults:
    approvals = {id: ToolDenied(value) if isinstance(value, str) else value for id, value in decided["approvals"].items()}
    return DeferredToolResults(approvals=approvals, calls=dict(decided["results"]))
