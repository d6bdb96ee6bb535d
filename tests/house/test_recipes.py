"""What the recipes are: README shows each, and each uses public names only. Their own tests run them."""

import ast
import importlib
import re
from pathlib import Path

import pytest
from paths import ROOT
from readme_blocks import README

FOLDER = ROOT / "tests" / "recipes"
HELPERS = {"webhook_process.py"}
PROGRAMS = [path for path in FOLDER.glob("*.py") if not path.name.startswith("test_") and path.name not in HELPERS]
PROJECT = list(FOLDER.glob("own_project/*.py"))
LINKS = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]


def test_readme_links_every_recipe() -> None:
    shown = {f"tests/recipes/{path.name}" for path in PROGRAMS} | {"tests/recipes/own_project"}
    assert {link for link in LINKS if link.startswith("tests/recipes/")} == shown
    assert len(shown) == 4


@pytest.mark.parametrize("link", LINKS)
def test_what_readme_links_is_there(link: str) -> None:
    headings = {f"#{title.lower().replace(' ', '-')}" for title in re.findall(r"^#+ (.*)$", README, re.MULTILINE)}
    assert link in headings or (ROOT / link).exists()


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
