"""A SQLite file, as another program sees it."""

import sqlite3
from pathlib import Path
from typing import Any

__all__ = ["execute"]


def execute(path: Path, statement: str, *values: object) -> list[tuple[Any, ...]]:
    """Write into the file as another program does."""
    raw = sqlite3.connect(path, isolation_level=None, timeout=30)
    try:
        return raw.execute(statement, values).fetchall()
    finally:
        raw.close()
