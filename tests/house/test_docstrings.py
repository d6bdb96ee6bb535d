"""The reference documentation is the docstrings.

Everything public has one, what they show runs, what they name exists.
"""

import ast
import builtins
import doctest
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from frameworks.adapters import NOT_IMPORTABLE

import greentic_session
from greentic_session import errors

NAMES = sorted(
    module.name
    for module in pkgutil.walk_packages(greentic_session.__path__, "greentic_session.")
    if not module.name.endswith("__main__") and module.name.removeprefix("greentic_session.") not in NOT_IMPORTABLE
)
PUBLIC = ["greentic_session", *(name for name in NAMES if not any(part[0] == "_" for part in name.split(".")))]
EXAMPLES = 25
"""At least so many names have an example, arguments, errors: the search finds them."""

SHOWN = [
    test
    for name in ["greentic_session", *NAMES]
    for test in doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(name), name)
    if test.examples
]


@pytest.mark.parametrize("test", [pytest.param(test, id=test.name) for test in SHOWN])
def test_examples_run(test: doctest.DocTest) -> None:
    said: list[str] = []
    results = doctest.DocTestRunner().run(test, out=said.append)
    assert results.failed == 0, "".join(said)
    assert results.attempted == len(test.examples)


def test_the_finder_finds_examples() -> None:
    assert len(SHOWN) >= EXAMPLES


def public_names(module: ModuleType) -> Iterator[tuple[str, Any]]:
    for name in getattr(module, "__all__", []):
        yield name, getattr(module, name)


def is_ours(thing: object) -> bool:
    return (inspect.isclass(thing) or inspect.isfunction(thing)) and thing.__module__.startswith("greentic_session")


def callables_of(thing: Any) -> Iterator[tuple[str, Any]]:
    """Yield a function itself, or the public methods that a class defines."""
    if inspect.isfunction(thing):
        yield thing.__qualname__, thing
        return
    for name, member in vars(thing).items():
        plain = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        plain = plain.fget if isinstance(plain, property) else plain
        if name[0] != "_" and inspect.isfunction(plain):
            yield f"{thing.__qualname__}.{name}", getattr(thing, name)


DEFINED = {
    f"{thing.__module__}: {thing.__qualname__}": thing
    for module in PUBLIC
    for _, thing in public_names(importlib.import_module(module))
    if is_ours(thing)
}
CALLABLES = {f"{thing.__module__}: {name}": member for thing in DEFINED.values() for name, member in callables_of(thing)}
DOCUMENTED = DEFINED | CALLABLES
STRUCTS = {name: thing for name, thing in DEFINED.items() if hasattr(thing, "__struct_fields__")}


def test_every_module_says_what_it_is_for() -> None:
    assert [name for name in PUBLIC if not importlib.import_module(name).__doc__] == []


def test_every_public_class_and_function_says_what_it_is() -> None:
    assert [name for name, thing in DEFINED.items() if not thing.__doc__] == []


def test_every_public_method_says_what_it_does() -> None:
    # Its own docstring, or that of the class which promised it.
    assert [name for name, member in CALLABLES.items() if not inspect.getdoc(member)] == []


def described_values(body: list[ast.stmt]) -> dict[str, bool]:
    """Return the names of a module's values, and whether each has a docstring below it."""
    found: dict[str, bool] = {}
    for statement, following in zip(body, [*body[1:], None], strict=True):
        if isinstance(statement, ast.If):
            found |= described_values(statement.body)  # the branch that type checkers and editors read
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        for target in targets:
            if isinstance(target, ast.Name):
                text = following.value if isinstance(following, ast.Expr) else None
                found[target.id] = isinstance(text, ast.Constant) and isinstance(text.value, str)
    return found


def test_every_public_value_says_what_it_is() -> None:
    for module in map(importlib.import_module, PUBLIC):
        values = described_values(ast.parse(inspect.getsource(module)).body)
        undescribed = {value for value, described in values.items() if not described}
        assert undescribed & set(getattr(module, "__all__", [])) == set(), module


def section(text: str | None, title: str) -> list[str]:
    """Return the names that a section of a docstring describes."""
    found = re.search(rf"^{title}:\n((?:    .*\n?|\n)+)", inspect.cleandoc(text or "") + "\n", re.MULTILINE)
    return re.findall(r"^    ([\w.]+):", found[1], re.MULTILINE) if found else []


def resolve(name: str, module: ModuleType) -> object:
    first, *rest = name.split(".")
    value: object = next((getattr(scope, first) for scope in (module, errors, builtins) if hasattr(scope, first)), None)
    for part in rest:
        value = getattr(value, part, None)
    return value


def test_every_error_that_is_named_exists() -> None:
    named = [(name, error) for name in DOCUMENTED for error in section(DOCUMENTED[name].__doc__, "Raises")]
    assert len(named) >= EXAMPLES
    for name, error in named:
        module = getattr(DOCUMENTED[name], "__module__", None) or name.split(":", maxsplit=1)[0].rpartition(".")[0]
        found = resolve(error, importlib.import_module(module))
        assert isinstance(found, type), (name, error)
        assert issubclass(found, BaseException), (name, error)


def parameters_of(documented: Any) -> set[str]:
    return {name for name in inspect.signature(documented).parameters if name != "self"}


def test_the_arguments_that_are_described_are_those_that_there_are() -> None:
    described = {name: section(thing.__doc__, "Args") for name, thing in DOCUMENTED.items()}
    assert len(list(filter(None, described.values()))) >= EXAMPLES
    for name, arguments in described.items():
        if arguments:
            assert set(arguments) == parameters_of(DOCUMENTED[name]), name


def test_the_attributes_that_are_described_are_those_that_there_are() -> None:
    described = {name: section(thing.__doc__, "Attributes") for name, thing in STRUCTS.items()}
    assert list(filter(None, described.values()))
    for name, attributes in described.items():
        if attributes:
            assert set(attributes) == set(STRUCTS[name].__struct_fields__) - {"_revision", "_form"}, name
