"""``purge``: all that a tenant, a team or a user has in the store."""

import argparse
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

import msgspec

from greentic_session import tenancy
from greentic_session.admin import Selection, Step, Tally
from greentic_session.models import TenantCtx

from .arguments import add_tenant, selection_of
from .command import Command, Exit
from .console import Console
from .nothing import tell_of_nothing
from .opening import Opened, open_conversations, opened
from .progress import Progress

__all__ = ["PURGE"]


class _Removed(msgspec.Struct):
    """What was removed so far. `conversations` is None where they stay."""

    sessions: int
    conversations: int | None
    complete: bool = False


def _run(args: argparse.Namespace, console: Console) -> int:
    chosen = selection_of(args)
    tenancy.check_ctx(_ctx(chosen))
    console.check_can_ask(yes=args.yes)
    removed = _Removed(0, None if chosen.user else 0)
    with opened(args) as desk:
        there = _count(desk, chosen)
        if not (there.sessions or there.conversations):
            tell_of_nothing(desk, args, console, chosen)
        asked = _counted(there.sessions, None if chosen.user else there.conversations)
        if not args.yes and not console.ask(f"Remove {asked} of {_named(chosen)}?"):
            return Exit.INTERRUPTED
        try:
            with Progress("removed", there.sessions + there.conversations) as progress:
                desk.run(_purge(desk, args, chosen, removed, progress))
        except BaseException:
            console.remark(f"not finished: removed {_said(removed)} so far; run it again for the rest")
            if console.as_json:
                console.json(removed)
            raise
    removed.complete = True
    if console.as_json:
        console.json(removed)
    else:
        console.write(f"removed {_said(removed)} of {_named(chosen)}")
    return Exit.FINE


def _count(desk: Opened, chosen: Selection) -> Tally:
    total = Tally()
    with Progress("looked at") as progress:
        for tally in desk.run(desk.inspector.survey(progress.advance, chosen)).values():
            total.add(tally)
    return total


async def _purge(desk: Opened, args: argparse.Namespace, chosen: Selection, removed: _Removed, progress: Progress) -> None:
    async for count in _counts(desk.backend.purging(_ctx(chosen), chosen.user), progress):
        removed.sessions += count
    if removed.conversations is None:
        return
    async with open_conversations(args) as conversations:
        async for count in _counts(conversations.backend.purging(chosen.env, chosen.tenant, chosen.team), progress):
            removed.conversations += count


async def _counts(steps: AsyncGenerator[Step, None], progress: Progress) -> AsyncGenerator[int, None]:
    async with aclosing(steps):
        async for step in steps:
            progress.advance(step.removed)
            yield step.removed


def _ctx(chosen: Selection) -> TenantCtx:
    return TenantCtx.new(chosen.env, chosen.tenant, team=chosen.team)


def _counted(sessions: int, conversations: int | None) -> str:
    more = "" if conversations is None else f" and {conversations:,} conversations"
    return f"{sessions:,} sessions with their waits{more}"


def _said(removed: _Removed) -> str:
    return _counted(removed.sessions, removed.conversations)


def _named(chosen: Selection) -> str:
    parts = [f"env {chosen.env}", f"tenant {chosen.tenant}", f"team {chosen.team}" if chosen.team else "all teams"]
    return ", ".join([*parts, *([f"user {chosen.user}"] if chosen.user else [])])


PURGE: Final = Command(
    "purge",
    "remove all sessions and waits of a tenant, and without --user its conversations; it may be interrupted and repeated",
    add_tenant,
    _run,
    asks=True,
)
"""See its help."""
