"""``migrate``: a namespace, or a SQLite file, is copied to another store."""

import argparse
import asyncio
from typing import Final

from greentic_session._redis.namespace import DEFAULT_NAMESPACE
from greentic_session.backends.migration import Report, migrate

from .command import Command, Exit
from .console import Console
from .progress import Progress

__all__ = ["MIGRATE"]


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="FROM", help="the URL of the Redis or SQLite file to copy from; it is read only")
    parser.add_argument("target", metavar="TO", help="the URL of the Redis or SQLite file to copy to")
    parser.add_argument("--to-namespace", metavar="NAME", help="the front of every key in TO (else: that of --namespace)")


def _run(args: argparse.Namespace, console: Console) -> int:
    began = False
    with Progress("looked at") as progress:

        def reach(done: int, total: int) -> None:
            nonlocal began
            began = True
            progress.reach(done, total)

        try:
            report = asyncio.run(
                migrate(
                    args.source,
                    args.target,
                    namespace=DEFAULT_NAMESPACE if args.namespace is None else args.namespace,
                    to_namespace=args.to_namespace,
                    on_progress=reach,
                )
            )
        except BaseException:
            if began:
                console.remark("not finished: what was copied is; run it again for the rest")
            raise
    if console.as_json:
        console.json(report)
    else:
        console.pairs(_rows(report))
    return Exit.FINE


def _rows(report: Report) -> list[tuple[str, str]]:
    sessions = (report.copied, report.unchanged, report.kept, report.removed, report.corrupt)
    conversations = (
        report.conversations,
        report.conversations_unchanged,
        report.conversations_kept,
        None,
        report.conversations_corrupt,
    )
    words = ("copied", "there already", "left alone", "removed", "unreadable")
    return [
        (what, ", ".join(f"{count:,} {word}" for count, word in zip(counts, words, strict=True) if count is not None))
        for what, counts in (("sessions", sessions), ("conversations", conversations))
    ] + ([("replies", f"{report.replies:,} copied")] if report.replies else [])


MIGRATE: Final = Command(
    "migrate",
    "copy all sessions and conversations to another store while both are in use; it may be interrupted and repeated",
    _configure,
    _run,
)
"""See its help."""
