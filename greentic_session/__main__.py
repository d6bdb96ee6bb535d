"""The command line: ``python -m greentic_session`` plays the demo."""

import argparse
import io
import os
import sys
from collections.abc import Sequence

import anyio

from greentic_session import GreenticError, InvalidInputError, create_session_store
from greentic_session.conversation import create_conversation_store
from greentic_session.demo.playback import DEFAULT_TTL, play
from greentic_session.demo.recording import RecordingError, lines, open_recording

__all__ = ["main"]

_TRANSCRIPT_TTL = 3600.0  # seconds, and as long as a question waits: it must not be gone when the answer comes


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: The arguments; by default the process's.

    Returns:
        The exit code: 0, also if lines were skipped; 1 if the store failed; 2 if an argument is wrong.
    """
    args = _parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that cannot show a letter is no reason to fail
    try:
        store = create_session_store(args.store)
        conversations = create_conversation_store(args.store, ttl=args.ttl + _TRANSCRIPT_TTL, sliding=True)
        with open_recording(args.updates) as file:
            anyio.run(play, store, conversations, lines(file), args.ttl)
    except (InvalidInputError, RecordingError) as error:
        return _fail(error, 2)
    except GreenticError as error:
        return _fail(error, 1)
    except BrokenPipeError:
        # Whoever reads us (`| head`) has seen enough. Python flushes once more when it exits: into the void.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m greentic_session",
        description="Feed recorded Telegram updates through a flow that parks between its steps.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--store", metavar="URL", default="memory://", help="where sessions and conversations are kept (default: memory://)"
    )
    parser.add_argument("--updates", metavar="FILE", help="updates, one JSON object a line; - reads the standard input")
    parser.add_argument(
        "--ttl",
        metavar="SECONDS",
        type=_seconds,
        default=DEFAULT_TTL,
        help="how long a question waits for its answer (default: %(default)s); a slow store needs more",
    )
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.001 <= value <= 3600:
        raise argparse.ArgumentTypeError("must be from 0.001 to 3600 seconds")
    return value


def _fail(error: Exception, code: int) -> int:
    sys.stderr.write(f"error: {error}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
