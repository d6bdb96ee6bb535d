"""What the package says in the log: under its own name, and nothing about anybody."""

import ast
from pathlib import Path

import greentic_session

ROOT = Path(greentic_session.__file__).parent
TREES = {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text()) for path in sorted(ROOT.rglob("*.py"))}
SAYING = {"debug", "info", "warning", "error", "critical", "exception", "log"}
TOLD = {"count", "days", "name", "what", "error.code", "info.torn", "directory", "reasons"}
"""Expressions that may be logged: counts, codes, words of ours, and the directory of a store.

Before adding one, make sure that it never holds data of a user.
"""


CALLS = [
    (module, ast.unparse(node.func), node)
    for module, tree in TREES.items()
    for node in ast.walk(tree)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
]
"""Each call of an attribute, as it stands there, and its module."""


def test_every_logger_is_ours() -> None:
    for module, name, call in CALLS:
        if name.startswith("logging."):
            assert name == "logging.getLogger", f"{module}: {name} speaks for the whole program"
            assert len(call.args) == 1, module
            assert isinstance(call.args[0], ast.Constant), module
            assert str(call.args[0].value).split(".")[0] == "greentic_session", module


def test_a_line_is_a_constant_text_with_counts_and_codes() -> None:
    for module, name, call in CALLS:
        owner, _, method = name.rpartition(".")
        if method in SAYING and owner.strip("_").split(".")[-1].lower() in {"log", "logger"}:
            where = f"{module}: {ast.unparse(call)}"
            text, *told = call.args
            assert isinstance(text, ast.Constant), f"{where}: what is filled in goes through arguments"
            assert {ast.unparse(each) for each in told} <= TOLD, where
            # A traceback holds the messages of causes, and they may quote what was stored.
            assert method != "exception", where
            assert not call.keywords, where


def test_the_search_finds_what_there_is() -> None:
    found = {module for module, name, _ in CALLS if name == "_log.warning"}
    assert {"claim.py", "conversation/rules.py"} <= found


def test_nothing_is_printed() -> None:
    prints = {
        module
        for module, tree in TREES.items()
        if any(isinstance(node, ast.Name) and node.id == "print" for node in ast.walk(tree))
    }
    assert {module for module in prints if not module.startswith(("demo/", "__main__"))} == set()
