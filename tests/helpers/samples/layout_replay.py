"""The scenarios recorded from the reference, and how to play them on a store."""

import json
import re
from typing import Any

import msgspec
from paths import VECTORS

from greentic_session import GreenticError, ReplyScope, SessionData, SessionStore, TenantCtx

__all__ = ["SCENARIOS", "Replay", "recorded_outcome"]

SCENARIOS: list[dict[str, Any]] = json.loads((VECTORS / "redis_layout_scenarios.json").read_text())


class Replay:
    """Player of recorded operations; ``$KEY<n>`` is the n-th key that create_session returned."""

    def __init__(self, store: SessionStore) -> None:
        self.store = store
        self.created: list[str] = []

    async def play(self, op: dict[str, Any]) -> Any:
        """Run one operation; return its result, or its error, as it was recorded."""
        try:
            return {"result": await getattr(self, op["op"])(**{key: value for key, value in op.items() if key != "op"})}
        except GreenticError as error:
            return {"error": str(error.code), "rule": broken_rule(str(error))}

    async def create_session(self, ctx: Any, data: Any) -> str:
        self.created.append(await self.store.create_session(context(ctx), session(data)))
        return f"$KEY{len(self.created)}"

    async def get_session(self, key: str) -> Any:
        found = await self.store.get_session(key)
        return found and json.loads(found.to_json())

    async def update_session(self, key: str, data: Any) -> None:
        await self.store.update_session(key, session(data))

    async def register_wait(self, ctx: Any, user: str, scope: Any, key: str, data: Any, ttl_ms: int | None = None) -> None:
        ttl = None if ttl_ms is None else ttl_ms / 1000
        await self.store.register_wait(context(ctx), user, place(scope), key, session(data), ttl)

    async def find_wait_by_scope(self, ctx: Any, user: str, scope: Any) -> str | None:
        return await self.store.find_wait_by_scope(context(ctx), user, place(scope))

    async def list_waits_for_user(self, ctx: Any, user: str) -> list[Any]:
        return [*await self.store.list_waits_for_user(context(ctx), user)]

    async def find_by_user(self, ctx: Any, user: str) -> Any:
        found = await self.store.find_by_user(context(ctx), user)
        return found and {"key": found[0], "data": json.loads(found[1].to_json())}

    async def clear_wait(self, ctx: Any, user: str, scope: Any) -> None:
        await self.store.clear_wait(context(ctx), user, place(scope))


def context(recorded: Any) -> TenantCtx:
    return msgspec.convert(recorded, TenantCtx)


def session(recorded: Any) -> SessionData:
    return SessionData.from_json(json.dumps(recorded))


def place(recorded: Any) -> ReplyScope:
    return msgspec.convert(recorded, ReplyScope)


def broken_rule(message: str) -> str:
    found = re.search(r"\(([^)]*)\)", message)
    return found.group(1) if found else ""


def recorded_outcome(step: dict[str, Any]) -> Any:
    """The rest of a recorded message is set aside.

    It may name the session key and the stored tenant, and ours must not.
    """
    outcome = step["redis"]
    if "error" not in outcome:
        return {"result": outcome["result"]}
    rule = broken_rule(outcome["error"]["message"])
    return {"error": outcome["error"]["code"], "rule": rule.removesuffix(" stored session")}
