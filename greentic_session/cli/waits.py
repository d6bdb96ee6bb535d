"""``waits``: what a tenant's flows wait for."""

import argparse
from collections.abc import Mapping
from typing import Any, Final

from greentic_session.admin import Details, Inspector, Selection
from greentic_session.models import TenantCtx
from greentic_session.store import SessionStore
from greentic_session.wait import Wait

from .arguments import add_tenant, selection_of
from .command import Command, Exit
from .console import Console
from .nothing import tell_of_nothing
from .opening import opened
from .progress import Progress
from .rows import as_json, claim_text, scope_text
from .words import duration

__all__ = ["WAITS"]

_STEP: Final = 500
"""How many sessions are looked up at once."""


def _run(args: argparse.Namespace, console: Console) -> int:
    chosen = selection_of(args)
    with opened(args) as desk, Progress("sessions") as progress:
        found = desk.run(_collect(desk.store, desk.inspector, chosen, progress))
        if not found:
            tell_of_nothing(desk, args, console, chosen)
    found.sort(key=_order)
    if console.as_json:
        console.json({"waits": [as_json(wait, details) for wait, details in found]})
        return Exit.FINE
    console.table(
        ("USER", "TEAM", "FLOW", "NODE", "WAITS ON", "ENDS IN", "CLAIMED FOR", "KEY"),
        [tuple(_row(wait, details).values()) for wait, details in found],
        optional=(1, 6),
    )
    console.remark(f"{len(found):,} waits")
    return Exit.FINE


async def _collect(
    store: SessionStore, inspector: Inspector, chosen: Selection, progress: Progress
) -> list[tuple[Wait, Details]]:
    found: list[tuple[Wait, Details]] = []
    batch: list[Wait] = []

    async def look() -> None:
        known = await inspector.details([wait.key for wait in batch])
        found.extend(
            (wait, details) for wait, details in zip(batch, known, strict=True) if details is not None and details.waits
        )
        progress.advance(len(batch))
        batch.clear()

    ctx = TenantCtx.new(chosen.env, chosen.tenant, team=chosen.team, user=chosen.user)
    async for wait in store.iter_sessions(ctx):
        batch.append(wait)
        if len(batch) == _STEP:
            await look()
    await look()
    return found


def _order(row: tuple[Wait, Details]) -> tuple[Any, ...]:
    wait, details = row
    ctx = wait.data.tenant_ctx
    left = float("inf") if details.ttl_ms is None else details.ttl_ms
    return (ctx.effective_user or "", ctx.effective_team or "", left, wait.key)


def _row(wait: Wait, details: Details) -> Mapping[str, str]:
    ctx = wait.data.tenant_ctx
    return {
        "user": ctx.effective_user or "",
        "team": ctx.effective_team or "",
        "flow": wait.data.flow_id,
        "node": wait.data.cursor.node_pointer,
        "scope": scope_text(details),
        "ends": duration(details.ttl_ms),
        "claim": claim_text(details),
        "key": wait.key,
    }


WAITS: Final = Command("waits", "list what a tenant's flows wait for", add_tenant, _run, writes_tables=True)
"""See its help."""
