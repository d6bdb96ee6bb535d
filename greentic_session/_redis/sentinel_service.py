"""Where the primary of a service is, and its replicas, as Redis's sentinels tell.

As the guideline for clients of sentinels wants it, each new connection asks them, and ROLE has the
last word: what is no primary gets no call. All sentinels are asked at once. One that was away may
tell what was, so of those that answer soon the one with the latest configuration is believed:
sentinels number them.

A failover makes a second primary, and the old one, if it lives, takes writes for some ten seconds
more, which are lost when it becomes a replica. Nothing on its connections tells. So with each
answer we subscribe to what the sentinels tell of a failover. The one that leads it tells which
replica it is about to promote, a tenth of a second before: from that moment on no call goes to the
old primary, and new ones wait until ROLE says that the replica is one, which the sentinels
themselves see up to a second later. Calls to the old one that are under way still then fail: their
answers might be of what is lost. What was told outweighs what is answered until an answer is of a
later configuration than any before: when the leader is slow to answer, the others still name the
old primary.

Subscriptions may be lost too. So as long as there are calls the sentinels are asked again whenever
the client looks at its deadlines, once in a `timeout`, and that renews the subscriptions. There is
no task but that one question, which ends soon, or when the store is closed. What remains: a write
that the old primary acknowledged and had not yet sent to its replicas is lost, as ever in Redis;
``min-replicas-to-write`` in the servers' configuration bounds that.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from random import sample
from typing import Any, cast

import msgspec
from redis import exceptions as driver
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection
from redis.asyncio.sentinel import MasterNotFoundError, SentinelConnectionPool

from greentic_session.errors import InvalidInputError, UnavailableError

from .client import RedisClient
from .dialer import Check, Dialer, Mover, Opened, node_of
from .errors import is_unresolved
from .sentinel import Address, Answer, Sentinel

__all__ = ["make_service_clients"]

_CONNECT_SHARE = 1 / 3
"""Share of a call's time for connecting to a server; sentinels that do not answer get the rest."""
_ANSWER_GRACE_S = 0.1
"""Seconds to wait for the other sentinels after the first answer."""
_PROMOTION_TIMEOUT_S = 3.0
"""For how many seconds a replica may be about to become a primary.

Sentinels look at it every second.
"""
_CONFIG_SPREAD_S = 10.0
"""For how many seconds some sentinels may not know yet what another one told.

They may have to write it to a slow disk.
"""
_AUTH_ERRORS = ("NOAUTH", "NOPERM", "WRONGPASS")
_ROLE_POLL_INTERVAL_S = 0.01
"""Interval of asking a node for its ROLE, in seconds."""


class _Told(msgspec.Struct, frozen=True):
    """What a sentinel told by itself.

    Attributes:
        primary: Where the primary is.
        done: Whether it is one already.
        epoch: The latest configuration then; an answer of a later one includes this.
        until: When it does not count any more, by the loop's clock.
    """

    primary: Address
    done: bool
    epoch: int
    until: float


class _Service:
    """A service, as its sentinels tell.

    Args:
        pool: That of a client made by redis-py's Sentinel; only its settings are used.
        timeout: For how many seconds a call may take.
    """

    def __init__(self, pool: SentinelConnectionPool, timeout: float) -> None:
        manager = pool.sentinel_manager
        self.name = str(pool.service_name)
        self.switches = 0
        """How many switches were told of."""
        self.patience = timeout * _CONNECT_SHARE
        self._finders: list[_Finder] = []
        self._least = int(manager.min_other_sentinels)
        self._host: str | None = getattr(manager, "_force_master_ip", None)
        self._epoch = 0
        self._told: _Told | None = None
        self._looking: asyncio.Task[None] | None = None
        self._closed = False
        pools = [client.connection_pool for client in manager.sentinels]
        self._sentinels = [
            Sentinel(each.connection_class, each.connection_kwargs, timeout - self.patience, self.name, self._switched)
            for each in pools
        ]

    def add(self, finder: "_Finder") -> None:
        """Tell this finder of switches, and what comes of looking."""
        self._finders.append(finder)

    async def ask(self, patience: float = _ANSWER_GRACE_S) -> Answer:
        """Return what the sentinels say; they are waited for so long after the first, in seconds.

        Raises:
            RedisError, OSError: None of them has an answer.
        """
        if self._closed:
            raise UnavailableError("the store is closed")
        asked = {asyncio.ensure_future(sentinel.ask()) for sentinel in self._sentinels}
        found: list[Answer] = []
        errors: list[Exception] = []
        try:
            waiting = asked
            while waiting and not found:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                self._sort(done, found, errors)
            if waiting:
                done, waiting = await asyncio.wait(waiting, timeout=patience)
                self._sort(done, found, errors)
        finally:
            for each in asked:
                each.cancel()
        if not found:
            raise _worst(errors)
        best = max(found, key=lambda answer: answer.epoch)
        self._epoch = max(self._epoch, best.epoch)
        told = self._news()
        best.primary = self._seen(best.primary) if told is None else told.primary
        return best

    def is_promised(self, place: Address) -> bool:
        """Say whether a replica is about to become the primary."""
        told = self._news()
        return told is not None and told.primary == place and not told.done

    def opened(self, place: Address) -> None:
        """Take it that a promise is kept: this is the primary."""
        if self.is_promised(place):
            self._tell(place, done=True)

    def demoted(self, place: Address) -> None:
        """Note that a node is no primary any more, and trust the answers of the sentinels again."""
        told = self._news()
        if told is not None and told.primary == place and told.done:
            self._told = None

    def look(self) -> None:
        """Ask again, and leave what is not right any more."""
        if not self._closed and (self._looking is None or self._looking.done()):
            self._looking = asyncio.ensure_future(self._look())

    def close(self) -> None:
        """End the connections to the sentinels; idempotent."""
        self._closed = True
        if self._looking is not None:
            self._looking.cancel()
        for sentinel in self._sentinels:
            sentinel.close()

    async def _look(self) -> None:
        known, switches = self._epoch, self.switches
        try:
            answer = await self.ask(self.patience)
        except (driver.RedisError, OSError):
            return  # what we have may be good
        if answer.epoch >= known and switches == self.switches:  # else it is known better already
            for finder in self._finders:
                finder.settle(answer)

    def _sort(
        self, done: Collection["asyncio.Task[Answer | Exception]"], found: list[Answer], errors: list[Exception]
    ) -> None:
        for each in done:
            result = each.result()
            if isinstance(result, Exception):
                errors.append(result)
            elif result.others >= self._least:
                found.append(result)

    def _seen(self, place: Address) -> Address:
        return place if self._host is None else (self._host, place[1])

    def _switched(self, primary: Address, done: bool) -> None:  # noqa: FBT001  # as a `Tell` has it
        self.switches += 1
        self._tell(self._seen(primary), done=done)

    def _tell(self, primary: Address, *, done: bool) -> None:
        until = asyncio.get_running_loop().time() + (_CONFIG_SPREAD_S if done else _PROMOTION_TIMEOUT_S)
        self._told = _Told(primary, done, self._epoch, until)
        for finder in self._finders:
            finder.switched(primary, done=done)

    def _news(self) -> _Told | None:
        """Return what was told last, as long as the sentinels may not all know it."""
        told = self._told
        if told is not None and (self._epoch > told.epoch or asyncio.get_running_loop().time() > told.until):
            told = self._told = None
        return told


def _worst(errors: Sequence[Exception]) -> Exception:
    """Return what to say where no sentinel has an answer: what a person has to mend goes first."""
    for error in errors:
        if isinstance(error, driver.AuthenticationError | driver.NoPermissionError) or str(error).startswith(_AUTH_ERRORS):
            return error
    if errors and all(is_unresolved(error) for error in errors):
        return errors[0]
    error = MasterNotFoundError("no sentinel has an answer")
    error.__cause__ = errors[0] if errors else None
    return error


class _Finder(ABC):
    """What both kinds have in common: see `dialer.Finder`."""

    def __init__(self, service: _Service) -> None:
        self.node = self._name = f"sentinel service '{service.name}'"
        self._service = service
        self._movers: list[Mover] = []
        service.add(self)

    def serve(self, mover: Mover) -> None:
        """Tell this one when to leave a node."""
        self._movers.append(mover)

    async def connect(self, dialer: Dialer) -> Opened:
        """Open a connection to the node that the sentinels name; again after a switch meanwhile."""
        while True:
            switches = self._service.switches
            self.node = self._name
            try:
                writer, node = await self._open(dialer, await self._service.ask())
            except (driver.RedisError, OSError):
                if switches == self._service.switches:
                    raise
            else:
                if switches == self._service.switches:
                    return writer, node
                writer.transport.abort()

    def look(self) -> None:
        """Ask the sentinels in a while."""
        self._service.look()

    def close(self) -> None:
        """End the connections to the sentinels."""
        self._service.close()

    async def _dial(self, dialer: Dialer, check: Check, place: Address) -> Opened:
        host, port = place
        self.node = node_of(host, port)
        async with asyncio.timeout(self._service.patience):  # a host that has died answers nothing; another may serve soon
            return await dialer.dial(check, host=host, port=port)

    def _keep(self, nodes: Collection[str], *, at_once: bool) -> None:
        for mover in self._movers:
            mover.keep(nodes, at_once=at_once)

    @abstractmethod
    async def _open(self, dialer: Dialer, answer: Answer) -> Opened:
        """Open a connection to where an answer points."""

    @abstractmethod
    def settle(self, answer: Answer) -> None:
        """Leave what is not right by this answer."""

    @abstractmethod
    def switched(self, primary: Address, *, done: bool) -> None:
        """Take it that this is the primary now; or will be in a moment, if that is not done yet."""


class _Primary(_Finder):
    """Leads to the primary."""

    async def _open(self, dialer: Dialer, answer: Answer) -> Opened:
        while True:
            try:
                opened = await self._dial(dialer, _check_primary, answer.primary)
            except MasterNotFoundError:
                if not self._service.is_promised(answer.primary):
                    self._service.demoted(answer.primary)
                    raise
                await asyncio.sleep(_ROLE_POLL_INTERVAL_S)
            else:
                self._service.opened(answer.primary)
                return opened

    def settle(self, answer: Answer) -> None:
        self.switched(answer.primary, done=True)

    def switched(self, primary: Address, *, done: bool) -> None:
        self._keep({node_of(*primary)}, at_once=done)


class _Replica(_Finder):
    """Leads to one of the replicas; to the primary where none can serve."""

    async def _open(self, dialer: Dialer, answer: Answer) -> Opened:
        for replica in sample(answer.replicas, len(answer.replicas)):
            try:
                return await self._dial(dialer, _check_replica, replica)
            except (driver.RedisError, OSError):
                continue
        return await self._dial(dialer, _check_primary, answer.primary)

    def settle(self, answer: Answer) -> None:
        self._keep({node_of(*each) for each in answer.replicas or [answer.primary]}, at_once=False)

    def switched(self, primary: Address, *, done: bool) -> None:  # noqa: ARG002  # it was a replica of the old one, perhaps ours
        self._service.look()


async def _role(connection: AbstractConnection) -> list[Any]:
    await connection.send_command("ROLE")
    return cast("list[Any]", await connection.read_response())


async def _check_primary(connection: AbstractConnection) -> None:
    if (await _role(connection))[0] != b"master":
        raise MasterNotFoundError("what the sentinels call the primary is a replica")


async def _check_replica(connection: AbstractConnection) -> None:
    role = await _role(connection)
    if role[0] != b"slave" or role[3] != b"connected":
        raise driver.ConnectionError("this replica does not follow its primary")


def make_service_clients(
    pool: SentinelConnectionPool, timeout: float, max_connections: int, *, stale_reads: bool
) -> tuple[RedisClient, RedisClient]:
    """Return a client to the primary of a service, and one for reading: to a replica, or the same.

    Args:
        pool: That of a client made by redis-py's Sentinel, of `master_for`; only its settings are
            used.
        timeout: For how many seconds a call may take.
        max_connections: How many connections each client may have.
        stale_reads: Whether to read from replicas.

    Raises:
        InvalidInputError: The client was made by `slave_for`.
        TypeError: There is a setting that redis-py does not know.
    """
    if not pool.is_master:
        raise InvalidInputError("client must lead to the primary: make it with master_for")
    kind = SSLConnection if issubclass(pool.connection_class, SSLConnection) else Connection
    settings = {name: value for name, value in pool.connection_kwargs.items() if name != "connection_pool"}
    service = _Service(pool, timeout)
    finders = [_Primary(service), *([_Replica(service)] if stale_reads else [])]
    clients = [
        RedisClient(kind, settings, timeout=timeout, max_connections=max_connections, finder=each) for each in finders
    ]
    return clients[0], clients[-1]
