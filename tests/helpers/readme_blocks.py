"""The blocks of code in README, for the tests that run them. Each is found by a text that stands in it and in no other."""

import re
from typing import NamedTuple

from paths import ROOT

README = (ROOT / "README.md").read_text()

_FENCED = re.compile(r"^(```+|~~~+)([^\n]*)\n(.*?)^\1[ ]*$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """A block between two fences, and the language that it is said to be in."""

    language: str
    text: str


BLOCKS = [Block(language, text) for _, language, text in _FENCED.findall(README)]
PROSE = _FENCED.sub("", README)
"""README without its blocks."""


def block_with(marker: str) -> str:
    """Return the text of the one block in which `marker` stands."""
    (text,) = [block.text for block in BLOCKS if marker in block.text]
    return text


# The shell blocks. `.ci/run` runs the suite's, as it stands; tests/test_distribution.py runs the others.
DEMO = block_with("python -m pip install . && python -m greentic_session")
SUITE = block_with("python -m pip install -e '.[test]'")
INSTALL = block_with("greentic-session[redis]")
