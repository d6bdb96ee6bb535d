"""``demo``: a burst, a reminder and a worker that dies; or recorded Telegram updates are played."""

import argparse
from typing import Final

import anyio

from greentic_session.demo.playback import DEFAULT_TTL, play
from greentic_session.demo.recording import RecordingError, lines, open_recording
from greentic_session.demo.takeover import tell

from .arguments import seconds_from
from .command import Command, Exit
from .console import Console
from .opening import open_conversations, open_sessions

__all__ = ["DEMO"]

_TRANSCRIPT_TTL: Final = 3600.0  # seconds, and as long as a question waits: it must not be gone when the answer comes


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--updates",
        metavar="FILE",
        default=argparse.SUPPRESS,
        nargs="?",
        const=None,
        help="play updates, one JSON object a line; - reads the standard input (default: the recording that comes with it)",
    )
    parser.add_argument(
        "--ttl",
        metavar="SECONDS",
        type=seconds_from(0.001, 3600),
        default=argparse.SUPPRESS,
        help=f"how long a question waits for its answer (default: {DEFAULT_TTL}); a slow store needs more",
    )


def _run(args: argparse.Namespace, console: Console) -> int:
    if args.store is None and not hasattr(args, "updates") and not hasattr(args, "ttl"):
        tell()
        return Exit.FINE
    ttl = getattr(args, "ttl", DEFAULT_TTL)
    try:
        store = open_sessions(args)
        conversations = open_conversations(args, ttl=ttl + _TRANSCRIPT_TTL, sliding=True)
        with open_recording(getattr(args, "updates", None)) as file:
            anyio.run(play, store, conversations, lines(file), ttl)
    except RecordingError as error:
        return console.fail(error, Exit.USAGE)
    return Exit.FINE


DEMO: Final = Command(
    "demo",
    "show a burst of messages, a reminder, and a worker that is killed, on a temporary SQLite file; with --updates, --ttl "
    "or --store play recorded Telegram updates instead, in memory unless --store names a store",
    _configure,
    _run,
    writes_json=False,
    reads_environment=False,  # whoever tries it leaves nothing in the store that other commands look after
)
"""What runs when no command is named."""
