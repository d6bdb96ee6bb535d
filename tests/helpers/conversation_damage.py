"""Damage to the files of conversations, for tests of what can still be read."""

import os
from collections.abc import Callable
from pathlib import Path

from conversation_files import log_of, make

from greentic_session.conversation.backends.file import framing
from greentic_session.conversation.jsonl import names
from greentic_session.conversation.rules import partition_of
from greentic_session.testing._conversations.samples import OPS, said

__all__ = [
    "CORRUPT",
    "DAMAGED_ENDS",
    "changed",
    "ended_with",
    "inserted",
    "log_of_the",
    "of_another",
    "prepared",
    "replaced_by_directory",
    "replaced_by_link",
    "replaced_by_pipe",
    "rewritten",
]


async def prepared(directory: Path) -> bytes:
    """Make a conversation of three messages, and return its file."""
    async with make(directory) as store:
        await store.create(OPS, id="c", metadata={"a": "b"})
        await store.append(OPS, "c", *said("one", "two"))
        await store.update_state(OPS, "c", cwd="/srv")
        await store.append(OPS, "c", *said("three"))
    return log_of(directory).read_bytes()


def log_of_the(directory: Path, id: str) -> Path:
    """Return the file of a conversation of the usual partition."""
    return directory / names.partition_name(partition_of(OPS)) / (names.conversation_name(id) + ".log")


def replaced_by_directory(path: Path) -> None:
    """Put an empty directory in the place of a file."""
    path.unlink()
    path.mkdir()


def replaced_by_link(path: Path) -> None:
    """Put a link to a file in its place."""
    outside = path.parent.parent.parent / "outside"
    path.rename(outside)
    path.symlink_to(outside)


def replaced_by_pipe(path: Path) -> None:
    """Put a named pipe in the place of a file."""
    path.unlink()
    os.mkfifo(path)


def changed(old: bytes, new: bytes, count: int = -1) -> Callable[[Path], object]:
    """Return a function that replaces bytes of a file."""
    return lambda path: path.write_bytes(path.read_bytes().replace(old, new, count))


def of_another(path: Path) -> None:
    """Put the sound file of another conversation in the place of one."""
    target = path.with_name(names.conversation_name("c") + ".log")
    other = path.with_name(names.conversation_name("d") + ".log")
    path.rename(other)
    text = other.read_bytes()
    line = text.split(b"\n")[1]
    partition, _ = framing.read_identity(line) or (("", "", None), "")
    target.write_bytes(text.replace(line + b"\n", framing.identity_line(partition, "d")))
    other.unlink()


def rewritten(kind: bytes, payload: bytes) -> Callable[[Path], object]:
    """Return a function that gives the last line of a kind other content, with a right checksum."""

    def rewrite(path: Path) -> None:
        lines = path.read_bytes().split(b"\n")
        last = max(number for number, line in enumerate(lines) if line.startswith(kind + b" "))
        lines[last] = framing._line(kind, payload.ljust(len(lines[last]) - 11))[:-1]
        path.write_bytes(b"\n".join(lines))

    return rewrite


def ended_with(text: bytes) -> Callable[[Path], object]:
    """Return a function that adds bytes to a file."""
    return lambda path: path.write_bytes(path.read_bytes() + text)


def inserted(text: bytes, before: bytes = b"+ ") -> Callable[[Path], object]:
    """Return a function that inserts bytes before the second and every later line of a kind."""

    def insert(path: Path) -> None:
        lines = path.read_bytes().splitlines(keepends=True)
        places = [number for number, line in enumerate(lines) if line.startswith(before)]
        for number in reversed(places[1:]):
            lines.insert(number, text)
        path.write_bytes(b"".join(lines))

    return insert


CORRUPT: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "one byte": lambda path: path.write_bytes(b"#"),
    "text": lambda path: path.write_text("hello\nworld\n"),
    "binary": lambda path: path.write_bytes(bytes(range(256)) * 40),
    "zeros": lambda path: path.write_bytes(bytes(10_000)),
    "JSON": lambda path: path.write_text('{"schema_version":1,"messages":[]}'),
    "another version of nothing": changed(b"conversation 1 ", b"conversation x "),
    "an older layout": changed(b"conversation 1 ", b"conversation 0 "),
    "only the first line": lambda path: os.truncate(path, framing.PREAMBLE_LENGTH),
    "less than the first batch": lambda path: os.truncate(path, framing.PREAMBLE_LENGTH + 200),
    "first line": changed(b" 0000000000000000 ", b" 0000000000000001 ", 1),
    "identity": changed(b'"acme"', b'"acne"', 1),
    "identity that is no JSON": rewritten(b"!", b"{"),
    "identity of something else": rewritten(b"!", b"[]"),
    "of another": of_another,
    "header": changed(b'"/srv"', b'"/srx"'),
    "header without version": rewritten(b"h", b"{}"),
    "directory": replaced_by_directory,
    "link": replaced_by_link,
    "pipe": replaced_by_pipe,
}
"""How a file may be damaged so that nothing of it can be read."""

DAMAGED_ENDS: dict[str, Callable[[Path], object]] = {
    "last line": lambda path: path.write_bytes(path.read_bytes()[:-12] + b"0 000 0 000\n"),
    "no last newline": lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x"),
    "last line of letters": rewritten(b"=", b"a b c d e f g"),
    "last line too short": rewritten(b"=", b"1 2 3"),
    "header beyond the end": rewritten(b"=", b"3 1 1 0 100 100000 0"),
    "header before the beginning": rewritten(b"=", b"3 1 1 0 -100 100 0"),
    "a time beyond all": rewritten(b"=", b"3 1 99999999999999999999 0 100 100 0"),
    "more messages than bytes": rewritten(b"=", b"999999999 1 1 0 100 100 0"),
    "a line at the end": ended_with(b"hello, this is no batch\n"),
    "a short line at the end": ended_with(b"hello\n"),
    "a foreign line after a long one": ended_with(b"x" * 200_000 + b"\n{}\n"),
    "several lines at the end": ended_with(b"hello\n\nm 00000000 3 {}\n{}\n"),
    "a line at the end without newline": ended_with(b"hello"),
    "binary at the end": ended_with(bytes(range(256))),
    "a message at the end outside a batch": ended_with(framing.message_line(3, b"{}")),
    "the start of a batch after a foreign line": ended_with(b"hello\n" + framing._line(b"+", b"%016d" % 100) + b"m 0"),
}
"""How the end of a file may be damaged. What is before it is sound."""
