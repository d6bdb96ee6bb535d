"""What a way to Redis looks like to whoever sends commands.

A client to one server, or to the nodes of a cluster.
"""

from collections.abc import Sequence
from typing import Any, Final, Protocol, TypeAlias, TypedDict

from msgspec import Struct

from greentic_session._base.hiding import Hiding, outline

__all__ = ["NO_HOLD", "Arg", "Executor", "Packed", "Pieces", "ServerExecutor", "Ways"]

Arg: TypeAlias = bytes | str | int
"""A word of a command."""
Pieces: TypeAlias = tuple[bytes, ...]
"""The bytes of a command in Redis's protocol, in pieces."""
NO_HOLD: Final = "- - - - - -"
"""The `hold` of a step on a cluster that is allowed nothing in particular."""


class Packed(Hiding, Struct, frozen=True, gc=False):
    """Commands in Redis's protocol, without keys on other nodes: they are for one server.

    Attributes:
        text: Their bytes.
        commands: How many there are.
        about: The command and the first key by which the length of what they answer is remembered.
    """

    text: bytes
    commands: int
    about: tuple[Arg, ...]

    def __repr__(self) -> str:
        return outline(self, "text", "about", commands=self.commands)


class Ways(TypedDict, total=False):
    """Options of a command: the keywords of `RedisClient.call`, which has their defaults."""

    repeatable: bool
    answers: tuple[type, ...] | None
    script: str | None
    undo: tuple[Arg, ...] | None
    ahead: Pieces | None
    behind: tuple[Arg, ...] | None


class Executor(Protocol):
    """A way to Redis: to one server, or to the nodes of a cluster.

    Attributes:
        moving: Whether keys may be on their way from one node to another: then scripts look first.
        hold: On a cluster, what a script that has something around it is given last.
    """

    moving: bool
    hold: str

    async def call(
        self,
        command: tuple[Arg, ...] | Packed,
        *,
        repeatable: bool = False,
        answers: tuple[type, ...] | None = None,
        script: str | None = None,
        undo: tuple[Arg, ...] | None = None,
        ahead: Pieces | None = None,
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
