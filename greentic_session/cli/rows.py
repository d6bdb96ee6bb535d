"""Rows of sessions, for tables and for JSON."""

from typing import Any

import msgspec

from greentic_session.admin import Details
from greentic_session.wait import Wait

__all__ = ["as_json", "scope_text"]


def scope_text(details: Details) -> str:
    """Return where a session waits, in words."""
    if not details.waits:
        return ""
    scope = details.scope
    if scope is None:
        return "(another runtime knows)"
    parts = [("thread", scope.thread), ("reply_to", scope.reply_to), ("correlation", scope.correlation)]
    return " ".join([scope.conversation, *(f"{name} {value}" for name, value in parts if value)])


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
        "size": details.size,
    }
