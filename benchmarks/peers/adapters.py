"""What the adapters of frameworks in the benchmark share: where they keep things, their texts."""

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path

from benchmarks.harness.texts import ChangingTexts

from .worker import Adapter, PeerCall

__all__ = ["FrameworkAdapter"]


class FrameworkAdapter(Adapter):
    """Adapter of ours or a store of its framework: a call writes a user's things, another reads.

    Args:
        side: ``ours`` or ``theirs``.
        store: The name of the framework's store in this pair.
        backend: ``Redis`` or ``SQLite``.
        port: The port of the Redis server.
        connections: How many connections a framework's client may have.
        directory: Where a database is.
    """

    def __init__(self, side: str, store: str, backend: str, port: int, connections: int, directory: str) -> None:
        self.is_ours = side == "ours"
        self.store = store
        self.backend = backend
        self.port = port
        self.connections = connections
        self.path = Path(directory) / "store.sqlite"
        self.texts = ChangingTexts()

    @property
    def url(self) -> str:
        """The URL of our store."""
        return f"redis://127.0.0.1:{self.port}" if self.backend == "Redis" else f"sqlite:///{self.path}"

    @abstractmethod
    async def write(self, user: int) -> None:
        """Write a user's things."""

    @abstractmethod
    async def read(self, user: int) -> None:
        """Read a user's things."""

    def operations(self) -> Mapping[str, PeerCall]:
        return {"write": (self.write, None), "read": (self.read, None)}
