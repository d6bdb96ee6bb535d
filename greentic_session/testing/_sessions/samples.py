"""What the contract tests talk about: acme's people, one flow, one chat."""

from collections.abc import Callable

import anyio
import pytest

from greentic_session.models import ReplyScope, SessionCursor, SessionData, TenantCtx
from greentic_session.store import SessionStore

__all__ = ["ALICE", "BRIEF", "CHAT", "MINUTE", "MOMENT", "MakeStore", "by_user", "ctx", "data", "wait_out"]

MakeStore = Callable[..., SessionStore]
"""Makes a fresh, empty store with the given options (`default_wait_ttl=...` and so on); the caller closes it."""

MINUTE = 60.0
"""A lifetime that no test outlives, in seconds."""
BRIEF = 0.6
"""A lifetime in which a few calls surely fit, and that a test can wait out."""
MOMENT = 0.01
"""A lifetime that a test only ever waits out."""


def ctx(user: str | None = "alice", *, env: str = "dev", tenant: str = "acme", team: str | None = "ops") -> TenantCtx:
    """Return a caller."""
    return TenantCtx.new(env, tenant, team=team, user=user)


ALICE = ctx()
CHAT = ReplyScope("telegram:chat-1")


def data(owner: TenantCtx = ALICE, node: str = "node.ask", *, snapshot: str = '{"step":1}') -> SessionData:
    """Return a paused flow of `owner`."""
    return SessionData(tenant_ctx=owner, flow_id="order.flow", cursor=SessionCursor(node), context_json=snapshot)


async def by_user(store: SessionStore, caller: TenantCtx, user: str) -> tuple[str, SessionData] | None:
    """Call `find_by_user`, which warns that it is deprecated."""
    with pytest.warns(DeprecationWarning, match="use find_wait_by_scope or list_waits_for_user instead"):
        return await store.find_by_user(caller, user)


async def wait_out(seconds: float) -> None:
    """Sleep until a lifetime of so many seconds is over for certain, and no longer."""
    await anyio.sleep(seconds + 0.02)
