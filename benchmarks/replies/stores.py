"""Stores that are measured: in memory, in a SQLite file, on a throw-away Redis or a cluster."""

import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass

from benchmarks.harness.server import TIMEOUT_S, Server, find_binary
from greentic_session import InMemorySessionStore, SessionStore, create_session_store
from greentic_session._servers.cluster import Cluster

__all__ = ["BACKENDS", "Place", "open_places"]

BACKENDS = ("memory", "sqlite", "redis", "cluster")


@dataclass(frozen=True)
class Place:
    """Where a store keeps its sessions.

    Attributes:
        backend: One of `BACKENDS`.
        url: Its URL.
        server: The server, of Redis.
        cluster: The cluster: three primaries.
    """

    backend: str
    url: str
    server: Server | None = None
    cluster: Cluster | None = None

    @asynccontextmanager
    async def store(self, **options: int) -> AsyncIterator[SessionStore]:
        """Open a store; in memory it is a new one each time."""
        if self.backend == "memory":
            opened: SessionStore = InMemorySessionStore(**options)  # type: ignore[arg-type]  # options of every store
        else:
            opened = create_session_store(self.url, timeout=TIMEOUT_S, **options)
        async with opened as store:
            yield store

    def empty(self) -> None:
        """Remove what is there: of Redis only, a file's store is measured by what it adds."""
        nodes = [] if self.cluster is None else self.cluster.nodes
        for server in [*filter(None, [self.server]), *nodes]:
            with server.client() as client:
                client.flushall()


@contextmanager
def open_places(backends: Sequence[str]) -> Iterator[list[Place]]:
    """Yield where the stores of these backends keep their sessions, until the end of the block.

    Redis is left out where no redis-server is installed.
    """
    with ExitStack() as stack:
        places = []
        for backend in backends:
            if backend == "memory":
                places.append(Place(backend, "memory://"))
            elif backend == "sqlite":
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="gs-bench-"))
                places.append(Place(backend, f"sqlite:///{folder}/replies.db"))
            elif (binary := find_binary()) and backend == "cluster":
                cluster = stack.enter_context(Cluster(binary))
                places.append(Place(backend, cluster.url, cluster=cluster))
            elif binary:
                server = stack.enter_context(Server(binary))
                places.append(Place(backend, server.url, server))
        yield places
