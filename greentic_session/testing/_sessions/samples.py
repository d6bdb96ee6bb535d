"""Samples of the contract tests: users of the tenant acme, one flow, one chat."""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Self

import anyio

from greentic_session.models import ReplyScope, SessionCursor, SessionData, TenantCtx
from greentic_session.store import SessionStore

__all__ = [
    "ALICE",
    "CHAT",
    "CORRELATED",
    "DAY",
    "MINUTE",
    "OTHER",
    "MakeStore",
    "Time",
    "ctx",
    "data",
]

MakeStore = Callable[..., SessionStore]
"""Makes a fresh, empty store with the given options; the caller closes it."""

MINUTE = 60.0
"""A lifetime that matters to no test, in seconds."""
DAY = 86_400.0
"""A lifetime that no test outlives, whatever time it lets pass."""


@dataclass(frozen=True)
class Time:
    """Passing time for the stores of a contract suite: by itself, or moved by the test.

    Args:
        advance: Makes so many seconds pass for lifetimes: sets an injected timer forward, or
            sleeps. May be async.
        brief: A lifetime in which a few calls surely fit, and that a test can wait out; in seconds,
            less than an hour.
        moment: A lifetime that a test only ever waits out.
    """

    advance: Callable[[float], Awaitable[None] | None] = anyio.sleep
    brief: float = 0.6
    moment: float = 0.01

    @classmethod
    def moved(cls, advance: Callable[[float], Awaitable[None] | None]) -> Self:
        """Return a time that passes only by `advance`: its lifetimes outlast every call."""
        return cls(advance, brief=1800.0, moment=600.0)

    async def wait_out(self, seconds: float) -> None:
        """Let a lifetime of so many seconds end for certain, and no longer one."""
        passing = self.advance(seconds + 0.02)
        if inspect.isawaitable(passing):
            await passing


def ctx(user: str | None = "alice", *, env: str = "dev", tenant: str = "acme", team: str | None = "ops") -> TenantCtx:
    """Return a caller."""
    return TenantCtx.new(env, tenant, team=team, user=user)


ALICE = ctx()
CHAT = ReplyScope("telegram:chat-1")
OTHER = ReplyScope("telegram:chat-2")
CORRELATED = ReplyScope("telegram:chat-1", correlation="cid-7")


def data(owner: TenantCtx = ALICE, node: str = "node.ask", *, snapshot: str = '{"step":1}') -> SessionData:
    """Return a paused flow of `owner`."""
    return SessionData(tenant_ctx=owner, flow_id="order.flow", cursor=SessionCursor(node), context_json=snapshot)
