"""What the package says in the log: under its own name, and nothing about anybody."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import greentic_session

ROOT = Path(greentic_session.__file__).parent
MODULES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))
SAYING = {"debug", "info", "warning", "error", "critical", "exception", "log"}
TOLD = {"count", "days", "name", "what", "error.code", "info.torn", "directory", "reasons"}
"""Expressions that may be logged: counts, codes, words of ours, and the directory of a store.

Before adding one, make sure that it never holds data of a user.
"""


def calls_in(module: str) -> Iterator[tuple[str, ast.Call]]:
    """Yield each call of an attribute, as it stands there."""
    for node in ast.walk(ast.parse((ROOT / module).read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield ast.unparse(node.func), node


@pytest.mark.parametrize("module", MODULES)
def test_every_logger_is_ours(module: str) -> None:
    for name, call in calls_in(module):
        if name.startswith("logging."):
            assert name == "logging.getLogger", f"{name} speaks for the whole program"
            assert len(call.args) == 1
            assert isinstance(call.args[0], ast.Constant)
            assert str(call.args[0].value).split(".")[0] == "greentic_session"


@pytest.mark.parametrize("module", MODULES)
def test_a_line_is_a_constant_text_with_counts_and_codes(module: str) -> None:
    for name, call in calls_in(module):
        owner, _, method = name.rpartition(".")
        if method in SAYING and owner.strip("_").split(".")[-1].lower() in {"log", "logger"}:
            text, *told = call.args
            assert isinstance(text, ast.Constant), f"{ast.unparse(text)}: what is filled in goes through arguments"
            assert {ast.unparse(each) for each in told} <= TOLD, ast.unparse(call)
            # A traceback holds the messages of causes, and they may quote what was stored.
            assert method != "exception"
            assert not call.keywords, ast.unparse(call)


def test_the_search_finds_what_there_is() -> None:
    found = {module: name for module in MODULES for name, _ in calls_in(module) if name == "_log.warning"}
    assert {"claim.py", "conversation/rules.py"} <= set(found)


@pytest.mark.parametrize("module", [module for module in MODULES if not module.startswith(("demo/", "__main__"))])
def test_nothing_is_printed(module: str) -> None:
    names = {node.id for node in ast.walk(ast.parse((ROOT / module).read_text())) if isinstance(node, ast.Name)}
    assert "print" not in names
