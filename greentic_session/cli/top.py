"""``top``: a fleet at work, live."""

import argparse
import sys
from typing import Final

from greentic_session._redis.namespace import DEFAULT_NAMESPACE
from greentic_session._redis.scheme import scheme_of
from greentic_session.errors import InvalidInputError, UnavailableError

from .arguments import seconds_from
from .command import Command, Exit
from .console import Console
from .drawing import pretty
from .live.watcher import Watcher
from .opening import opened

__all__ = ["TOP"]

_EVERY_S: Final = 1.0


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--every",
        metavar="SECONDS",
        type=seconds_from(0.1, 60),
        default=_EVERY_S,
        help=f"how long a picture stands, from 0.1 to 60 (default: {_EVERY_S:g})",
    )
    parser.add_argument("--once", action="store_true", help="write one picture, and end")


def _run(args: argparse.Namespace, _: Console) -> int:
    if pretty() is None:
        raise UnavailableError("the live view needs an extra: python -m pip install 'greentic-session[cli]'")
    from .live.screen import show, show_once  # noqa: PLC0415  # it needs the extra

    if not args.once and not sys.stdout.isatty():
        raise InvalidInputError("there is no terminal to draw on: say --once, or use stats")
    with opened(args) as desk:
        watcher = Watcher(desk.backend, desk.inspector, _named(args), every=args.every)
        desk.run(show_once(watcher) if args.once else show(watcher, args.every))
    return Exit.FINE


def _named(args: argparse.Namespace) -> str:
    """Return which store it is, without what its URL may hold of passwords."""
    scheme = str(scheme_of(args.store))
    if not scheme.startswith("redis"):
        return scheme
    return f"{scheme}, namespace {DEFAULT_NAMESPACE if args.namespace is None else args.namespace}"


TOP: Final = Command(
    "top", "show a fleet at work, live: what waits, is ready, claimed, overdue; q quits", _configure, _run, writes_json=False
)
"""See its help."""
