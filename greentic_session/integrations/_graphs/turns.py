"""Turns of a graph of langgraph on replies: interrupts that people answer, days later."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import msgspec
from langgraph.checkpoint.serde.types import RESUME
from langgraph.types import Command, StateSnapshot

from greentic_session.claim import Claim
from greentic_session.expiry import Ttl
from greentic_session.integrations._claims import ReplyTurns
from greentic_session.reply import Reply

__all__ = ["Answer", "GraphTurns", "Input", "Question", "Say"]


class Input(msgspec.Struct, frozen=True, tag="input"):
    """What somebody gives the graph to begin a run.

    Attributes:
        value: The input, any JSON.
    """

    value: Any


class Answer(msgspec.Struct, frozen=True, tag="answer"):
    """What somebody answers to an interrupt.

    Attributes:
        question: The id of the `Question`.
        value: The answer, any JSON: what ``interrupt()`` returns.
    """

    question: str
    value: Any


class Question(msgspec.Struct, frozen=True):
    """An interrupt that waits for an answer.

    Attributes:
        id: What an `Answer` to it names; asked again after a crash it has the same.
        value: What the graph has given to ``interrupt()``.
    """

    id: str
    value: Any


class _Asked(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a place waits for.

    Attributes:
        interrupts: Ids of interrupts by ids of questions.
        position: Where the thread stood then.
    """

    interrupts: dict[str, str] = {}
    position: str = ""


Say: TypeAlias = Callable[[Claim, Mapping[str, Any], list[Question]], Awaitable[object]]
"""Asks people the questions of a graph, or tells them its values when it has none.

It may be awaited twice with the same.
"""


class GraphTurns(ReplyTurns):
    """Handler of a `Runner` for one graph: ``Runner(store, GraphTurns(...).work)``.

    Deliver an `Input` or an `Answer` as JSON, with a `Start` for the first input. The thread of a
    place is its session key. A graph that is interrupted asks, and goes on with the answer, on any
    machine. An answer counts once: one that comes twice, or names a question that is over, changes
    nothing. One that comes before the place waits lies there until it does. An input that comes
    while questions wait has them asked once more.

    A turn that has died goes on where its checkpoints end.

    Args:
        graph: The compiled graph, with a checkpointer.
        say: Asks or tells.
        ttl: How long a place waits for the next answer, as for `SessionStore.register_wait`.
    """

    def __init__(self, graph: Any, say: Say, *, ttl: Ttl = None) -> None:
        self._graph = graph
        self._say = say
        self._ttl = ttl

    async def _answer(self, claim: Claim, reply: Reply) -> None:
        said: Input | Answer = reply.value(Input | Answer)
        before = claim.data.context(_Asked | None) or _Asked()
        config = {"configurable": {"thread_id": str(claim.key)}}
        state = await self._graph.aget_state(config, subgraphs=True)
        waiting = _interrupts(state)
        answered = before.interrupts.get(said.question) if isinstance(said, Answer) else None
        given: Any = said.value if isinstance(said, Input) else Command(resume={answered: said.value})
        if before.position != await self._position(state):  # an attempt before this one has begun the turn
            if state.next:
                await self._graph.ainvoke(None, config)
        elif isinstance(said, Answer) and answered not in waiting:
            await claim.stay()
            return
        elif isinstance(said, Input) and waiting:
            await self._say(claim, state.values, _questions(before.interrupts, waiting))
            await claim.stay()
            return
        else:
            await self._graph.ainvoke(given, config)
        state = await self._graph.aget_state(config, subgraphs=True)
        waiting = _interrupts(state)
        asked = {question: id for question, id in before.interrupts.items() if id in waiting and id != answered}
        new = [id for id in waiting if id not in asked.values()]
        asked |= {f"{claim.idempotency_key[:16]}-{number}": id for number, id in enumerate(new)}
        await self._say(claim, state.values, _questions(asked, waiting))
        after = _Asked(asked, await self._position(state))
        data = claim.data.new_cursor("answer" if waiting else "input").new_context(after)
        await claim.park(claim.scope, data, ttl=self._ttl)

    async def _position(self, state: Any) -> str:
        """Return where a thread stands: another text after each checkpoint and each answer."""
        parts: list[str] = []
        states = [state]
        while states:
            one = states.pop()
            found = await self._graph.checkpointer.aget_tuple(one.config)
            if found is not None:
                answers = sum(len(value) for _, channel, value in found.pending_writes or () if channel == RESUME)
                parts.append(f"{found.config['configurable']['checkpoint_id']}:{answers}")
            states += [task.state for task in one.tasks if isinstance(task.state, StateSnapshot)]
        return " ".join(sorted(parts))


def _interrupts(state: Any) -> dict[str, Any]:
    """Return what a graph waits for: values by ids of interrupts."""
    return {interrupt.id: interrupt.value for task in state.tasks for interrupt in task.interrupts}


def _questions(asked: Mapping[str, str], waiting: Mapping[str, Any]) -> list[Question]:
    return [Question(question, waiting[id]) for question, id in asked.items() if id in waiting]
