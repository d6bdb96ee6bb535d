"""The waits that are measured, as a program would make them: every one of objects and strings of its own.

Only the snapshot's text is one shared object, so that what is counted is the store and not the text.
"""

import uuid

import msgspec

from greentic_session import InMemorySessionStore, ReplyScope, SessionCursor, SessionData, TenantCtx

__all__ = [
    "NODE",
    "SNAPSHOT",
    "fill",
    "fresh",
    "make_ctx",
    "make_data",
    "make_full_scope",
    "make_key",
    "make_scope",
    "make_snapshot_for",
]

NODE = "ask-the-manager"


def make_snapshot(size: int) -> str:
    """Return JSON text of so many bytes, quotes and all; with as many answers in it, a sentence each, as fit."""
    answers: list[dict[str, str | float]] = []
    state = {"flow": "order-approval", "answers": answers, "padding": ""}
    for n in range(40):
        answer = f'she said "{n}", and that the supplier had confirmed the delivery for the week after next'
        answers.append({"question": f"question {n}", "answer": answer, "score": n / 8})
        if len(msgspec.json.encode(state)) > size:
            answers.pop()
            break
    state["padding"] = "." * (size - len(msgspec.json.encode(state)))
    return msgspec.json.encode(state).decode()


SNAPSHOT = make_snapshot(4096)
"""4 KiB of JSON text."""


def fresh(text: str) -> str:
    """Return an equal string that is another object, and has its hash still to be computed."""
    return text.encode().decode()


def make_ctx(user: int) -> TenantCtx:
    return TenantCtx.new(fresh("production"), f"tenant-{user % 100}", team=f"team-{user % 7}", user=f"user-{user}")


def make_scope(wait: int) -> ReplyScope:
    return ReplyScope(f"telegram:chat-{wait}")


def make_full_scope(wait: int) -> ReplyScope:
    return ReplyScope(f"slack:channel-{wait}", f"thread-{wait}", f"message-{wait}", f"correlation-{wait}")


def make_key(wait: int) -> str:
    return str(uuid.UUID(int=wait + (1 << 127)))


def make_data(ctx: TenantCtx, snapshot: str = SNAPSHOT) -> SessionData:
    return SessionData(
        tenant_ctx=ctx, flow_id=fresh("order-approval"), cursor=SessionCursor(fresh(NODE)), context_json=snapshot
    )


def make_snapshot_for(total: int) -> str:
    """Return a snapshot with which the wire text of a session has so many bytes (or a few more, for longer names)."""
    size = total
    for _ in range(10):  # the wire text escapes the snapshot's quotes, and their number depends on its size
        excess = len(make_data(make_ctx(0), make_snapshot(size)).to_json()) - total
        if excess == 0:
            break
        size -= excess
    return make_snapshot(size)


async def fill(store: InMemorySessionStore, *, waits: int, users: int, ttl: float | None = None) -> None:
    """Register so many waits; number n is of user n modulo `users`, so the waits of one user lie far apart."""
    for n in range(waits):
        ctx = make_ctx(n % users)
        await store.register_wait(ctx, f"user-{n % users}", make_scope(n), make_key(n), make_data(ctx), ttl)
