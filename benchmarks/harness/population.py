"""Population of the stores: contexts, scopes, keys, snapshots and sessions.

Each is made of new objects and strings, as a program makes it: equal to what is stored, and not the
same object. Only the text of a snapshot is one shared object, so that memory figures leave it out.
"""

import uuid
from typing import NamedTuple

import msgspec

from greentic_session import InMemorySessionStore, ReplyScope, SessionCursor, SessionData, TenantCtx

__all__ = [
    "NODE",
    "SNAPSHOT",
    "USUAL_BYTES",
    "PreparedWait",
    "fill",
    "make_ctx",
    "make_data",
    "make_full_scope",
    "make_key",
    "make_scope",
    "make_snapshot_for",
    "new_string",
    "prepare_wait",
]

NODE = "ask-the-manager"
USUAL_BYTES = 4096
"""Bytes of a session's text, unless a measurement names another size."""
_TENANTS = 100
_TEAMS = 7
_MAX_ANSWERS = 40


def _make_snapshot(size: int) -> str:
    """Return JSON text of so many bytes, with as many answers of one sentence as fit."""
    answers: list[dict[str, str | float]] = []
    state = {"flow": "order-approval", "answers": answers, "padding": ""}
    for n in range(_MAX_ANSWERS):
        answer = f'she said "{n}", and that the supplier had confirmed the delivery for the week after next'
        answers.append({"question": f"question {n}", "answer": answer, "score": n / 8})
        if len(msgspec.json.encode(state)) > size:
            answers.pop()
            break
    state["padding"] = "." * (size - len(msgspec.json.encode(state)))
    return msgspec.json.encode(state).decode()


SNAPSHOT = _make_snapshot(USUAL_BYTES)
"""JSON text of 4 KiB."""


def new_string(text: str) -> str:
    """Return an equal string that is another object and has no cached hash."""
    return text.encode().decode()


def make_ctx(user: int) -> TenantCtx:
    return TenantCtx.new(
        new_string("production"), f"tenant-{user % _TENANTS}", team=f"team-{user % _TEAMS}", user=f"user-{user}"
    )


def make_scope(wait: int) -> ReplyScope:
    return ReplyScope(f"telegram:chat-{wait}")


def make_full_scope(wait: int) -> ReplyScope:
    """Return a scope that has all four parts."""
    return ReplyScope(f"slack:channel-{wait}", f"thread-{wait}", f"message-{wait}", f"correlation-{wait}")


def make_key(wait: int) -> str:
    return str(uuid.UUID(int=wait + (1 << 127)))


def make_data(ctx: TenantCtx, snapshot: str = SNAPSHOT) -> SessionData:
    return SessionData(
        tenant_ctx=ctx, flow_id=new_string("order-approval"), cursor=SessionCursor(new_string(NODE)), context_json=snapshot
    )


def make_snapshot_for(total: int) -> str:
    """Return a snapshot for sessions of `total` bytes (a few more where ids are longer)."""
    size = total
    for _ in range(10):  # a session's text escapes the quotes of its snapshot, and their number depends on the size
        excess = len(make_data(make_ctx(0), _make_snapshot(size)).to_json()) - total
        if excess == 0:
            break
        size -= excess
    return _make_snapshot(size)


class PreparedWait(NamedTuple):
    """Arguments of `register_wait`; the first three are those of `find_wait`."""

    ctx: TenantCtx
    user: str
    scope: ReplyScope
    key: str
    data: SessionData


def prepare_wait(user: int, snapshot: str) -> PreparedWait:
    """Return the wait of a user, of new objects each time."""
    ctx = make_ctx(user)
    return PreparedWait(ctx, f"user-{user}", make_scope(user), make_key(user), make_data(ctx, snapshot))


async def fill(store: InMemorySessionStore, *, waits: int, users: int, ttl: float | None = None) -> None:
    """Register so many waits; wait n belongs to user n modulo `users`.

    So the waits of one user lie far apart in memory.
    """
    for n in range(waits):
        ctx = make_ctx(n % users)
        await store.register_wait(ctx, f"user-{n % users}", make_scope(n), make_key(n), make_data(ctx), ttl)
