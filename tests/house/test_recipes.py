"""What the recipes are.

Their README shows each, and each uses public names only. Their own tests run them.
"""

import ast
import importlib
import re
from pathlib import Path

import pytest
from paths import ROOT
from readmes.blocks import READMES

FOLDER = ROOT / "tests" / "recipes"
HELPERS = {"agent_process.py", "agent_script.py", "conftest.py", "webhook_process.py", "worker_process.py"}
PROGRAMS = [path for path in FOLDER.glob("*.py") if not path.name.startswith("test_") and path.name not in HELPERS]
PROJECT = list(FOLDER.glob("own_project/*.py"))


def test_the_folders_readme_links_every_recipe() -> None:
    links = re.findall(r"\]\(([^)]+)\)", READMES["tests/recipes/README.md"])
    assert set(links) == {path.name for path in PROGRAMS} | {"own_project"}
    assert len(links) == 7


@pytest.mark.parametrize("path", [*PROGRAMS, *PROJECT], ids=lambda path: path.name)
def test_a_recipe_uses_public_names_only(path: Path) -> None:
    used = 0
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("greentic_session"):
            public = importlib.import_module(node.module or "").__all__
            assert {alias.name for alias in node.names} <= set(public)
            assert not any(part.startswith("_") for part in (node.module or "").split("."))
            used += len(node.names)
    assert used > 0
