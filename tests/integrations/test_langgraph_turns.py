"""Interrupts of langgraph that people answer through replies."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
import pytest

from greentic_session import (
    Claim,
    RedisUrlWithNamespace,
    ReplyScope,
    Runner,
    SessionData,
    SessionStore,
    Start,
    TenantCtx,
    create_session_store,
)

pytest.importorskip("langgraph", reason="install the extra: python -m pip install 'greentic-session[langgraph]'")
from frameworks.graphs import State, in_a_row  # it needs the framework
from langgraph.types import interrupt

from greentic_session.integrations.langgraph import Answer, GraphTurns, Input, Question, SessionSaver

pytestmark = pytest.mark.asyncio

ANN = TenantCtx.new("dev", "acme", user="ann")
CHAT = ReplyScope("chat-1")


async def order(state: State) -> Any:
    return {"said": [interrupt("size?"), interrupt("size of the box?")]}


async def close(state: State) -> Any:
    return {"said": ["closed"]}


def compiled(store: SessionStore, *, nested: bool = False) -> Any:
    graph = in_a_row(order=in_a_row(order=order).compile() if nested else order, close=close)
    return graph.compile(checkpointer=SessionSaver(store, ANN))


async def die(*_: Any, **__: Any) -> None:
    raise ConnectionError


class Desk:
    """A runner of a graph, and what it has said."""

    def __init__(self, store: SessionStore, graph: Any) -> None:
        self.said: list[Any] = []
        self.questions: list[Question] = []
        self.heard = anyio.Semaphore(0)
        self.failures = 0
        self.turns = GraphTurns(graph, self.say, ttl=600)
        self.runner = Runner(store, self.work)

    async def work(self, claim: Any) -> None:
        if not self.failures:
            await self.turns.work(claim)
            return
        self.failures -= 1
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Claim, "park", die)  # one claim has no room for it
            await self.turns.work(claim)

    async def say(self, claim: Any, values: Mapping[str, Any], questions: list[Question]) -> None:
        self.questions = questions
        self.said.append([question.value for question in questions] or values["said"])
        self.heard.release()

    async def tell(self, what: Input | Answer) -> None:
        start = Start(SessionData.new(ANN, "desk", "begin")) if isinstance(what, Input) else None
        delivery = await self.runner.deliver(ANN, "ann", CHAT, msgspec.json.encode(what).decode(), start=start)
        assert delivery.accepted

    async def hear(self, count: int = 1) -> Any:
        for _ in range(count):
            with anyio.fail_after(60):
                await self.heard.acquire()
        return self.said[-1]


@asynccontextmanager
async def asked(url: str, namespace: str, *, nested: bool) -> AsyncIterator[Desk]:
    """Run a graph in a Runner until it has asked for the size."""
    config = RedisUrlWithNamespace(url, namespace) if url.startswith("redis") else url
    async with create_session_store(config) as store:
        desk = Desk(store, compiled(store, nested=nested))
        async with desk.runner:
            await desk.tell(Input({"said": []}))
            assert await desk.hear() == ["size?"]
            yield desk


@pytest.fixture(params=[False, True], ids=["flat", "nested"])
def nested(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


async def test_answers_that_come_twice_or_early(url: str, namespace: str, *, nested: bool) -> None:
    async with asked(url, namespace, nested=nested) as desk:
        [size] = desk.questions
        await desk.tell(Answer("another", "huge"))  # of a question that nobody has asked
        await desk.tell(Answer(size.id, "large"))
        await desk.tell(Answer(size.id, "small"))  # twice: it must not answer the next question
        assert await desk.hear() == ["size of the box?"]
        [box] = desk.questions
        assert box.id != size.id
        await desk.tell(Answer(size.id, "tiny"))  # late
        await desk.tell(Answer(box.id, "red"))
        assert await desk.hear() == ["large", "red", "closed"]
        await desk.tell(Input({"said": ["again"]}))
        assert await desk.hear() == ["size?"]
    assert desk.said[:3] == [["size?"], ["size of the box?"], ["large", "red", "closed"]]


async def test_a_turn_that_died_before_its_verdict(url: str, namespace: str, *, nested: bool) -> None:
    """Its answer is not given to the question that came next."""
    async with asked(url, namespace, nested=nested) as desk:
        [size] = desk.questions
        desk.failures = 1
        await desk.tell(Answer(size.id, "large"))
        assert await desk.hear() == ["size of the box?"]
        first = desk.questions
        assert await desk.hear() == ["size of the box?"]  # the second attempt asks it again
        assert desk.questions == first
        await desk.tell(Answer(first[0].id, "red"))
        assert await desk.hear() == ["large", "red", "closed"]
