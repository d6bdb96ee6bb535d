"""Public names that need an extra, where the extra is not installed."""

import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import TypeVar

from greentic_session.errors import UnavailableError

__all__ = ["is_installed", "optional", "optional_names"]

T = TypeVar("T")


def is_installed(*packages: str) -> bool:
    """Say whether packages can be found; none is imported."""
    try:
        return all(find_spec(package) is not None for package in packages)
    except (ImportError, ValueError):
        return False


def optional(name: str, get: Callable[[], T]) -> T:
    """Return what a module's ``__getattr__`` gives for a name, by `get`.

    Raises:
        AttributeError: The extra is not installed; the message names it. So ``hasattr`` says False.
        ImportError: The same, for ``from ... import name``.
    """
    try:
        return get()
    except UnavailableError as error:
        # Of an AttributeError `from ... import name` drops the message, and with it what is to be
        # installed.
        importing = sys._getframe(2).f_code.co_name == "_handle_fromlist"  # noqa: SLF001  # nothing else tells
        if importing:
            raise ImportError(str(error), name=name) from error
        raise AttributeError(str(error), name=name) from error


def optional_names(module: str, stores: Mapping[str, Callable[[], object]]) -> Callable[[str], object]:
    """Return the ``__getattr__`` of a module: it imports a store when somebody asks for it."""

    def get(name: str) -> object:
        if name in stores:
            return optional(name, stores[name])
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return get
