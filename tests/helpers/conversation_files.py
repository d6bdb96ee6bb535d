"""What the tests of the conversation store in files share."""

import logging
from pathlib import Path
from typing import Any

import pytest

from greentic_session.conversation import FileConversationStore

__all__ = ["log_of", "make", "warnings"]


def make(directory: Path, **options: Any) -> FileConversationStore[Any]:
    """Return a store that does not wait for the disk: what is tested does not depend on it."""
    options.setdefault("fsync", False)
    return FileConversationStore(directory, **options)


def log_of(directory: Path, suffix: str = ".log") -> Path:
    """Return the only file of its kind."""
    (found,) = directory.rglob(f"*{suffix}")
    return found


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was said in the log since the last call."""
    found = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    caplog.clear()
    return found
