"""Parser of the command line."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Any, Final, NoReturn

from greentic_session import __version__
from greentic_session.admin import Selection
from greentic_session.errors import InvalidInputError
from greentic_session.ids import check_id, check_session_key

from .command import EXIT_CODES, Command

__all__ = [
    "ENVIRONMENT",
    "add_flow",
    "add_key",
    "add_partition",
    "add_reveal",
    "add_tenant",
    "parser_of",
    "read",
    "seconds_from",
    "selection_of",
]

ENVIRONMENT: Final = "GREENTIC_SESSION_URL"
"""The environment variable that names the store where ``--store`` does not."""

_DEMO_ONLY: Final = ("updates", "ttl")
_QUOTED: Final = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")
"""What argparse quotes."""
_OPTION: Final = re.compile("--[a-z]+(?:-[a-z]+)*")


def seconds_from(least: float, most: float) -> Callable[[str], float]:
    """Return the type of an option in seconds, which refuses what is out of range."""

    def seconds(text: str) -> float:
        value = float(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"must be from {least:g} to {most:g} seconds")
        return value

    return seconds


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors quote nothing that was typed.

    It may be a password, or a URL that holds one.

    Attributes:
        safe: What may be quoted all the same: the names of commands.
    """

    safe: frozenset[str] = frozenset()

    def error(self, message: str) -> NoReturn:
        super().error(_QUOTED.sub(self._hidden, message))

    def refuse(self, unknown: Sequence[str]) -> NoReturn:
        """Exit with 2: nobody knows these arguments. Of them only names of options are told."""
        options = [word.partition("=")[0] for word in unknown]
        told = [word if _OPTION.fullmatch(word) else "<hidden>" for word in options]
        self.error(f"unrecognized arguments: {' '.join(told)}")

    def _hidden(self, quoted: re.Match[str]) -> str:
        text = quoted[0][1:-1]
        return quoted[0] if len(text) == 1 or text in self.safe else "<hidden>"


def read(commands: Sequence[Command], argv: Sequence[str] | None) -> tuple[Command, argparse.Namespace]:
    """Return the command that was named, or the first, and its arguments.

    Of them `store` is the URL or None, `namespace` a text or None, `commands` all commands; others
    are the command's own.

    Raises:
        SystemExit: With 2 if an argument is wrong, with 0 after ``--help`` and ``--version``.
    """
    first, *_ = commands
    parser = parser_of(commands, _prog())
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        parser.refuse(unknown)
    named = next((command for command in commands if command.name == args.command), first)
    for name in _DEMO_ONLY:
        if named is not first and hasattr(args, name):
            parser.error(f"argument --{name}: only {first.name} has it")
    inherited = os.environ.get(ENVIRONMENT) if named.reads_environment else None
    args.store = getattr(args, "store", inherited or None)
    args.namespace = getattr(args, "namespace", None)
    args.commands = commands
    return named, args


def parser_of(commands: Sequence[Command], prog: str) -> _Parser:
    """Return the parser of all commands, for a program of that name."""
    first, *_ = commands
    parser = _Parser(
        prog=prog,
        description="Look after a store of sessions, as its operator.",
        epilog=_epilog(first),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.safe = frozenset(command.name for command in commands)
    parser.add_argument("--version", action="version", version=f"greentic-session {__version__}")
    _add_common(parser)
    own = parser.add_argument_group(f"of {first.name}, which runs when no command is named")
    first.configure(own)  # type: ignore[arg-type]  # a group takes arguments as a parser does
    chosen = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", parser_class=_Parser)
    for command in commands:
        its = chosen.add_parser(
            command.name, help=command.help, description=_sentence(command.help), allow_abbrev=False, epilog=_SEE
        )
        _add_common(its)
        if command.asks:
            its.add_argument("--yes", action="store_true", help="do not ask")
        if command.writes_json:
            its.add_argument("--json", action="store_true", help="write JSON, for programs")
        if command.writes_tables:
            its.add_argument("--wide", action="store_true", help="cut no cell, however narrow the terminal is")
        command.configure(its)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    # No defaults: those of a command would hide what stands before it.
    parser.add_argument(
        "--store",
        metavar="URL",
        default=argparse.SUPPRESS,
        help=f"where the sessions are (else what {ENVIRONMENT} says, but for demo); set that where the URL has a password",
    )
    parser.add_argument(
        "--namespace", metavar="NAME", default=argparse.SUPPRESS, help="the front of every key (else: the store's default)"
    )


def add_tenant(parser: argparse.ArgumentParser) -> None:
    """Let a command be about one tenant; `selection_of` returns which."""
    add_partition(parser, required=True)
    parser.add_argument("--user", type=_checked("UserId"), help="one user only, in every team unless --team names one")


def add_partition(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Add the options that limit a command to one tenant, or one team of it."""
    parser.add_argument("--env", required=required, type=_checked("EnvId"), help="the environment")
    parser.add_argument("--tenant", required=required, type=_checked("TenantId"), help="the tenant")
    parser.add_argument("--team", type=_checked("TeamId"), help="one team of it only")


def selection_of(args: argparse.Namespace) -> Selection:
    """Return whose sessions a command is about."""
    return Selection(env=args.env, tenant=args.tenant, team=args.team, user=args.user)


def add_flow(parser: argparse.ArgumentParser) -> None:
    """Add the option that limits a command to one flow."""
    parser.add_argument("--flow", type=_checked("FlowId"), help="one flow only")


def add_key(parser: argparse.ArgumentParser) -> None:
    """Let a command be about one session."""
    parser.add_argument("key", metavar="KEY", type=_refusing(check_session_key), help="the session key")


def add_reveal(parser: argparse.ArgumentParser, help: str) -> None:
    """Let a command show what it hides."""
    parser.add_argument("--reveal", action="store_true", help=help)


def _checked(kind: str) -> Callable[[str], str]:
    return _refusing(lambda text: check_id(kind, text))


def _refusing(check: Callable[[str], Any]) -> Callable[[str], Any]:
    def read_one(text: str) -> Any:
        try:
            return check(text)
        except InvalidInputError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read_one


def _prog() -> str:
    return "python -m greentic_session" if PurePath(sys.argv[0]).name == "__main__.py" else "greentic-session"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def _epilog(first: Command) -> str:
    codes = "\n".join(f"  {code:3}  {meaning}" for code, meaning in EXIT_CODES)
    return f"Without a command: {first.name}. `COMMAND --help` tells more.\n\nexit codes:\n{codes}"


_SEE: Final = f"exit codes: {'; '.join(f'{int(code)} {meaning}' for code, meaning in EXIT_CODES)}"
