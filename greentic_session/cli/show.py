"""``show`` and ``remove``: one session, by its key."""

import argparse
from typing import Final

from greentic_session import tenancy
from greentic_session.admin import Details
from greentic_session.errors import CorruptSessionError
from greentic_session.wait import Wait

from .arguments import add_key, add_reveal
from .command import Command, Exit
from .console import Console
from .opening import Opened, opened
from .rows import as_json, claim_text, scope_text
from .words import duration, size

__all__ = ["REMOVE", "SHOW"]


def _configure_show(parser: argparse.ArgumentParser) -> None:
    add_key(parser)
    add_reveal(parser, "show the snapshot, too")


def _show(args: argparse.Namespace, console: Console) -> int:
    with opened(args) as desk:
        wait, details = desk.run(_look(desk, args.key))
    snapshot = wait.data.context_json
    length = len(snapshot.encode("utf-8", "surrogatepass"))
    shown = snapshot if args.reveal else f"<hidden, {length} bytes>"
    if console.as_json:
        more = {"version": wait.version, "context_json": shown, "context_json_size": length}
        console.json(as_json(wait, details) | more)
        return Exit.FINE
    ctx, cursor = wait.data.tenant_ctx, wait.data.cursor
    lines = {
        "key": wait.key,
        "env": ctx.env,
        "tenant": ctx.tenant_id,
        "team": ctx.effective_team,
        "user": ctx.effective_user,
        "flow": wait.data.flow_id,
        "pack": wait.data.pack_id,
        "node": cursor.node_pointer,
        "wait reason": cursor.wait_reason,
        "waits on": scope_text(details) or "nothing",
        "ends in": duration(details.ttl_ms),
        "claimed for": claim_text(details) or None,
        "size": size(details.size),
        "version": wait.version,
        "context_json": shown,
    }
    console.pairs([(name, value) for name, value in lines.items() if value is not None])
    return Exit.FINE


async def _look(desk: Opened, key: str) -> tuple[Wait, Details]:
    wait = await desk.store.get_versioned(key)
    (details,) = await desk.inspector.details([key])
    if wait is None or details is None:
        raise tenancy.absent(key)
    return wait, details


def _remove(args: argparse.Namespace, console: Console) -> int:
    console.check_can_ask(yes=args.yes)
    with opened(args) as desk:
        if not args.yes and not console.ask(desk.run(_question(desk, args.key))):
            return Exit.INTERRUPTED
        desk.run(desk.store.remove_session(args.key))
    if console.as_json:
        console.json({"removed": 1})
    else:
        console.write("removed, with all that led to it")
    return Exit.FINE


async def _question(desk: Opened, key: str) -> str:
    try:
        wait = await desk.store.get_versioned(key)
    except CorruptSessionError:
        return "The stored text is not a session. Remove it?"
    if wait is None:
        raise tenancy.absent(key)
    ctx = wait.data.tenant_ctx
    whose = f"env {ctx.env}, tenant {ctx.tenant_id}, team {ctx.effective_team or '-'}, user {ctx.effective_user or '-'}"
    return f"Remove the session of flow {wait.data.flow_id} at {wait.data.cursor.node_pointer} ({whose})?"


SHOW: Final = Command("show", "show one session; its snapshot is hidden unless --reveal is given", _configure_show, _show)
"""See its help."""
REMOVE: Final = Command("remove", "remove one session, with its wait and all that leads to it", add_key, _remove, asks=True)
"""See its help."""
