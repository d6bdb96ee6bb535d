"""``export-conversations`` and ``import-conversations``: readable files of JSON Lines."""

import argparse
import asyncio
from collections.abc import Sequence
from typing import Final

from greentic_session.conversation import (
    ExportReport,
    ImportReport,
    Skipped,
    export_conversations,
    import_conversations,
)
from greentic_session.errors import InvalidInputError
from greentic_session.models import TenantCtx

from .arguments import add_partition
from .command import Command, Exit
from .console import Console
from .opening import MEMORY, check_named, open_conversations
from .progress import Progress

__all__ = ["EXPORT", "IMPORT"]


def _configure_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIRECTORY", help="where the files are written; it is made if missing")
    add_partition(parser, required=False)


def _export(args: argparse.Namespace, console: Console) -> int:
    check_named(args)
    ctx = _chosen(args)

    async def run(progress: Progress) -> ExportReport:
        async with open_conversations(args) as conversations:
            return await export_conversations(conversations, args.directory, ctx=ctx, on_progress=progress.advance)

    with Progress("looked at") as progress:
        report = asyncio.run(run(progress))
    rows = [("exported", report.exported), ("unreadable messages", report.unreadable_messages)]
    return _tell(console, report, rows, report.skipped)


def _chosen(args: argparse.Namespace) -> TenantCtx | None:
    """Return whose conversations are meant; None for all."""
    if args.env is None and args.tenant is None and args.team is None:
        return None
    if args.env is None or args.tenant is None:
        raise InvalidInputError("a tenant is told by --env and --tenant, a team by --team besides")
    return TenantCtx.new(args.env, args.tenant, team=args.team)


def _configure_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIRECTORY", help="what was exported, or what 0.1.0 kept at file:///DIRECTORY")


def _import(args: argparse.Namespace, console: Console) -> int:
    check_named(args)
    if args.store == MEMORY:
        raise InvalidInputError("memory:// is this process's own memory, and would be gone: name another store")

    async def run(progress: Progress) -> ImportReport:
        async with open_conversations(args) as conversations:
            return await import_conversations(args.directory, conversations, on_progress=progress.reach)

    with Progress("read") as progress:
        report = asyncio.run(run(progress))
    rows = [
        ("imported", report.imported),
        ("there already", report.unchanged),
        ("changed later in the store", report.kept),
        ("expired", report.expired),
        ("unreadable messages", report.unreadable_messages),
    ]
    return _tell(console, report, rows, report.skipped)


def _tell(
    console: Console, report: ExportReport | ImportReport, rows: Sequence[tuple[str, int]], skipped: Sequence[Skipped]
) -> int:
    if console.as_json:
        console.json(report)
        return Exit.FINE
    console.pairs([(name, f"{count:,}") for name, count in [*rows, ("left out", len(skipped))]])
    for one in skipped:
        console.item(f"{one.path}: {one.reason}")
    return Exit.FINE


EXPORT: Final = Command(
    "export-conversations",
    "write conversations to readable files of JSON Lines, which import-conversations reads; it may be repeated",
    _configure_export,
    _export,
)
"""See its help."""
IMPORT: Final = Command(
    "import-conversations",
    "read conversations from a directory of export-conversations or of 0.1.0; it may be interrupted and repeated",
    _configure_import,
    _import,
)
"""See its help."""
