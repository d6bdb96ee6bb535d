"""Adapters of the package, and the frameworks that they import."""

import importlib.util

__all__ = ["FRAMEWORKS", "NOT_IMPORTABLE"]

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


def _is_installed(framework: str) -> bool:
    try:
        return importlib.util.find_spec(framework) is not None
    except ModuleNotFoundError:  # its parent is missing
        return False


NOT_IMPORTABLE = {module for module, framework in FRAMEWORKS.items() if not _is_installed(framework)}
"""Adapters that cannot be imported here."""
