"""Library that draws on terminals: rich, where the extra ``cli`` brought it."""

from types import ModuleType

from greentic_session._base.optional import is_installed

__all__ = ["pretty"]


def pretty() -> ModuleType | None:
    """Return the module that draws with rich; None where that is not installed."""
    if not is_installed("rich"):
        return None
    from . import pretty as drawing  # noqa: PLC0415  # who reads a pipe waits for no rich

    return drawing
