"""A runner of an agent, whatever the framework, and what the agent has said."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Self

import anyio
import msgspec
import pytest

from greentic_session import Claim, InMemorySessionStore, ReplyScope, Runner, SessionData, Start, TenantCtx

__all__ = ["ANN", "CHAT", "Office"]

ANN = TenantCtx.new("dev", "acme", user="ann")
CHAT = ReplyScope("chat-1")


class Office:
    """A runner with the turns of an agent, in which Ann has a chat.

    Attributes:
        said: What was told and asked, as `shown` shows it.
        heard: Released each time.
        sessions: Where she waits.
        turns: The turns.
    """

    def __init__(self, make_turns: Callable[[Any], Any], shown: Callable[[Any], Any]) -> None:
        self.said: list[Any] = []
        self.heard = anyio.Semaphore(0)
        self.sessions = InMemorySessionStore()
        self.turns = make_turns(self.say)
        self.shown = shown
        self.runner = Runner(self.sessions, self.turns.work)

    async def say(self, claim: Any, output: Any) -> None:
        self.said.append(self.shown(output))
        self.heard.release()

    @asynccontextmanager
    async def open(self, work: Callable[[Claim], Awaitable[object]] | None = None) -> AsyncIterator[Self]:
        """Run, with another handler than that of the turns if one is given."""
        if work is not None:
            self.runner = Runner(self.sessions, work)
        async with self.sessions, self.runner:
            yield self

    async def deliver(self, answer: Any, delivery_id: str | None = None) -> str:
        """Deliver a prompt or a decision; return the outcome."""
        start = Start(SessionData.new(ANN, "desk", "begin")) if type(answer).__name__ == "Prompt" else None
        body = msgspec.json.encode(answer).decode()
        return (await self.runner.deliver(ANN, "ann", CHAT, body, start=start, delivery_id=delivery_id)).outcome

    async def tell(self, answer: Any) -> Any:
        """Deliver a prompt or a decision; return what is said then."""
        await self.deliver(answer)
        return await self.hear()

    async def hear(self) -> Any:
        with anyio.fail_after(30):
            await self.heard.acquire()
        return self.said[-1]

    async def work_and_die(self, claim: Claim) -> None:
        """Work, the first time without coming to a verdict: as if the process had died."""
        if claim.attempt > 1:
            await self.turns.work(claim)
            return
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Claim, "park", _broken)
            await self.turns.work(claim)


async def _broken(*_: Any, **__: Any) -> None:
    raise ConnectionError
