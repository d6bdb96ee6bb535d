"""What a way to Redis looks like to whoever sends commands.

A client to one server, or to the nodes of a cluster.
"""

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

__all__ = ["Arg", "Executor", "ServerExecutor"]

Arg: TypeAlias = bytes | str | int
"""A word of a command."""


class Executor(Protocol):
    """A way to Redis: to one server, or to the nodes of a cluster.

    Attributes:
        moving: Whether keys may be on their way from one node to another: then scripts look first.
    """

    moving: bool

    async def call(
        self,
        command: tuple[Arg, ...],
        *,
        repeatable: bool = False,
        script: str | None = None,
        undo: tuple[Arg, ...] | None = None,
        ahead: tuple[Arg, ...] | None = None,
        behind: tuple[Arg, ...] | None = None,
    ) -> Any:
        """As `RedisClient.call`."""

    async def ping(self) -> None:
        """As `RedisClient.ping`."""

    async def servers(self) -> "Sequence[ServerExecutor]":
        """Return a way to each server that has keys.

        For walks, and for what is asked of servers themselves.
        """
        raise NotImplementedError

    def owners(self) -> "Sequence[ServerExecutor | None]":
        """Return who has each slot: what differs before and after a walk if keys have moved."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """As `RedisClient.aclose`."""


class ServerExecutor(Executor, Protocol):
    """A way to one server."""

    @property
    def node(self) -> str:
        """As `RedisClient.node`."""
        raise NotImplementedError
