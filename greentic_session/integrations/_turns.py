"""Turns of agents on conversations and replies, whatever the framework: history, and approvals."""

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from greentic_session._json.fields import check_instance
from greentic_session.claim import Claim
from greentic_session.conversation import Conversation, ConversationStore, link_conversation, linked_conversation
from greentic_session.errors import NotFoundError
from greentic_session.expiry import Ttl
from greentic_session.reply import Reply

from ._claims import ReplyTurns

__all__ = ["BaseTurns", "Decided", "Decision", "Outcome", "Prompt", "RunOptions", "Say", "Waiting"]

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
        results: By id of a call that others carry out: its result, any JSON. With openai-agents
            there are none.
    """

    approvals: Mapping[str, bool | str] = {}
    results: Mapping[str, Any] = {}


Say: TypeAlias = Callable[[Claim, Any], Awaitable[object]]
"""Tells somebody the agent's output, as JSON, or asks for decisions about the calls that wait.

It may be awaited twice with the same.
"""

RunOptions: TypeAlias = Callable[[Claim], Mapping[str, Any]]
"""Returns what the framework's ``run`` gets besides: keyword arguments for this turn."""


class Decided(msgspec.Struct, frozen=True):
    """What is decided so far.

    Attributes:
        approvals: As in a `Decision`.
        results: The same.
    """

    approvals: dict[str, bool | str] = {}
    results: dict[str, Any] = {}


class Waiting(NamedTuple):
    """Calls that are not decided.

    Attributes:
        shown: The calls, as `Say` gets them.
        approvals: Ids of calls that wait for an approval.
        results: Ids of calls that wait for a result.
    """

    shown: Any
    approvals: frozenset[str]
    results: frozenset[str] = frozenset()


class Outcome(NamedTuple):
    """What a run of an agent has come to.

    Attributes:
        messages: The whole history, with what the run has added.
        deferred: What the run needs to go on when its calls are decided, as JSON; None if it is
            over.
        output: The output, as JSON.
    """

    messages: list[Any]
    deferred: Any
    output: Any


class BaseTurns(ReplyTurns):
    """Handler of a `Runner` for one agent: ``Runner(store, AgentTurns(...).work)``.

    Deliver a `Prompt` or a `Decision` as JSON, with a `Start` for the first prompt. The history of
    a place is a conversation in the partition of its session. A turn writes its messages, its
    output and what it asks for in one step, and under the key of the turn: an attempt after a crash
    repeats a model's call that was not written down, and never one that was. A turn that another
    has taken over cannot write.

    A decision that comes twice, late, or about something else changes nothing, and the first one
    about a call counts. One that comes early lies there until its turn. A prompt that comes while
    calls wait has them asked for once more. The agent goes on when all of them are decided.
    """

    def __init__(
        self, conversations: ConversationStore[Any], say: Say, *, ttl: Ttl = None, options: RunOptions | None = None
    ) -> None:
        check_instance("conversations", conversations, ConversationStore)
        self._conversations = conversations
        self._say = say
        self._ttl = ttl
        self._options = options

    async def _answer(self, claim: Claim, reply: Reply) -> None:
        said: Prompt | Decision = reply.value(Prompt | Decision)
        history = await self._history(claim)
        if history.state.custom.get(_TURN) != claim.idempotency_key and not await self._turn(claim, history, said):
            await claim.stay()
            return
        waiting = self._waiting(history)
        await self._say(claim, history.state.custom[_OUTPUT] if waiting is None else waiting.shown)
        node = "ask" if waiting is None else "decide"
        await claim.park(claim.scope, link_conversation(claim.data, history.id).new_cursor(node), ttl=self._ttl)

    @abstractmethod
    async def _begin(self, history: Conversation[Any], prompt: str, options: Mapping[str, Any]) -> Outcome:
        """Run the agent with a prompt."""

    @abstractmethod
    async def _resume(
        self, history: Conversation[Any], deferred: Any, decided: Decided, options: Mapping[str, Any]
    ) -> Outcome:
        """Go on with a run whose calls are all decided."""

    @abstractmethod
    def _undecided(self, deferred: Any, decided: Decided) -> Waiting:
        """Return the calls of a run that wait."""

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
        waiting = self._waiting(history)
        options = {} if self._options is None else self._options(claim)
        if waiting is None:
            if not isinstance(said, Prompt):
                return False
            _put(history, await self._begin(history, said.text, options))
        elif isinstance(said, Prompt):
            await self._say(claim, waiting.shown)
            return False
        else:
            approvals = {id: value for id, value in said.approvals.items() if id in waiting.approvals}
            results = {id: value for id, value in said.results.items() if id in waiting.results}
            if not approvals and not results:
                return False
            before = _decided(history)
            decided = Decided(before.approvals | approvals, before.results | results)
            custom[_DECIDED] = {"approvals": decided.approvals, "results": decided.results}
            left = self._undecided(custom[_DEFERRED], decided)
            if not left.approvals and not left.results:
                _put(history, await self._resume(history, custom[_DEFERRED], decided, options))
        custom[_TURN] = claim.idempotency_key
        await self._conversations.save(claim.data.tenant_ctx, history)
        return True

    def _waiting(self, history: Conversation[Any]) -> Waiting | None:
        """Return what the agent waits for; None if it asked for nothing."""
        deferred = history.state.custom.get(_DEFERRED)
        return None if deferred is None else self._undecided(deferred, _decided(history))


def _decided(history: Conversation[Any]) -> Decided:
    return msgspec.convert(history.state.custom.get(_DECIDED, {}), Decided)


def _put(history: Conversation[Any], outcome: Outcome) -> None:
    history.messages, history.state.custom[_DEFERRED], history.state.custom[_OUTPUT] = outcome
    history.state.custom.pop(_DECIDED, None)
