"""Measured times in the READMEs and the changelog name the command that measures them."""

import re

import pytest
from paths import ROOT
from readmes.blocks import READMES, prose_of

_TIME = re.compile(r"\b\d[\d,.]* (?:µs|us|ms|s|seconds)\b|(?:loop|server) for seconds|seconds a MiB|of a second\b")
_COMMAND = re.compile(r"`(?:[^`]*&& )?python -m [^`]+`")
_TABLE_ROW = re.compile(r"^\|.*\n", re.MULTILINE)


def without_command(pieces: list[str]) -> list[str]:
    """Return the pieces of text that tell a time and name no command."""
    return [piece for piece in pieces if _TIME.search(piece) and not _COMMAND.search(piece)]


@pytest.mark.parametrize("path", READMES)
def test_a_time_in_a_readme_has_its_command_in_the_same_section(path: str) -> None:
    text = _TABLE_ROW.sub("", prose_of(path))  # tables tell settings and layouts; lifetimes of keys, for example
    assert without_command(re.split(r"^#+ ", text, flags=re.MULTILINE)) == []


def test_a_time_in_the_changelog_has_its_command_in_the_same_line() -> None:
    assert without_command((ROOT / "CHANGELOG.md").read_text().splitlines()) == []


def test_a_time_without_a_command_is_noticed() -> None:
    bare, measured = "A call takes 7 to 19 µs more.", "A call takes 7 to 19 µs more (`python -m benchmarks.telemetry`)."
    assert without_command([bare, measured, "It waits `timeout` seconds."]) == [bare]
