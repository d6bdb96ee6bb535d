"""A context and a session, and ways to build them with other fields."""

from typing import Any

from greentic_session import Impersonation, InvocationDeadline, SessionCursor, SessionData, TenantCtx

CTX = TenantCtx.new("dev", "acme", team="ops", user="u1")
DATA = SessionData(tenant_ctx=CTX, flow_id="order", cursor=SessionCursor("ask"), context_json="{}")
TEXT = DATA.to_json()
U32_MAX = 2**32 - 1
I128_MAX = 2**127 - 1


def data(**fields: Any) -> SessionData:
    usual: dict[str, Any] = {"tenant_ctx": CTX, "flow_id": "order", "cursor": SessionCursor("ask"), "context_json": "{}"}
    return SessionData(**usual | fields)


ID_FIELDS = {
    **dict.fromkeys(("env",), "EnvId"),
    **dict.fromkeys(("tenant", "tenant_id"), "TenantId"),
    **dict.fromkeys(("team", "team_id"), "TeamId"),
    **dict.fromkeys(("user", "user_id"), "UserId"),
}
FREE_TEXTS = ["session_id", "flow_id", "node_id", "provider_id", "trace_id", "i18n_id", "correlation_id", "idempotency_key"]

ATTRIBUTED = CTX.with_attributes({"b": "2", "a": "1"})
FULL = data(
    tenant_ctx=ATTRIBUTED.with_deadline(InvocationDeadline(I128_MAX)).with_impersonation(Impersonation("u2", "why")),
    pack_id="pack",
    cursor=SessionCursor("n", "why", "marker"),
    context_json='{"a":1}',
)

DEPTH = 2000
"""How deep an unknown field is nested here: deeper than msgspec follows."""


def deep(inside: str, depth: int = DEPTH) -> str:
    return "[" * depth + inside + "]" * depth
