"""Agents of openai-agents: sessions kept as conversations, and runs that wait for approvals.

It needs the framework: ``python -m pip install 'greentic-session[openai-agents]'``.
"""

import copy
import inspect
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec
from agents import Agent, RunContextWrapper, Runner, RunState
from pydantic import TypeAdapter

from greentic_session.conversation import Conversation, ConversationStore
from greentic_session.conversation.rules import check_conversation_id
from greentic_session.conversation.turns import Turns
from greentic_session.errors import ConflictError, NotFoundError
from greentic_session.expiry import Ttl
from greentic_session.models import TenantCtx

from ._tenant import ConversationsOfTenant
from ._turns import BaseTurns, Decided, Decision, Outcome, Prompt, RunOptions, Say, Waiting

if TYPE_CHECKING:
    from agents import SessionSettings, TResponseInputItem

__all__ = ["AgentSession", "AgentSessions", "AgentTurns", "Approvals", "Call", "Decision", "Prompt", "RunOptions", "Say"]

_ANY: Final[TypeAdapter[Any]] = TypeAdapter(Any)
_TAKES_REASONS: Final = "rejection_message" in inspect.signature(RunState.reject).parameters


class AgentSessions(ConversationsOfTenant):
    """Sessions of one tenant.

    Args:
        conversations: Where they are kept, made with ``message_type=dict[str, Any]``. Its `ttl` is
            that of the sessions. The caller closes it.
        ctx: The tenant: env, tenant and team. Sessions of others are absent.

    Raises:
        InvalidInputError: The team of `ctx` is ``-``.
        TypeError: An argument has a wrong type.
    """

    def session(self, session_id: str, session_settings: "SessionSettings | None" = None) -> "AgentSession":
        """Return a session, new or stored; no I/O.

        Args:
            session_id: From 1 to 255 characters, which are the id of the conversation.
            session_settings: Its `limit` is how many of the last items the model gets.

        Raises:
            InvalidInputError: The id is not valid.
            TypeError: The id is no str.
        """
        return AgentSession(self._conversations, self._ctx, check_conversation_id(session_id), session_settings)


class AgentSession:
    """A session of openai-agents, made by `AgentSessions.session`.

    The conversation begins with the first item. Every item is stored and given back unchanged.
    Besides what is said below, the methods raise the errors of a `ConversationStore`.

    Attributes:
        session_id: The id of the session and its conversation.
        session_settings: The settings.
    """

    def __init__(
        self,
        conversations: ConversationStore[dict[str, Any]],
        ctx: TenantCtx,
        session_id: str,
        session_settings: "SessionSettings | None",
    ) -> None:
        self._conversations = conversations
        self._ctx = ctx
        self.session_id: str = session_id
        self.session_settings: SessionSettings | None = session_settings

    async def get_items(self, limit: int | None = None) -> "list[TResponseInputItem]":
        """Return the items, oldest first.

        Args:
            limit: How many of the last ones, from 0; None for as many as the settings say. As many
                as the settings say are for a model: then they are fewer, rather than begin with the
                output of a call that is left out. For any other number they are exactly so many.
        """
        last, whole_turns = _window(self.session_settings, limit)
        try:
            found: Any = await self._conversations.messages(self._ctx, self.session_id, last=last, whole_turns=whole_turns)
        except NotFoundError:
            return []
        return list(found)

    async def add_items(self, items: "list[TResponseInputItem]") -> None:
        """Append items, all or none; the first ones create the conversation."""
        if not items:
            return
        written: Any = items
        while True:
            try:
                await self._conversations.append(self._ctx, self.session_id, *written)
            except NotFoundError:
                try:
                    await self._conversations.create(self._ctx, id=self.session_id)
                except ConflictError:
                    pass  # another run has created it
            else:
                return

    async def pop_item(self) -> "TResponseInputItem | None":
        """Remove the last item and return it; None without any."""
        try:
            popped: Any = await self._conversations.pop(self._ctx, self.session_id)
        except NotFoundError:
            return None
        return popped[0] if popped else None

    async def clear_session(self) -> None:
        """Remove all items."""
        try:
            await self._conversations.clear(self._ctx, self.session_id)
        except NotFoundError:
            pass


class Call(msgspec.Struct, frozen=True):
    """A call of a tool that waits for an approval.

    Attributes:
        id: What a `Decision` names it by.
        tool: The name of the tool.
        arguments: What the model has written: a JSON text, or None.
        agent: The name of the agent that calls.
    """

    id: str
    tool: str | None
    arguments: str | None
    agent: str


class Approvals(msgspec.Struct, frozen=True):
    """What an agent waits for.

    Attributes:
        calls: The calls that are not decided.
    """

    calls: tuple[Call, ...]


class AgentTurns(BaseTurns):
    """Handler of a `Runner` for one agent: ``Runner(store, AgentTurns(...).work)``.

    How it works, and what it promises, is said at `BaseTurns`. The history of a place is what an
    `AgentSession` with its id has. A run with calls that wait for an approval is kept beside it, as
    the framework writes its `RunState`, and without its context. Each prompt begins at `agent`.

    Args:
        agent: The agent, which may hand over to others.
        conversations: Where histories are kept, made with ``message_type=dict[str, Any]``.
        say: Tells, or asks for what `Approvals` holds.
        ttl: How long a place waits for the next answer, as for `SessionStore.register_wait`.
        options: Returns what ``Runner.run`` gets besides: `context`, `run_config` and the like.
        session_settings: Its `limit` is how many of the last items a prompt begins with.

    Raises:
        TypeError: `conversations` is no store.
    """

    def __init__(
        self,
        agent: Agent[Any],
        conversations: ConversationStore[dict[str, Any]],
        say: Say,
        *,
        ttl: Ttl = None,
        options: RunOptions | None = None,
        session_settings: "SessionSettings | None" = None,
    ) -> None:
        super().__init__(conversations, say, ttl=ttl, options=options)
        self._agent = agent
        self._session_settings = session_settings

    async def _begin(self, history: Conversation[Any], prompt: str, options: Mapping[str, Any]) -> Outcome:
        return await self._run(history, prompt, options)

    async def _resume(
        self, history: Conversation[Any], deferred: Any, decided: Decided, options: Mapping[str, Any]
    ) -> Outcome:
        # The wrapper of the run keeps what is decided: with another context it has to be the same.
        context = options.get("context")
        override = None if context is None else RunContextWrapper(context)
        state: Any = await RunState.from_json(self._agent, deferred["state"], context_override=override)
        for id, item in _waiting(state.get_interruptions()).items():
            decision = decided.approvals[id]
            if decision is True:
                state.approve(item)
            elif isinstance(decision, str) and _TAKES_REASONS:
                state.reject(item, rejection_message=decision)
            else:
                state.reject(item)
        return await self._run(history, state, {name: value for name, value in options.items() if name != "context"})

    async def _run(self, history: Conversation[Any], given: Any, options: Mapping[str, Any]) -> Outcome:
        draft = _Draft(history, self._session_settings)
        done = await Runner.run(self._agent, given, session=draft, **options)
        if not done.interruptions:
            return Outcome(draft.items, None, _ANY.dump_python(done.final_output, mode="json"))
        written = done.to_state().to_json(context_serializer=lambda _: {})
        written["context"]["context"] = None
        calls = [
            Call(id, item.tool_name, item.arguments, item.agent.name) for id, item in _waiting(done.interruptions).items()
        ]
        return Outcome(draft.items, {"state": written, "calls": msgspec.to_builtins(calls)}, None)

    def _undecided(self, deferred: Any, decided: Decided) -> Waiting:
        calls = [call for call in msgspec.convert(deferred["calls"], list[Call]) if call.id not in decided.approvals]
        return Waiting(Approvals(tuple(calls)), frozenset(call.id for call in calls))


class _Draft:
    """A session in memory: what a run adds is stored when the run is over, or none of it."""

    def __init__(self, history: Conversation[Any], session_settings: "SessionSettings | None") -> None:
        self.session_id: str = history.id
        self.session_settings: SessionSettings | None = session_settings
        self.items: list[Any] = list(history.messages)

    async def get_items(self, limit: int | None = None) -> "list[TResponseInputItem]":
        last, whole_turns = _window(self.session_settings, limit)
        items = copy.deepcopy(self.items if last is None else self.items[max(len(self.items) - last, 0) :])
        turns = Turns()
        if whole_turns:
            for item in items:
                turns.see(msgspec.json.encode(item))
        return items[turns.start :]

    async def add_items(self, items: "list[TResponseInputItem]") -> None:
        self.items += copy.deepcopy(items)

    async def pop_item(self) -> "TResponseInputItem | None":
        return self.items.pop() if self.items else None

    async def clear_session(self) -> None:
        self.items.clear()


def _window(settings: "SessionSettings | None", limit: int | None) -> tuple[int | None, bool]:
    """Return how many of the last items are wanted, and whether no output may lose its call."""
    settled = None if settings is None else settings.limit
    last = settled if limit is None else limit
    return last, last is not None and last == settled


def _waiting(interruptions: Iterable[Any]) -> dict[str, Any]:
    """Return calls that wait, by their ids; one without an id by its place among them."""
    return {item.call_id or f"call-{number}": item for number, item in enumerate(interruptions)}
