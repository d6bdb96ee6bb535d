"""One connection that many calls share: commands are pipelined, answers come in order.

redis-py opens the connection (its handshake, TLS, AUTH and names), then a `SharedConnection` takes
the transport over and feeds what arrives to hiredis, the parser that redis-py uses too. So there is
no task and no stream between the socket and whoever waits: one read of the socket answers all whose
replies are in it, and a lost connection is known at once.

- What one turn of the loop brings goes out in one write. The first call on a quiet connection is
  written at once. While it is the only one, the loop is kept from going to sleep for a tenth of a
  millisecond: a Redis nearby answers sooner than a processor that sleeps has woken up. Where the
  answer was not there so soon, that is left for a while.
- An answer belongs to the call at the head of the queue. A caller that was cancelled, or is late,
  leaves its slot in it, and what comes for it is thrown away. A reply that is an error belongs to
  its caller; one that cannot be parsed ends all.
- `room` says how many more calls a connection should take: fewer the longer its answers have been,
  none while it is sending more than the socket takes or in the middle of a long answer. So what
  stands behind long answers is bounded.
- A long call has a connection to itself: whoever gives it up half way must end the connection,
  and may not end others' calls.
"""

import asyncio
import re
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Protocol, cast

import hiredis
import msgspec
from redis import exceptions as driver

from greentic_session._base.hiding import Hiding, outline

if TYPE_CHECKING:
    from typing import Any

    from .executor import Arg

__all__ = ["LONG_BYTES", "SPIN_PAUSE_CALLS", "SPIN_TURNS", "Call", "ConnectionListener", "LostError", "SharedConnection"]

LONG_BYTES = 2**17
"""Length in bytes from which a command, or an unfinished answer, counts as long."""
_MAX_OUTSTANDING_REPLY_BYTES = 2**22
"""Limit of outstanding reply bytes per connection, estimated as pending calls x mean size."""
_MAX_PENDING_CALLS = 1024
"""How many calls may be under way on one connection."""
_REPLY_MEAN_WINDOW_CALLS = 16
"""Of how many answers the mean is, roughly."""
_PARSER_CHUNK_BYTES = 2**14
"""How many bytes hiredis is fed at once.

With each answer that it takes out it moves all that it has of the next ones.
"""
SPIN_TURNS = 64
"""For how many turns the loop is kept awake."""
SPIN_PAUSE_CALLS = 32
"""Number of calls without spinning, after an answer did not come within `SPIN_TURNS`."""
_HUGE_LIST = re.compile(rb"[*%~>]\d{8,}\r")
"""Head of a list that no command of ours is answered with.

hiredis takes memory for all members as soon as it reads the head. Where the system grants that, the
event loop would stand still for seconds when it is freed.
"""
_HUGE_LIST_WINDOW_BYTES = 32
_INCOMPLETE = object()


class LostError(driver.ConnectionError):
    """The connection ended with the call on it: whether Redis ran the command cannot be said."""


class Call(Hiding, msgspec.Struct, eq=False):
    """One command on its way.

    Attributes:
        packed: Its bytes.
        answer: What its caller waits for.
        deadline: When that ends, by the loop's clock.
        before: The bytes of a command that goes out right before it; nobody waits for its answer.
        undo: The command that undoes it, where its caller waits for the answer no more.
        skipped: How many answers come ahead of its own, to what went out ahead of it.
        connection: Where it was sent; None as long as it was not.
        turn: What its caller waits for before that, in the line.
        followed: Whether two answers are returned: its own, and that to what goes out behind it.
        behind_missing: Whether there is nothing behind it all the same: the second one is None.
        first: The first of them, if that has come.
        long: Whether it takes a connection to itself: the command is long, or its answer will be.
        place: Its number in the line.
        was_long: Whether the answer was long.
    """

    packed: bytes
    answer: "asyncio.Future[Any]"
    deadline: float
    before: bytes | None = None
    undo: "tuple[Arg, ...] | None" = None
    skipped: int = 0
    connection: "SharedConnection | None" = None
    turn: "asyncio.Future[None] | None" = None
    followed: bool = False
    behind_missing: bool = False
    first: "Any" = None
    long: bool = False
    place: int = 0
    was_long: bool = False

    def __repr__(self) -> str:
        return outline(self, "packed", "before", "undo", deadline=getattr(self, "deadline", None))

    def leave(self) -> None:
        """Wait for the answer no more.

        What comes is thrown away, and an error that came is no complaint of the loop's.
        """
        if not self.answer.cancel() and not self.answer.cancelled():
            self.answer.exception()

    def take(self, answer: "Any") -> "Any":
        """Take one of two answers; return both, or the first if it is an error, or None so far."""
        if self.first is None and not self.behind_missing:
            self.first = (answer,)
            return None
        first, second = (answer, None) if self.first is None else (self.first[0], answer)
        if isinstance(first, driver.ResponseError):
            return first
        return first, None if isinstance(second, driver.ResponseError) else second

    def turn_away(self, error: Exception) -> bool:
        """Fail its caller, who waits in the line; False if that is not so."""
        if self.turn is None or self.turn.done():
            return False
        self.turn.set_exception(error)
        return True

    def has_left(self) -> bool:
        """Say whether the caller was cancelled or refused in the queue, and has not run since."""
        turn = self.turn
        return turn is not None and turn.done() and (turn.cancelled() or turn.exception() is not None)


class ConnectionListener(Protocol):
    """Whom a connection tells."""

    def has_room(self, connection: "SharedConnection") -> None:
        """Calls were answered, or can be sent again."""

    def is_lost(self, connection: "SharedConnection") -> None:
        """The connection has ended; every call on it has failed."""


class SharedConnection(asyncio.Protocol):
    """One connection, from the end of its handshake on.

    Args:
        writer: What redis-py made. It is kept: some versions of Python close a transport when its
            writer is forgotten.
        owner: Who is told when there is room, and when the connection is lost.
        loop: The event loop.
        node: What messages call the other end.
    """

    def __init__(
        self, writer: asyncio.StreamWriter, owner: ConnectionListener, loop: asyncio.AbstractEventLoop, node: str
    ) -> None:
        self.pending: deque[Call] = deque()
        self.room: int = _MAX_PENDING_CALLS
        """How many calls may be pending for one more to be sent here."""
        self.node: str = node
        self.answered: bool = False
        """Whether it ever worked."""
        self.given_up: bool = False
        """Whether it ended because of a caller."""
        self._writer = writer
        self._owner = owner
        self._loop = loop
        self._outgoing: list[bytes] = []
        self._unsent = 0
        self._unfinished = 0  # bytes that have come of an answer
        self._mean = 0.0  # bytes of an answer, of late
        self._paused = False
        self._alone = False
        self._retired = False
        self._turns = 0  # that the loop is still kept awake
        self._rest = 0  # calls for which it is not
        self._reader = hiredis.Reader(
            protocolError=driver.InvalidResponse, replyError=driver.ResponseError, notEnoughData=_INCOMPLETE
        )
        self._transport = cast("asyncio.Transport", writer.transport)
        self._transport.set_write_buffer_limits(LONG_BYTES)
        self._transport.set_protocol(self)

    def send(self, call: Call) -> None:
        """Send a call; there must be room for it."""
        if call.before is not None:
            first = Call(call.before, self._loop.create_future(), call.deadline)
            first.answer.cancel()
            self.send(first)
        call.connection = self
        pending, outgoing, packed = self.pending, self._outgoing, call.packed
        size = len(packed)
        pending.append(call)
        if call.long or size > LONG_BYTES:
            self._alone = True
            self._count_room()
        if len(pending) == 1:
            self._transport.write(packed)
            self._keep_awake()
            return
        if not outgoing:
            self._loop.call_soon(self._flush)
        outgoing.append(packed)
        self._unsent += size
        if self._unsent > LONG_BYTES:
            self._flush()

    def is_closing(self) -> bool:
        """Say whether the connection has ended, or is about to."""
        return self._transport.is_closing()

    def is_free(self) -> bool:
        """Say whether nothing is under way, so that a long call may have it to itself."""
        return not self.pending and self.room > 0

    def is_long(self) -> bool:
        """Say whether a long call is under way, or a long answer."""
        return self._alone or self._unfinished > LONG_BYTES

    def give_up(self, call: Call) -> None:
        """Let go of a call whose caller waits no more.

        A long one may be half sent or half answered, so its connection ends with it.
        """
        if self._alone and call in self.pending:
            self.given_up = True
            self.abort()

    def is_late(self, now: float) -> bool:
        """Say whether an answer is late, be it that of a caller who waits no more."""
        return any(call.deadline <= now for call in self.pending)

    def expire(self, now: float, most: int) -> list[Call]:
        """Fail calls that are late, up to so many, and return them.

        The others may still be answered.
        """
        late = [call for call in self.pending if call.deadline <= now and not call.answer.done()][: max(most, 0)]
        for call in late:
            call.answer.set_exception(TimeoutError("no answer in time"))
            self.give_up(call)
        return late

    def retire(self) -> None:
        """Take no more calls, and end when those under way have been answered or given up."""
        self._retired = True
        self.room = 0
        self._end_if_done()

    def abort(self) -> None:
        """End now. What is under way fails soon, when the loop has noticed."""
        self.room = 0
        self._outgoing.clear()
        try:
            self._transport.abort()
        except RuntimeError:
            pass  # its loop is closed, and with it the socket

    # -- what the transport calls

    def data_received(self, data: bytes) -> None:
        """Hand out the answers that are complete."""
        reader, pending, under_way = self._reader, self.pending, len(self.pending)
        if self._unfinished > LONG_BYTES and pending:
            pending[0].was_long = True
        try:
            # Where it begins what came, or ends it: a look at all would cost as much as parsing.
            if _HUGE_LIST.match(data) or _HUGE_LIST.search(data[-_HUGE_LIST_WINDOW_BYTES:]):
                raise driver.InvalidResponse  # noqa: TRY301  # it ends as what cannot be parsed
            for start in range(0, len(data), _PARSER_CHUNK_BYTES):
                reader.feed(data, start, min(_PARSER_CHUNK_BYTES, len(data) - start))
                gets = reader.gets
                while (answer := gets()) is not _INCOMPLETE:
                    call = pending[0]
                    if call.skipped:
                        call.skipped -= 1
                        if call.skipped:  # those of a block, counted without a step of Python for each
                            call.skipped -= len([*islice(iter(gets, _INCOMPLETE), call.skipped)])
                        continue
                    if call.followed and (answer := call.take(answer)) is None:
                        continue
                    pending.popleft()
                    waiting = call.answer
                    if waiting.done():
                        continue
                    if isinstance(answer, driver.ResponseError):
                        waiting.set_exception(answer)
                    else:
                        waiting.set_result(answer)
        except (driver.InvalidResponse, IndexError, MemoryError):
            # Not Redis's protocol, an answer that nobody asked for, or a list longer than the
            # memory.
            self._fail(lambda: driver.InvalidResponse("this is not Redis's protocol"))
            self.abort()
            return
        self._unfinished += len(data)
        if count := under_way - len(pending):
            self.answered = True
            rest = reader.len()  # of the next answer; less than a kilobyte of it may be read already
            self._mean += ((self._unfinished - rest) / count - self._mean) * count / (count + _REPLY_MEAN_WINDOW_CALLS)
            self._unfinished = rest
            self._alone = self._alone and bool(pending)
        self._count_room()
        if self._retired:
            self._end_if_done()
        else:
            self._owner.has_room(self)

    def pause_writing(self) -> None:
        """Take no more calls: the socket does not take what is sent."""
        self._paused = True
        self._count_room()

    def resume_writing(self) -> None:
        """Take calls again."""
        self._paused = False
        self._count_room()
        if not self._retired:
            self._owner.has_room(self)

    def eof_received(self) -> None:
        """End now: the transport would send the rest first, which nobody may read."""
        self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail whatever is under way."""
        self.room = 0
        self._outgoing.clear()  # uvloop lets nobody write to what is closed
        self._fail(lambda: _ended(exc))
        self._owner.is_lost(self)

    # -- within

    def _keep_awake(self) -> None:
        """Keep the loop from sleeping while there is one call, if that was of use lately."""
        if self._rest:
            self._rest -= 1
            return
        if not self._turns:
            self._loop.call_soon(self._stay_awake)
        self._turns = SPIN_TURNS

    def _stay_awake(self) -> None:
        if len(self.pending) != 1:
            self._turns = 0
            return
        self._turns -= 1
        if self._turns:
            self._loop.call_soon(self._stay_awake)
        else:
            self._rest = SPIN_PAUSE_CALLS

    def _flush(self) -> None:
        outgoing = self._outgoing
        if outgoing:
            self._outgoing, self._unsent = [], 0
            # Not `writelines`: in Python 3.12.0 to 3.12.8, 3.13.0 and 3.13.1 it never calls
            # pause_writing (CVE-2024-12254).
            self._transport.write(b"".join(outgoing))

    def _count_room(self) -> None:
        if self._retired or self._paused or self._alone or self._unfinished > LONG_BYTES:
            self.room = 0
        else:
            self.room = max(1, min(_MAX_PENDING_CALLS, int(_MAX_OUTSTANDING_REPLY_BYTES / (self._mean + 1))))

    def _fail(self, error: Callable[[], Exception]) -> None:
        while self.pending:
            call = self.pending.popleft()
            if not call.answer.done():
                call.answer.set_exception(error())

    def _end_if_done(self) -> None:
        # One with an `undo` is not done before its caller, who was cancelled or is late, has run
        # and sent that: behind it, on this connection.
        if all(call.answer.done() and call.undo is None for call in self.pending):
            self.abort()


def _ended(cause: Exception | None) -> Exception:
    error = LostError("the connection ended")
    error.__cause__ = cause
    return error
