"""The blocks of code in the READMEs, for the tests that run them.

Each is found by a text that stands in it and in no other.
"""

import re
from pathlib import Path
from typing import NamedTuple

from paths import ROOT

README = (ROOT / "README.md").read_text()
READMES: dict[str, str] = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for folder in (".", "greentic_session", "tests", "benchmarks")
    for path in sorted((ROOT / folder).glob("README.md" if folder == "." else "**/README.md"))
}
"""The text of each README, by its path in the repository."""

_FENCED = re.compile(r"^(```+|~~~+)([^\n]*)\n(.*?)^\1[ ]*$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """A block between two fences, and the language that it is said to be in."""

    language: str
    text: str


BLOCKS = [Block(language, text) for readme in READMES.values() for _, language, text in _FENCED.findall(readme)]


def prose_of(path: str | Path) -> str:
    """Return a README without its blocks."""
    return _FENCED.sub("", READMES[str(path)])


def block_with(marker: str) -> str:
    """Return the text of the one block in which `marker` stands."""
    (text,) = [block.text for block in BLOCKS if marker in block.text]
    return text


# Shell blocks that are run: `.ci/run` runs the suite's, as it stands, and test_distribution.py the
# other two. Of all others test_readme_commands.py checks the modules and options.
DEMO = block_with("python -m pip install . && python -m greentic_session")
SUITE = block_with("python -m pip install -e '.[test]'")
INSTALL = block_with("python -m pip install '.[redis]'")
