"""Entry point of the command line: from arguments to an exit code."""

import io
import os
import sys
from collections.abc import Sequence

from greentic_session.errors import GreenticError, InvalidInputError, NotFoundError

from .arguments import read
from .command import Exit
from .commands import COMMANDS
from .console import Console, NobodyThereError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: The arguments; by default the process's.

    Returns:
        The exit code, see `command.EXIT_CODES`.

    Raises:
        SystemExit: With 2, if an argument is wrong.
    """
    command, args = read(COMMANDS, argv)
    console = Console(as_json=getattr(args, "json", False), wide=getattr(args, "wide", False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show a letter is no reason to fail
    try:
        code = command.run(args, console)
        sys.stdout.flush()
    except (InvalidInputError, NobodyThereError) as error:
        return console.fail(error, Exit.USAGE)
    except NotFoundError as error:
        return console.fail(error, Exit.ABSENT)
    except GreenticError as error:
        return console.fail(error, Exit.FAILED)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Whoever reads us (`| head`) has seen enough. Python flushes once more when it exits: into
        # the void.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED
    return code
