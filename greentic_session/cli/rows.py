"""Rows of sessions, for tables and for JSON."""

from typing import Any

import msgspec

from greentic_session._base.holder import this_process
from greentic_session.admin import Details, Holder
from greentic_session.wait import Wait

from .words import duration

__all__ = ["as_json", "claim_text", "holder_text", "scope_text"]


def scope_text(details: Details) -> str:
    """Return where a session waits, in words."""
    if not details.waits:
        return ""
    scope = details.scope
    if scope is None:
        return "(another runtime knows)"
    parts = [("thread", scope.thread), ("reply_to", scope.reply_to), ("correlation", scope.correlation)]
    return " ".join([scope.conversation, *(f"{name} {value}" for name, value in parts if value)])


def claim_text(details: Details) -> str:
    """Return what is left of the claim on a session, and which process holds it, in words."""
    if details.claim_ms is None:
        return ""
    return f"{duration(details.claim_ms)} {holder_text(details)}".rstrip()


def holder_text(details: Details) -> str:
    """Return which process holds the claim on a session, in words."""
    holder = details.holder
    if holder is None:
        return ""
    return f"pid {holder.pid} {'here' if _is_here(holder) else f'on {holder.host}'}"


def _holder_json(details: Details) -> dict[str, Any] | None:
    holder = details.holder
    return None if holder is None else {"host": holder.host, "pid": holder.pid, "here": _is_here(holder)}


def _is_here(holder: Holder) -> bool:
    return holder.host == this_process().host


def as_json(wait: Wait, details: Details) -> dict[str, Any]:
    """Return what programs are told.

    Lifetimes in seconds (null: for ever), sizes in bytes; no snapshot.
    """
    ctx, cursor = wait.data.tenant_ctx, wait.data.cursor
    return {
        "key": wait.key,
        "env": ctx.env,
        "tenant": ctx.tenant_id,
        "team": ctx.effective_team,
        "user": ctx.effective_user,
        "flow_id": wait.data.flow_id,
        "pack_id": wait.data.pack_id,
        "node_pointer": cursor.node_pointer,
        "wait_reason": cursor.wait_reason,
        "waits": details.waits,
        "scope": None if details.scope is None else msgspec.to_builtins(details.scope),
        "ttl_seconds": None if details.ttl_ms is None else details.ttl_ms / 1000,
        "claim_seconds": None if details.claim_ms is None else details.claim_ms / 1000,
        "holder": _holder_json(details),
        "size": details.size,
    }
