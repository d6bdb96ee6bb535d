"""``retry`` and ``drop``: what an operator does about a wait that is stuck."""

import argparse
from typing import Final

from greentic_session import tenancy
from greentic_session.admin import Details

from .arguments import add_key
from .command import Command, Exit
from .console import Console
from .opening import Opened, opened

__all__ = ["DROP", "RETRY"]


def _retry(args: argparse.Namespace, console: Console) -> int:
    with opened(args) as desk:
        was_put_off = desk.run(desk.backend.retry(args.key))
    if console.as_json:
        console.json({"retried": was_put_off})
    else:
        console.write("it is not put off any more" if was_put_off else "it was not put off")
    return Exit.FINE


def _drop(args: argparse.Namespace, console: Console) -> int:
    console.check_can_ask(yes=args.yes)
    with opened(args) as desk:
        details = desk.run(_details(desk, args.key))
        if not args.yes and details.replies and not console.ask(f"Remove the oldest of {details.replies:,} replies?"):
            return Exit.INTERRUPTED
        dropped = desk.run(desk.backend.drop(args.key)) if details.replies else None
    if console.as_json:
        console.json({"dropped": None if dropped is None else dropped.id})
    elif dropped is None:
        console.write("no reply lies there")
    else:
        console.write(f"removed reply {dropped.id}; the same delivery will not come again")
    return Exit.FINE


async def _details(desk: Opened, key: str) -> Details:
    (details,) = await desk.inspector.details([key])
    if details is None:
        raise tenancy.absent(key)
    return details


RETRY: Final = Command("retry", "make a wait ready that is put off, after attempts that failed", add_key, _retry)
"""See its help."""
DROP: Final = Command(
    "drop", "remove the oldest reply of a wait, for one that cannot be worked on", add_key, _drop, asks=True
)
"""See its help."""
