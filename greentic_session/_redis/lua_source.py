"""The text of a Lua script: its file, what it includes, and expressions in place of their names.

A line ``-- @include keys`` stands for the file ``keys.lua``, once in a script; where the line is
indented, the file is there for the block around it, and may be included again. In a file with the
line ``-- @inline`` every function is one line, ``local function name(a, b) return expression end``,
and costs nothing: the expression is written in place of each call. (Lua makes each function anew
whenever a script runs, called or not, which takes as long as a command of Redis.) So it is with
constants in such a file, ``local NAME, OTHER = 'text', 2``, of which a script may use 200 at most
otherwise, functions included.

Comments and indentation are for who reads the files: Redis gets none, so a script that it does not
know is a third shorter, and compiled sooner.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

__all__ = ["script_text"]

_SHARED = "greentic_session._redis.lua"
"""The package of what scripts of several packages include."""
_INCLUDE = re.compile(r"^( *)-- @include (\w+)\n", re.MULTILINE)
_INLINE = "-- @inline\n"
_FUNCTION = re.compile(r"^local function (\w+)\(([\w, ]*)\) return (.+?) end(?: --.*)?\n", re.MULTILINE)
_CONSTANTS = re.compile(
    r"^local ([A-Z][A-Z_]*(?:, [A-Z][A-Z_]*)*) = ((?:'[^'\\\n]*'|\d+)(?:, (?:'[^'\\\n]*'|\d+))*)(?: --.*)?\n", re.MULTILINE
)
_LINE_END = re.compile(r"\s*\n\s*")
_TOKEN = re.compile(r"--[^\n]*|'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\"|\w+|\s+|.", re.DOTALL)
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")


class _Expression(NamedTuple):
    """An expression with a name: its parameters (None: it is a constant), and its tokens."""

    parameters: tuple[str, ...] | None
    tokens: list[str]


def script_text(package: str, name: str) -> str:
    """Return the text of a script, ready for Redis.

    Raises:
        ValueError: Two files of the package have one name, or the name of an expression is used
            without a call or with another number of arguments.
    """
    expressions: dict[str, _Expression] = {}
    tokens = _TOKEN.findall(_assemble(package, name, set(), expressions))
    code = [token for token in tokens if not token.startswith("--")]
    return _LINE_END.sub("\n", "".join(_expand(code, expressions))).lstrip()


@cache
def _files(package: str) -> Mapping[str, Traversable]:
    """Return the Lua files of a package and of the folders in it, by name without ``.lua``."""
    found: dict[str, Traversable] = {}
    entries = list(files(package).iterdir())
    entries += [inner for entry in entries if entry.is_dir() for inner in entry.iterdir()]
    for file in entries:
        if file.name.endswith(".lua"):
            name = file.name.removesuffix(".lua")
            if name in found:
                raise ValueError(f"two scripts of {package} have the name {name}")
            found[name] = file
    return found


@cache
def _read(package: str, name: str) -> str:
    found = _files(package)
    return (found if name in found else _files(_SHARED))[name].read_text(encoding="utf-8")


def _assemble(package: str, name: str, included: set[str], expressions: dict[str, _Expression]) -> str:
    """Return a file's text, with that of every file in place of the first line that includes it."""

    def included_text(found: re.Match[str]) -> str:
        indent, name = found.groups()
        if name in included:
            return ""
        within = {*included} if indent else included
        within.add(name)
        return _assemble(package, name, within, expressions)

    def take_out(found: re.Match[str]) -> str:
        parameters = tuple(re.findall(r"\w+", found[2]))
        expressions[found[1]] = _Expression(parameters, _TOKEN.findall(found[3]))
        return ""

    def take_constants_out(found: re.Match[str]) -> str:
        for constant, value in zip(found[1].split(", "), found[2].split(", "), strict=True):
            expressions[constant] = _Expression(None, ["(", value, ")"])  # so that it can be indexed
        return ""

    text = _read(package, name)
    if _INLINE in text:
        text = _CONSTANTS.sub(take_constants_out, _FUNCTION.sub(take_out, text))
    return _INCLUDE.sub(included_text, text)


def _expand(tokens: list[str], expressions: Mapping[str, _Expression]) -> Iterator[str]:
    """Yield tokens with the expression in place of each call of its name."""
    at = 0
    while at < len(tokens):
        name, at = tokens[at], at + 1
        expression = expressions.get(name)
        if expression is None:
            yield name
            continue
        if expression.parameters is None:
            yield from expression.tokens
            continue
        arguments, at = _arguments(name, tokens, at)
        if len(arguments) != len(expression.parameters):
            raise ValueError(f"{name} takes {len(expression.parameters)} arguments")
        values = {
            parameter: "".join(_expand(argument, expressions)).strip()
            for parameter, argument in zip(expression.parameters, arguments, strict=True)
        }
        body = [_operand(values[token]) if token in values else token for token in expression.tokens]
        yield f"({''.join(_expand(body, expressions))})"


def _operand(value: str) -> str:
    """Return an argument as it can stand in any expression."""
    return value if value.isidentifier() else f"({value})"


def _arguments(name: str, tokens: list[str], at: int) -> tuple[list[list[str]], int]:
    """Return the arguments of a call that begins at a token, and the place behind it."""
    if at == len(tokens) or tokens[at] != "(":
        raise ValueError(f"{name} is an expression: it can only be called")
    arguments, depth = [list[str]()], 0
    for place in range(at, len(tokens)):
        part = tokens[place]
        depth += (part in _OPENING) - (part in _CLOSING)
        if depth == 0:
            return ([] if arguments == [[]] else arguments), place + 1
        if part == "," and depth == 1:
            arguments.append([])
        elif place > at:
            arguments[-1].append(part)
    raise ValueError(f"a call of {name} does not end")
