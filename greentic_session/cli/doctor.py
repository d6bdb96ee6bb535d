"""``doctor``: checks the indices of a store and the settings of its server.

Whether the indices agree, and whether the server is set up to keep what it is given.
"""

import argparse
import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from greentic_session.admin import Examination, Finding, Setting

from .arguments import add_reveal
from .command import Command, Exit
from .console import Console
from .nothing import tell_of_nothing
from .opening import opened
from .progress import Progress

__all__ = ["DOCTOR"]


def _configure(parser: argparse.ArgumentParser) -> None:
    add_reveal(parser, "name the keys where something was found; they hold session keys and the ids of users")


def _run(args: argparse.Namespace, console: Console) -> int:
    began = time.monotonic()
    with opened(args) as desk, Progress("looked at") as progress:
        settings = desk.run(desk.inspector.settings())
        found = desk.run(desk.inspector.examine(progress.advance))
        if not found.looked:
            tell_of_nothing(desk, args, console)
    agree = not any(finding.fault for finding in found.findings)
    if console.as_json:
        console.json(_as_json(settings, found, agree=agree, reveal=args.reveal))
    else:
        _tell(console, settings, found, agree=agree, reveal=args.reveal)
        console.remark(f"looked at {found.looked:,} keys in {time.monotonic() - began:.1f} s")
    return Exit.FINE if agree else Exit.FAILED


def _tell(console: Console, settings: Sequence[Setting], found: Examination, *, agree: bool, reveal: bool) -> None:
    rows: list[tuple[str, str, str]] = [(setting.level, setting.name, setting.value) for setting in settings]
    rows.append(("ok", "indices", "they agree") if agree else ("error", "indices", "they DISAGREE"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for level, name, value in rows:
        console.write(f"{level.ljust(widths[0])}  {name.ljust(widths[1])}  {value}")
        for setting in settings:
            if setting.name == name and setting.advice:
                console.write(f"{'':{widths[0]}}  -> {setting.advice}")
    for finding in found.findings:
        _tell_finding(console, finding, reveal=reveal)


def _tell_finding(console: Console, finding: Finding, *, reveal: bool) -> None:
    console.write(f"\n{'error' if finding.fault else 'note'}: {finding.count:,} {finding.what}")
    console.write(f"  -> {finding.advice}")
    if reveal:
        for key in finding.keys:
            console.item(key)
        if finding.count > len(finding.keys):
            console.write(f"     and {finding.count - len(finding.keys):,} more")


def _as_json(settings: Sequence[Setting], found: Examination, *, agree: bool, reveal: bool) -> dict[str, Any]:
    findings = [msgspec.to_builtins(finding) for finding in found.findings]
    for finding in findings:
        if not reveal:
            del finding["keys"]
    return {"settings": settings, "indices": {"agree": agree, "looked": found.looked, "findings": findings}}


DOCTOR: Final = Command(
    "doctor", "say whether the indices agree and the server keeps what it is given; it changes nothing", _configure, _run
)
"""See its help."""
