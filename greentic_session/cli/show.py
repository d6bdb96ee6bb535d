"""``show`` and ``remove``: one session, by its key."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any, Final

from greentic_session import tenancy
from greentic_session.admin import Details
from greentic_session.errors import CorruptSessionError
from greentic_session.reply import Reply
from greentic_session.wait import Wait

from .arguments import add_key, add_reveal
from .command import Command, Exit
from .console import Console
from .opening import Opened, opened
from .rows import as_json, claim_text, deadline_text, scope_text, whose
from .words import duration, size

__all__ = ["REMOVE", "SHOW"]


def _configure_show(parser: argparse.ArgumentParser) -> None:
    add_key(parser)
    add_reveal(parser, "show the snapshot and the bodies of replies, too")


def _show(args: argparse.Namespace, console: Console) -> int:
    with opened(args) as desk:
        wait, details, inbox = desk.run(_look(desk, args.key))
    snapshot = wait.data.context_json
    length = len(snapshot.encode("utf-8", "surrogatepass"))
    told = snapshot if args.reveal else f"<hidden, {length} bytes>"
    if console.as_json:
        more = {"version": wait.version, "context_json": told, "context_json_size": length}
        replies = [_reply_json(reply, reveal=args.reveal) for reply in inbox]
        console.json(as_json(wait, details) | more | {"inbox": replies})
        return Exit.FINE
    console.pairs([(name, value) for name, value in _lines(wait, details, told).items() if value])
    for number, reply in enumerate(inbox, 1):
        console.write("")
        console.pairs(_reply_lines(number, reply, reveal=args.reveal))
    return Exit.FINE


def _lines(wait: Wait, details: Details, snapshot: str) -> Mapping[str, str | None]:
    cursor = wait.data.cursor
    return {
        **whose(wait),
        "flow": wait.data.flow_id,
        "pack": wait.data.pack_id,
        "node": cursor.node_pointer,
        "wait reason": cursor.wait_reason,
        "waits on": scope_text(details) or "nothing",
        "waits for": None if details.age_ms is None else duration(details.age_ms),
        "deadline": f"{deadline_text(details)}, then it is resumed" if details.resumes else None,
        "ends in": duration(details.ttl_ms),
        "ready for": None if details.ready_ms is None else duration(details.ready_ms),
        "put off for": duration(details.put_off_ms) if details.put_off_ms else None,
        "claimed for": claim_text(details),
        "attempts": f"{details.attempts:,}" if details.attempts else None,
        "replies": f"{details.replies:,}" if details.replies else None,
        "size": size(details.size),
        "version": wait.version,
        "context_json": snapshot,
    }


def _reply_lines(number: int, reply: Reply, *, reveal: bool) -> list[tuple[str, str]]:
    lines = {
        "reply": f"{number:,}, {reply.id}",
        "accepted": f"{reply.accepted_at:%Y-%m-%d %H:%M:%S} UTC",
        "delivery id": reply.delivery_id,
        "sender": reply.sender,
        "body": reply.text if reveal else f"<hidden, {_size_of(reply)} bytes>",
    }
    return [(name.ljust(len("context_json")), value) for name, value in lines.items() if value is not None]


def _reply_json(reply: Reply, *, reveal: bool) -> dict[str, Any]:
    return {
        "id": reply.id,
        "accepted_at": reply.accepted_at,
        "scope": reply.scope,
        "delivery_id": reply.delivery_id,
        "sender": reply.sender,
        "size": _size_of(reply),
        "body": reply.text if reveal else None,
    }


def _size_of(reply: Reply) -> int:
    return len(reply.text.encode("utf-8", "surrogatepass"))


async def _look(desk: Opened, key: str) -> tuple[Wait, Details, Sequence[Reply]]:
    wait = await desk.store.get_versioned(key)
    (details,) = await desk.inspector.details([key])
    if wait is None or details is None:
        raise tenancy.absent(key)
    owner = tenancy.owner_of(wait.data)
    if not details.replies or details.scope is None or owner is None:
        return wait, details, ()
    return wait, details, await desk.backend.inbox(owner, details.scope)


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


SHOW: Final = Command(
    "show", "show one session and its inbox; snapshot and bodies are hidden unless --reveal is given", _configure_show, _show
)
"""See its help."""
REMOVE: Final = Command("remove", "remove one session, with its wait and all that leads to it", add_key, _remove, asks=True)
"""See its help."""
