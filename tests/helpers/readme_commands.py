"""Shell commands in the READMEs: those between backquotes, and those of shell blocks."""

import re
import shlex
from collections.abc import Iterator
from typing import NamedTuple

from readme_blocks import READMES

__all__ = ["COMMANDS", "Command", "commands_in"]

_CODE = re.compile(r"^(```+)sh\n(.*?)^\1 *$|`([^`\n]+)`", re.DOTALL | re.MULTILINE)
_PYTHON = re.compile(r"(?:\S*/)?python3?")


class Command(NamedTuple):
    """A program that a README tells its reader to run.

    Attributes:
        module: Module that is run, as ``python -m`` takes it.
        arguments: Arguments of the module.
    """

    module: str
    arguments: tuple[str, ...]


def commands_in(text: str) -> Iterator[Command]:
    """Yield the commands of Python modules in shell text, and of `greentic-session`."""
    for line in re.split(r"&&|\n|;", text):
        words = shlex.split(line, comments=True)
        while words and re.match(r"[A-Z_]+=", words[0]):  # a variable that is set for this command
            words.pop(0)
        match words:
            case [python, "-m", module, *arguments] if _PYTHON.fullmatch(python):
                yield Command(module, tuple(arguments))
            case ["greentic-session", *arguments]:
                yield Command("greentic_session", tuple(arguments))


COMMANDS = sorted(
    {
        (path, command)
        for path, text in READMES.items()
        for code in _CODE.finditer(text)
        for command in commands_in(
            code[2] or (code[3] if " -m " in code[3] or code[3].startswith("greentic-session ") else "")
        )
    }
)
"""The commands of all READMEs, with the paths of those in the repository."""
