"""A client of a Redis Cluster: a `RedisClient` for each node in use, and the map of slots.

Every command names a key, the key's slot names the primary, and the call travels over that
primary's client like any other: the usual call costs one look into a list more than on a single
server.

- The map is read when the first call needs it, and again when an answer or a failure shows that it
  is old. One caller reads it for all, at most so often; there is no task. MOVED corrects the slot
  at once, so its caller need not wait for that.
- ASK is followed: the call goes to the node that it names, right behind an ASKING, and the map
  stays as it is.
- A script touches several keys of one user, and while Redis moves their slot they are in two
  places. On a cluster every script looks first whether its slot is on the move, and then does
  nothing but say TRYAGAIN. What was told to try again does, with a delay that grows, with jitter,
  until its slot has settled or its deadline is over.
- A node that cannot be reached, or a cluster that says it is down, may be a failover under way: the
  map is read anew from any node that answers, and what was not sent, or may be repeated, is tried
  again until its deadline. A write that was sent when its connection broke fails, as everywhere:
  whether it took effect cannot be said.
- Where no node at all can be reached, calls fail at once.
- A replica is never asked, but for the map, and for reads of a store that was made with
  `stale_reads`.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeAlias, Unpack

import anyio
from redis import exceptions as driver
from redis.asyncio.connection import AbstractConnection
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from greentic_session._base.hiding import Secret, outline
from greentic_session.errors import (
    GreenticError,
    OperationTimeoutError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnavailableError,
)

from .client import RedisClient
from .connection import LostError
from .executor import NO_HOLD, Arg, Executor, Packed, Pieces, Ways

__all__ = ["Address", "ClusterAddress", "ClusterClient"]

Address: TypeAlias = tuple[str, int]
"""Host and port."""

_ASKING = b"*1\r\n$6\r\nASKING\r\n"
_READONLY = b"*1\r\n$8\r\nREADONLY\r\n"
_FIRST_RETRY_DELAY_S = 0.01
"""Delay of the first retry of a call, in seconds."""
_MAX_RETRY_DELAY_S = 0.25
_MIN_MAP_AGE_S = 0.1
"""Minimum age of the map, in seconds, before it is read again."""
_MapError: TypeAlias = UnavailableError | UnauthenticatedError | PermissionDeniedError
"""What reading the map may end in: as a call to one server would, whatever the operation."""


@dataclass(frozen=True, repr=False)
class ClusterAddress(Secret):
    """How to reach a cluster.

    Attributes:
        connection_class: One of redis-py's asyncio connections.
        settings: Its arguments, without host and port.
        nodes: Where to ask first; one that answers is enough.
        remap: From the address that a node announces to the one that it has from here.
    """

    connection_class: type[AbstractConnection]
    settings: Mapping[str, Any]
    nodes: Sequence[Address]
    remap: Callable[[Address], Address] | None = None

    def __repr__(self) -> str:
        return outline(self, "settings", nodes=getattr(self, "nodes", None))


class ClusterClient:
    """Sends commands to the nodes of one cluster. What it promises is what `RedisClient` does.

    Args:
        address: Where it is.
        timeout: For how many seconds a call may take, everything included.
        max_connections: How many connections there may be to each node.
    """

    moving = True
    """Slots may move: scripts must look whether theirs does."""
    hold = NO_HOLD

    def __init__(self, address: ClusterAddress, *, timeout: float, max_connections: int) -> None:
        self._cluster = address
        self._seeds = tuple(address.nodes)
        self._timeout = timeout
        self._most = max_connections
        self._stale_reads = False  # whether anybody asks for them
        self._clients: dict[Address, RedisClient] = {}
        self._slots: list[RedisClient | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self._replicas: dict[RedisClient, list[RedisClient]] = {}
        self._reading: asyncio.Future[_MapError | None] | None = None
        self._read_at = float("-inf")
        self._closed = False
        # Keeps the event loop; and refuses settings that redis-py does not know.
        self._keeper = self._client_for(self._seeds[0])

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
        stale: bool = False,
    ) -> Any:
        """Send a command to the node that has its key, and return the answer.

        Args:
            command: The command and its arguments; a key comes first of them, or behind the number
                of keys.
            repeatable: Whether sending it twice does what sending it once does.
            answers: As for `RedisClient.call`.
            script: If the command is EVALSHA, the script.
            undo: As for `RedisClient.call`.
            ahead: As for `RedisClient.call`; its key is in the same slot.
            behind: As for `RedisClient.call`; its key is in the same slot.
            stale: Whether a replica may answer, where the store allows that.

        Raises:
            GreenticError: As `RedisClient.call`.
        """
        key = command.about[1] if isinstance(command, Packed) else command[3 if script is not None else 1]
        slot = key_slot(key if isinstance(key, bytes) else str(key).encode())
        client, failure, begun = self._slots[slot], None, monotonic()
        ways: Ways = {
            "repeatable": repeatable,
            "answers": answers,
            "script": script,
            "undo": undo,
            "ahead": ahead,
            "behind": behind,
        }
        if client is not None and not stale:
            try:
                return await client.call(command, **ways)
            except GreenticError as error:
                failure = error
                if not self._may_go_on(client, error, repeatable=repeatable):
                    raise
        left = self._timeout - (monotonic() - begun)
        return await self._insist(slot, command, failure, left, ways, stale=stale)

    @asynccontextmanager
    async def in_time(self) -> AsyncIterator[None]:
        """Hold the block to the time that a call may take, however many calls it makes.

        Raises:
            OperationTimeoutError: It was over.
            UnavailableError: As `RedisClient.check_loop`.
        """
        self._keeper.check_loop()
        limit = asyncio.timeout(self._timeout)
        try:
            async with limit:
                yield
        except TimeoutError as error:
            if not limit.expired() or isinstance(error, OperationTimeoutError):
                raise
            raise OperationTimeoutError("Redis did not answer in time") from error

    async def ping(self) -> None:
        """Return if every primary answers.

        Raises:
            UnavailableError: One does not.
        """
        for client in await self.servers():
            await client.ping()

    async def servers(self) -> list[RedisClient]:
        """Return a client to each primary that has slots, by the newest map.

        Raises:
            UnavailableError: No node answers.
        """
        await self._read_map(self._keeper.check_loop().time() + self._timeout, anew=True)
        return list(dict.fromkeys(client for client in self._slots if client is not None))

    @property
    def stale(self) -> "Executor":
        """The same for reads that a replica may answer."""
        self._stale_reads = True
        return _Stale(self)

    def owners(self) -> tuple[RedisClient | None, ...]:
        """Return the map: who has each slot."""
        return tuple(self._slots)

    def close(self) -> None:
        """Take no more calls."""
        self._closed = True
        for client in self._clients.values():
            client.close()

    async def aclose(self) -> None:
        """Close, after waiting a second at most for the answers under way; idempotent."""
        self.close()
        async with anyio.create_task_group() as closing:  # on trio, too: there the store was of no use, but is closed
            for client in tuple(self._clients.values()):
                closing.start_soon(client.aclose)

    # -- what is not usual

    async def _insist(
        self,
        slot: int,
        command: tuple[Arg, ...] | Packed,
        failure: GreenticError | None,
        seconds: float,
        ways: Ways,
        *,
        stale: bool,
    ) -> Any:
        """Try until there is an answer that is one, or no time.

        `failure` is that of a first attempt; it may be repeated.
        """
        loop = self._keeper.check_loop()
        deadline, delay, trusting = loop.time() + seconds, _FIRST_RETRY_DELAY_S, True
        while True:
            asked = None
            if failure is not None:
                asked = self._redirect(slot, failure)
                if asked is None and not (trusting and _is(failure, "MOVED")):
                    pause = delay * random.uniform(0.5, 1)  # noqa: S311  # jitter
                    if loop.time() + pause >= deadline:
                        raise failure
                    await asyncio.sleep(pause)
                    delay = min(2 * delay, _MAX_RETRY_DELAY_S)
                    await self._read_map(deadline)
                trusting = trusting and asked is not None  # nodes that disagree would send us back and forth
            client, before = asked or self._slots[slot], None if asked is None else _ASKING
            if client is None:
                await self._read_map(deadline, anew=failure is None)
                client = self._slots[slot]
            if stale and client is not None and (replicas := self._replicas.get(client)):
                client, before = random.choice(replicas), _READONLY  # noqa: S311  # any will do
            try:
                if client is None:
                    raise UnavailableError("no node of the Redis cluster has this slot") from driver.ClusterDownError("")
                return await client.call(command, **ways, deadline=deadline, before=before)
            except GreenticError as error:
                if not self._may_go_on(client, error, repeatable=ways.get("repeatable", False)):
                    raise
                failure, stale = error, False

    def _may_go_on(self, client: RedisClient | None, failure: GreenticError, *, repeatable: bool) -> bool:
        """Say whether a call that failed like this may be tried again.

        Redis did nothing, or doing it twice is no harm.
        """
        cause = failure.__cause__
        if self._closed or not isinstance(failure, UnavailableError):
            return False
        if isinstance(cause, driver.ResponseError):
            return _is(failure, "MOVED", "ASK", "CLUSTERDOWN", "MASTERDOWN") or "TRYAGAIN" in str(cause)
        if cause is None:  # its node left the cluster while it was in the line
            return client is not None and client.closed
        return repeatable or not isinstance(cause, (LostError, driver.InvalidResponse))

    def _redirect(self, slot: int, failure: GreenticError) -> RedisClient | None:
        """Heed what an answer says of its slot; return the client to ask, for this once."""
        if not _is(failure, "MOVED", "ASK"):
            return None
        host, _, port = str(failure.__cause__).split()[2].rpartition(":")
        if not host:  # the node does not know by which name we know it
            self._read_at = float("-inf")
            return None
        client = self._client_for(self._address(host, int(port)))
        if _is(failure, "ASK"):
            return client
        self._slots[slot] = client
        self._read_at = float("-inf")  # where one slot has moved, others may have
        return None

    # -- the map

    async def _read_map(self, deadline: float, *, anew: bool = False) -> None:
        """Read the map, unless it was just read; concurrent callers share the read and its failure.

        Raises:
            OperationTimeoutError: There was no time.
            PermissionDeniedError: Its user may not read the map.
            UnauthenticatedError: The nodes want another password.
            UnavailableError: No node answers.
        """
        loop = self._keeper.check_loop()
        while (reading := self._reading) is not None:
            try:
                async with asyncio.timeout_at(deadline):
                    failure = await asyncio.shield(reading)
            except TimeoutError as error:
                raise OperationTimeoutError("Redis did not answer in time") from error
            if failure is not None:
                raise type(failure)(str(failure)) from failure
            anew = False
        if not anew and loop.time() - self._read_at < _MIN_MAP_AGE_S:
            return
        done = self._reading = loop.create_future()
        failure = None
        try:
            await self._ask_for_map(deadline)
            self._read_at = loop.time()
        except (UnavailableError, UnauthenticatedError, PermissionDeniedError) as error:
            failure = error
            raise
        finally:
            self._reading = None
            done.set_result(failure)

    async def _ask_for_map(self, deadline: float) -> None:
        known = list(dict.fromkeys([*self._slots_held(), *self._seeds]))
        random.shuffle(known)  # so that a fleet does not ask one node all at once
        loop = self._keeper.check_loop()
        failure: _MapError = UnavailableError("no node of the Redis cluster answers")
        for number, address in enumerate(known):
            now = loop.time()
            # A node that is silent must not use up the time for the others.
            share = now + (deadline - now) / (len(known) - number)
            try:
                found = await self._client_for(address).call(("CLUSTER", "SLOTS"), repeatable=True, deadline=share)
            except GreenticError as error:
                failure = error if isinstance(error, _MapError) else UnavailableError(str(error))
                failure.__cause__ = error.__cause__
                continue
            if self._take(found, address):
                return
        raise failure

    def _slots_held(self) -> list[Address]:
        held = {client for client in self._slots if client is not None}
        return [address for address, client in self._clients.items() if client in held]

    def _take(self, found: list[Any], asked: Address) -> bool:
        """Make the map anew of an answer to CLUSTER SLOTS; False if it is empty.

        A node that has not met the others.
        """
        if not found:
            return False
        slots: list[RedisClient | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        replicas: dict[RedisClient, list[RedisClient]] = {}
        for first, last, primary, *others in found:
            client = self._client_for(self._announced(primary, asked))
            slots[first : last + 1] = [client] * (last - first + 1)
            if self._stale_reads:
                replicas[client] = [self._client_for(self._announced(other, asked)) for other in others]
        self._slots, self._replicas = slots, replicas
        needed = {*slots, *(client for clients in replicas.values() for client in clients)}
        for address, client in list(self._clients.items()):
            if client not in needed and address not in self._seeds:
                del self._clients[address]  # it has left the cluster, or is a replica now
                client.close()
        return True

    def _announced(self, node: list[Any], asked: Address) -> Address:
        host = (node[0] or b"").decode()
        return self._address(host if host not in ("", "?") else asked[0], node[1])

    def _address(self, host: str, port: int) -> Address:
        remap = self._cluster.remap
        return (host, port) if remap is None else remap((host, port))

    def _client_for(self, address: Address) -> RedisClient:
        client = self._clients.get(address)
        if client is None:
            host, port = address
            settings = {**self._cluster.settings, "host": host, "port": port}
            client = RedisClient(self._cluster.connection_class, settings, timeout=self._timeout, max_connections=self._most)
            self._clients[address] = client
        return client


def _is(failure: GreenticError, *codes: str) -> bool:
    """Say whether it is Redis's own answer, with one of these codes."""
    cause = failure.__cause__
    return isinstance(cause, driver.ResponseError) and str(cause).split(" ", 1)[0] in codes


class _Stale:
    """Reads on the way to a cluster that a replica may answer."""

    moving = True
    hold = NO_HOLD

    def __init__(self, cluster: ClusterClient) -> None:
        self._cluster = cluster

    async def call(self, command: tuple[Arg, ...] | Packed, **ways: Unpack[Ways]) -> Any:
        return await self._cluster.call(command, **ways, stale=True)

    async def ping(self) -> None:
        await self._cluster.ping()

    async def servers(self) -> list[RedisClient]:
        return await self._cluster.servers()

    def owners(self) -> tuple[RedisClient | None, ...]:
        return self._cluster.owners()

    async def aclose(self) -> None:
        await self._cluster.aclose()
