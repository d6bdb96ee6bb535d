"""The way to one Redis: a few connections that all calls share.

A pool of connections, one for each call under way, costs a Python client several times what the
commands themselves cost: every call takes a socket of its own through the event loop, to send and
to read. Here calls travel together (see `connection`). The first connection carries nearly
everything; another one is opened only where a call would have to wait behind long answers, or needs
a connection to itself because it is long. What finds no room waits in a line, first come first
served, so nothing grows without bound but the lines of the callers themselves. The only task is the
one that opens a connection while calls wait for one: it is nobody's, so that a caller who is
answered, late or cancelled neither waits for it nor ends it for the others.

Long calls have a line of their own, and never all connections; see `call_length`. With one
connection there is one line.

The promises:

- A write is sent once. redis-py repeats a failed command, by default ten times; here only what
  changes nothing is sent again, once, and only when the connection turned out to be dead, or to
  lead to a node that does not serve any more.
- One deadline holds for the whole of a call, from waiting in the line to reading the answer. One
  timer serves all calls: it looks at them when the oldest of them may be late, which under load is
  once in a `timeout`.
- However many calls are late, or share a failure, the event loop goes on: they are told of it a few
  at a time, and leave the line in a few steps each.
- What a call took for a caller who does not get to know of it (a claim, say) is given back: the
  command that undoes it goes out behind it on the same connection, so that it takes effect after
  it; where that is lost, on another one.
- A call that is cancelled or late leaves its neighbours alone. A connection on which one was late
  may be dead, though: it takes no new calls, and ends when the others on it have had theirs.
- Connecting is tried at once, and after failures with a delay that doubles, up to a second, with
  jitter. Whoever waits when an attempt fails shares its failure, so nobody waits longer for being
  later.
- Redis errors, redis-py's and the socket's become GreenticErrors here, in one place.
"""

import asyncio
from collections.abc import Collection, Mapping
from contextvars import Context
from threading import get_ident
from typing import Any

from redis import exceptions as driver
from redis.asyncio.connection import AbstractConnection

from greentic_session.errors import GreenticError, OperationTimeoutError, UnavailableError

from .alarm import Alarm
from .answers import foreign
from .call_length import CallLengths, choose, may_be_long
from .call_queue import MAX_FAILURES_PER_TURN, CallQueues
from .connection import LONG_BYTES, Call, SharedConnection
from .connections import Connections
from .dialer import Dialer, Finder
from .errors import is_demotion, translate
from .executor import NO_HOLD, Arg, Packed, Pieces
from .joined_calls import join
from .packing import pack
from .script_loads import ScriptLoads
from .undoing import Undoing

__all__ = ["RedisClient"]

_DEADLINE_GRAIN_S = 0.005
"""How far apart looks at the deadlines are at least, in seconds."""
_CLOSE_TIMEOUT_S = 1.0
"""For how many seconds closing waits for the answers under way."""


class RedisClient:
    """Sends commands to one Redis.

    Args:
        connection_class: One of redis-py's asyncio connections.
        settings: Its arguments.
        timeout: For how many seconds a call may take, everything included.
        max_connections: How many connections there may be.
        finder: Knows where that Redis is, if the settings do not.
    """

    moving = False
    hold = NO_HOLD

    def __init__(
        self,
        connection_class: type[AbstractConnection],
        settings: Mapping[str, Any],
        *,
        timeout: float,
        max_connections: int,
        finder: Finder | None = None,
    ) -> None:
        self._dialer = Dialer(connection_class, settings, finder)
        self._finder = finder
        if finder is not None:
            finder.serve(self)
        self._timeout = timeout
        self._most = max_connections
        self._connections = Connections()
        self._queues = CallQueues(apart=max_connections > 1)
        self._lengths = CallLengths()
        self._in_line = 0
        self._opening: asyncio.Task[None] | None = None
        self._alarm = Alarm(self._look)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: int | None = None
        self._undoing = Undoing(self.call, timeout)
        self._loads = ScriptLoads()
        self._closed = False

    async def call(
        self,
        command: tuple[Arg, ...] | Packed,
        *,
        repeatable: bool = False,
        answers: tuple[type, ...] | None = None,
        script: str | None = None,
        deadline: float | None = None,
        before: bytes | None = None,
        undo: tuple[Arg, ...] | None = None,
        ahead: Pieces | None = None,
        behind: tuple[Arg, ...] | None = None,
    ) -> Any:
        """Send a command and return its answer, as bytes, ints, lists and None.

        Args:
            command: The command and its arguments; or several, packed, of which the last one is
                answered.
            repeatable: Whether sending it twice does what sending it once does.
            answers: Of which types its answer may be, NoneType among them; None for any.
            script: If the command is EVALSHA, the script: sent with EVAL where the server answers
                that it does not know it, once for all calls that this meets at a time.
            deadline: When the call ends, by the loop's clock; by default in a `timeout`.
            before: A packed command to be sent right before it, whose answer nobody wants.
            undo: A command that undoes it, for the time after it; sent if the caller is cancelled
                or late, or the connection is lost, while the command is under way.
            ahead: A packed command that goes out ahead of it, whatever comes of it.
            behind: A command that goes out behind it in the same write. Then two answers are
                returned; the second is None if that command failed, or was not sent: where another
                one comes `before`.

        Raises:
            GreenticError: As `errors.translate` has it, from the driver's error.
            InternalError: The answer is of another type.
        """
        loop = self._loop
        # Not asyncio.get_running_loop(): before Python 3.12 that asks the kernel who we are, every
        # time.
        if loop is None or self._closed or self._thread != get_ident() or not loop.is_running():
            loop = self.check_loop()
        if deadline is None:
            deadline = loop.time() + self._timeout
        packed, skipped, about = (
            (command.text, command.commands - 1, command.about)
            if isinstance(command, Packed)
            else (pack(command), 0, command)
        )
        while True:
            if deadline < self._alarm.at:
                self._alarm.set(loop, deadline)
            call = Call(packed, loop.create_future(), deadline, before, undo, skipped)
            if ahead is not None or behind is not None:
                join(call, ahead, behind)
            scripts = self._loads.sent
            lengths, connections = self._lengths, self._connections.current
            long = call.long = len(call.packed) > LONG_BYTES if not lengths.known else lengths.is_long(about, call.packed)
            try:
                connection = (
                    self._find_behind(call)
                    if self._in_line
                    else connections[0]  # as `choose` has it, without a call
                    if not long and connections and len(connections[0].pending) < connections[0].room
                    else choose(connections, self._most, call)
                )
                if connection is not None:
                    connection.send(call)
                else:
                    await self._wait_in_line(call)
                answer = await call.answer
            except driver.ResponseError as error:
                text = str(error)
                if script is not None and text.startswith("NOSCRIPT"):
                    # It has restarted, or somebody flushed its scripts. EVAL runs and loads it, in
                    # one step; nothing was done before, so this is no repetition.
                    packed, script = self._loads.again(about, script, packed, scripts)
                    continue
                if is_demotion(text) and self._leads_on(call) and repeatable:
                    repeatable = False
                    continue
                raise translate(error, self._node_of(call)) from error
            except (driver.RedisError, OSError) as error:
                call.leave()
                if repeatable and call.connection is not None and isinstance(error, driver.ConnectionError):
                    repeatable = False
                    continue
                self._undoing.take_back(call)
                if isinstance(error, GreenticError):
                    raise
                raise translate(error, self._node_of(call)) from error
            except BaseException:  # cancelled, that is
                self._give_up(call)
                raise
            if call.was_long is not long:
                self._lengths.learn(about, long=call.was_long)
            if answers is not None and type(answer if behind is None else answer[0]) not in answers:
                raise foreign()
            return answer

    def _leads_on(self, call: Call) -> bool:
        """Leave a primary that is none any more; say whether it is known where the next one is."""
        # Behind an address that fails over, new connections lead to the new one.
        if call.connection in self._connections.current:
            self._connections.retire_all()
        return self._finder is not None

    def _give_up(self, call: Call) -> None:
        """Let a call go whose caller was cancelled."""
        call.leave()
        if call.connection is not None:
            self._undoing.take_back(call)
            call.connection.give_up(call)

    async def ping(self) -> None:
        """Return if Redis answers.

        Raises:
            UnavailableError: It does not.
        """
        try:
            await self.call(("PING",), repeatable=True)
        except OperationTimeoutError as error:
            raise UnavailableError(error.message) from error

    async def servers(self) -> "list[RedisClient]":
        """Return this one: see `Executor`."""
        return [self]

    def owners(self) -> "tuple[RedisClient, ...]":
        """Return this one: it has all keys."""
        return (self,)

    @property
    def node(self) -> str:
        """Where it leads: ``host:port``, or the path of a socket."""
        return self._dialer.node

    @property
    def closed(self) -> bool:
        """Whether it takes no more calls."""
        return self._closed

    def close(self) -> None:
        """Take no more calls. Those in the line fail; those under way get their answers."""
        self._closed = True
        if self._finder is not None:
            self._finder.close()
        if self._opening is not None and not self._opening.get_loop().is_closed():
            self._opening.cancel()
        self._queues.turn_all_away(UnavailableError("the store is closed"), self._loop)
        self._connections.retire_all()

    async def aclose(self) -> None:
        """Close, after waiting a second at most for the answers under way; idempotent."""
        self.close()
        try:
            if self._loop is not None and self._loop is asyncio.get_running_loop():
                async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                    if self._opening is not None:
                        await asyncio.wait([self._opening])
                    await self._connections.ended()
        except TimeoutError:
            pass
        finally:
            self._connections.abort()

    # -- what a connection tells

    def has_room(self, connection: SharedConnection) -> None:
        """Send what waits in the line, as far as there is room."""
        if connection.answered:
            self._dialer.succeeded()
        self._queues.serve(self._find_connection)

    def is_lost(self, connection: SharedConnection) -> None:
        """Forget a connection. One that never worked counts as a failure to connect."""
        if self._connections.lose(connection) and not connection.answered and not connection.given_up:
            self._dialer.failed(asyncio.get_running_loop().time())
        self._serve()

    # -- what a finder tells

    def keep(self, nodes: Collection[str], *, at_once: bool) -> None:
        """Leave all nodes but these.

        Args:
            nodes: As `Dialer.dial` returns them.
            at_once: Let the calls that are under way elsewhere fail: what they write there would be
                lost.
        """
        self._connections.keep(nodes, at_once=at_once)
        self._dialer.moved()
        self._serve()

    # -- the line

    def _find_behind(self, call: Call) -> SharedConnection | None:
        """Return a connection for a call; whoever waits in its line goes before it."""
        return None if self._queues.of(call) else self._find_connection(call)

    def _find_connection(self, call: Call) -> SharedConnection | None:
        return choose(self._connections.current, self._most, call, long_waits=self._queues.long_waits)

    def _may_open(self, call: Call) -> bool:
        """Say whether a connection may be opened for a call that waits."""
        connections = self._connections.current
        return len(connections) < self._most and (not call.long or may_be_long(connections, self._most))

    def _serve(self) -> None:
        """Send what connections have room for; where calls still wait, begin to open another."""
        self._queues.serve(self._find_connection)
        if self._opening is None and not self._closed and self._queues.any_first(self._may_open):
            # An empty context: the connection is not of the trace, say, in which the call came.
            self._opening = asyncio.get_running_loop().create_task(self._open(), context=Context())

    async def _wait_in_line(self, call: Call) -> None:
        """Return when a call was sent."""
        if self._closed:
            raise UnavailableError("the store is closed")
        call.turn = asyncio.get_running_loop().create_future()
        line = self._queues.of(call)
        line.join(call)
        self._in_line += 1
        try:
            self._serve()
            await call.turn
        finally:
            line.leave(call)
            self._in_line -= 1
            self._serve()

    # -- connections

    async def _open(self) -> None:
        """Open a connection for the calls that wait, and send what it has room for.

        If that fails and there is no other connection, all who wait share the failure. A failure by
        time is told to nobody: each call has a deadline of its own.
        """
        loop = asyncio.get_running_loop()
        try:
            await asyncio.sleep(self._dialer.not_before - loop.time())
            if not self._queues.any_first(self._may_open):
                return
            limit = asyncio.timeout(self._timeout)
            try:
                async with limit:
                    writer, node = await self._dialer.connect()
            except Exception as error:  # noqa: BLE001  # be it a fault of a credential provider: its callers get it
                self._dialer.failed(loop.time())
                if not self._connections.current and not limit.expired():
                    self._queues.turn_all_away(error, loop)
            else:
                self._connections.current.append(SharedConnection(writer, self, loop, node))
        finally:
            self._opening = None
            if not self._closed:
                self._serve()

    def _node_of(self, call: Call) -> str:
        return self._dialer.node if call.connection is None else call.connection.node

    # -- time, and the loop

    def _look(self) -> None:
        """Fail the calls that are late, and look again when the next one may be."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        left = MAX_FAILURES_PER_TURN
        for connection in self._connections.all():
            for call in connection.expire(now, left):
                left -= 1
                self._undoing.take_back(call)
            self._connections.retire_late(connection, now)
        # Those in the line came later than those under way.
        left -= self._queues.turn_late_away(now, left, self._dialer.timed_out)
        self._serve()
        if self._finder is not None:
            self._finder.look()
        if (earliest := self._earliest()) is not None:
            # Where more of them are late, they are told in the next turn of the loop.
            soonest = now if left <= 0 else now + _DEADLINE_GRAIN_S
            self._alarm.set(loop, max(soonest, earliest))

    def _earliest(self) -> float | None:
        """Return the earliest deadline of all calls; None if nothing is under way."""
        return min(self._queues.deadlines() + self._connections.deadlines(), default=None)

    def check_loop(self) -> asyncio.AbstractEventLoop:
        """Return the running event loop.

        Raises:
            UnavailableError: It is another one than the client's, or none of asyncio's; or the
                client is closed.
        """
        if self._closed:
            raise UnavailableError("the store is closed")
        try:
            running = asyncio.get_running_loop()
        except RuntimeError as error:
            raise UnavailableError("a Redis store runs on asyncio only") from error
        if self._loop is None:
            self._loop, self._thread = running, get_ident()
        elif self._loop is not running:
            raise UnavailableError("a Redis store serves the event loop in which it was first used; make one for each")
        return running
