"""A `PersistenceAdapter` in memory."""

import json
from typing import Any

import anyio.lowlevel


class Adapter:
    """Keeps JSON texts, and lets others run before it does anything."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    async def save_session(self, id: str, data: dict[str, Any]) -> None:
        text = json.dumps(data)
        await anyio.lowlevel.checkpoint()
        self.kept[id] = text

    async def load_session(self, id: str) -> dict[str, Any] | None:
        await anyio.lowlevel.checkpoint()
        text = self.kept.get(id)
        return None if text is None else json.loads(text)

    async def list_sessions(self) -> list[str]:
        await anyio.lowlevel.checkpoint()
        return list(self.kept)
