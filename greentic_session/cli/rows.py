"""Rows of sessions, for tables and for JSON."""

from collections.abc import Callable
from typing import Any

import msgspec

from greentic_session._base.holder import this_process
from greentic_session.admin import Details, Holder
from greentic_session.wait import Wait

from .words import brief, duration

__all__ = ["as_json", "claim_text", "deadline_text", "holder_text", "scope_text", "state_text", "whose"]


def scope_text(details: Details) -> str:
    """Return where a session waits, in words."""
    if not details.waits:
        return ""
    scope = details.scope
    if scope is None:
        return "(another runtime knows)"
    parts = [("thread", scope.thread), ("reply_to", scope.reply_to), ("correlation", scope.correlation)]
    return " ".join([scope.conversation, *(f"{name} {value}" for name, value in parts if value)])


def deadline_text(details: Details, told: Callable[[int], str] = duration) -> str:
    """Return how long the deadline of a wait is off, in words."""
    left = details.deadline_ms
    if left is None:
        return "never"
    return told(left) if left > 0 else f"{told(-left)} ago"


def state_text(details: Details) -> str:
    """Return how a wait stands, in words; empty where it only waits."""
    if details.claim_ms is not None:
        return f"claimed {brief(details.claim_ms)}"
    if details.put_off_ms:
        return f"put off {brief(details.put_off_ms)}"
    return "" if details.ready_ms is None else f"ready {brief(details.ready_ms)}"


def claim_text(details: Details) -> str:
    """Return what is left of the claim on a session, and which process holds it, in words."""
    if details.claim_ms is None:
        return ""
    holder = holder_text(details)
    return duration(details.claim_ms) + (f" by {holder}" if holder else "")


def holder_text(details: Details) -> str:
    """Return which process holds the claim on a session, in words; empty where nobody can tell."""
    holder = details.holder
    if holder is None:
        return ""
    return f"{holder.pid} {'here' if _is_here(holder) else f'on {holder.host}'}"


def _holder_json(details: Details) -> dict[str, Any] | None:
    holder = details.holder
    return None if holder is None else {"host": holder.host, "pid": holder.pid, "here": _is_here(holder)}


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _is_here(holder: Holder) -> bool:
    return holder.host == this_process().host


def whose(wait: Wait) -> dict[str, str | None]:
    """Return the key of a session and whose it is, as tables and programs are told."""
    ctx = wait.data.tenant_ctx
    return {
        "key": wait.key,
        "env": ctx.env,
        "tenant": ctx.tenant_id,
        "team": ctx.effective_team,
        "user": ctx.effective_user,
    }


def as_json(wait: Wait, details: Details) -> dict[str, Any]:
    """Return what programs are told.

    Lifetimes in seconds (null: for ever), sizes in bytes; no snapshot.
    """
    cursor = wait.data.cursor
    return {
        **whose(wait),
        "flow_id": wait.data.flow_id,
        "pack_id": wait.data.pack_id,
        "node_pointer": cursor.node_pointer,
        "wait_reason": cursor.wait_reason,
        "waits": details.waits,
        "scope": None if details.scope is None else msgspec.to_builtins(details.scope),
        "ttl_seconds": _seconds(details.ttl_ms),
        "claim_seconds": _seconds(details.claim_ms),
        "holder": _holder_json(details),
        "age_seconds": _seconds(details.age_ms),
        "deadline_seconds": _seconds(details.deadline_ms),
        "on_timeout": "resume" if details.resumes else "forget",
        "ready_seconds": _seconds(details.ready_ms),
        "put_off_seconds": details.put_off_ms / 1000,
        "attempts": details.attempts,
        "replies": details.replies,
        "size": details.size,
    }
