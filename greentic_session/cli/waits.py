"""``waits``: what a tenant's flows wait for."""

import argparse
from collections.abc import Callable
from typing import Any, Final

from greentic_session.admin import Details, Inspector, Selection
from greentic_session.models import TenantCtx
from greentic_session.store import SessionStore
from greentic_session.wait import Wait

from .arguments import add_flow, add_tenant, selection_of
from .command import Command, Exit
from .console import Console
from .nothing import tell_of_nothing
from .opening import opened
from .progress import Progress
from .rows import as_json, deadline_text, holder_text, scope_text, state_text
from .words import brief

__all__ = ["WAITS"]

_STEP: Final = 500
"""How many sessions are looked up at once."""


def _run(args: argparse.Namespace, console: Console) -> int:
    chosen, wanted = selection_of(args), _wanted(args)
    with opened(args) as desk, Progress("sessions") as progress:
        found = desk.run(_collect(desk.store, desk.inspector, chosen, progress))
        if not found:
            tell_of_nothing(desk, args, console, chosen)
    found = sorted(filter(wanted, found), key=_order)
    if console.as_json:
        console.json({"waits": [as_json(wait, details) for wait, details in found]})
        return Exit.FINE
    console.table(
        ("USER", "TEAM", "FLOW", "NODE", "WAITS ON", "AGE", "DEADLINE", "STATE", "BY PROCESS", "INBOX", "TRY", "KEY"),
        [_row(wait, details) for wait, details in found],
        right=(5, 6, 9, 10),
        whole=(7,),
        optional=(1, 5, 7, 8, 9, 10),
        spare=(3, 1, 8),
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


def _wanted(args: argparse.Namespace) -> Callable[[tuple[Wait, Details]], bool]:
    def is_wanted(row: tuple[Wait, Details]) -> bool:
        wait, details = row
        return (
            (not args.ready or details.ready_ms is not None)
            and (not args.overdue or details.is_overdue)
            and args.flow in (None, wait.data.flow_id)
        )

    return is_wanted


def _order(row: tuple[Wait, Details]) -> tuple[Any, ...]:
    wait, details = row
    ctx = wait.data.tenant_ctx
    left = float("inf") if details.deadline_ms is None else details.deadline_ms
    return (ctx.effective_user or "", ctx.effective_team or "", left, wait.key)


def _row(wait: Wait, details: Details) -> tuple[str, ...]:
    ctx = wait.data.tenant_ctx
    return (
        ctx.effective_user or "",
        ctx.effective_team or "",
        wait.data.flow_id,
        wait.data.cursor.node_pointer,
        scope_text(details),
        "" if details.age_ms is None else brief(details.age_ms),
        deadline_text(details, brief),
        state_text(details),
        holder_text(details),
        f"{details.replies:,}" if details.replies else "",
        f"{details.attempts:,}" if details.attempts else "",
        wait.key,
    )


def _configure(parser: argparse.ArgumentParser) -> None:
    add_tenant(parser)
    parser.add_argument("--ready", action="store_true", help="only what a runner may take now")
    parser.add_argument("--overdue", action="store_true", help="only what nobody has heard though its deadline has passed")
    add_flow(parser)


WAITS: Final = Command("waits", "list what a tenant's flows wait for", _configure, _run, writes_tables=True)
"""See its help."""
