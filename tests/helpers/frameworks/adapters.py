"""Adapters of the package, and the frameworks that they import."""

import importlib.util

__all__ = ["FRAMEWORKS", "NOT_IMPORTABLE", "is_installed"]

FRAMEWORKS = {
    "integrations._graphs.turns": "langgraph",
    "integrations.aiogram": "aiogram",
    "integrations.google_adk": "google.adk",
    "integrations.langgraph": "langgraph",
    "integrations.openai_agents": "agents",
    "integrations.pydantic_agents": "pydantic_ai",
    "integrations.starlette": "starlette",
}
"""By module of the package: the framework that it imports."""


def is_installed(framework: str) -> bool:
    """Return whether a framework is installed, by the name of its package."""
    try:
        return importlib.util.find_spec(framework) is not None
    except ModuleNotFoundError:  # its parent is missing
        return False


NOT_IMPORTABLE = {module for module, framework in FRAMEWORKS.items() if not is_installed(framework)}
"""Adapters that cannot be imported here."""
