"""On a cluster: which users have something that is ready.

What is ready, or will be, stands in the slot of its user, in a sorted set of places by when they
are due, and changes there in one step with what makes it so. A looker does not know which slot to
ask. So an index in a slot of its own, ``{namespace}:{:ready}``, names users: an entry is a user, a
nonce, and by when it is due. `lua/includes/ready_index.lua` keeps it as on a single server, with
users in the place of places.

What must hold: **whenever something of a user is ready, an entry of the user is due.** The index
may name too much, and too early; never too little, or too late. Two slots cannot be changed in one
step; these rules take the place of that, as with `owner_pointers`:

1. An entry is written before the step that makes it true. The slot notes which entry it counts on:
   its nonce, and by when it is due at the latest (``named``, see `lua/includes/step_ends.lua`). A
   step behind which something would be due before that is undone, and says by when an entry must be
   due; the client writes it, and takes the step again with the nonce of the entry.
2. Clients share an entry: who writes one where one is there makes it due earlier, if need be, and
   takes its nonce. Nothing but rule 3 makes an entry due later, or takes it out.
3. Who looks, and finds nothing, or has claimed what there was, bars the entry in the slot: in that
   very step, before the index is changed. The step notes a new nonce, and when there will be
   something; then the looker lets the entry have this nonce and be due then, or takes it out, but
   only if it still has the nonce by which the looker came.
4. A step that is given a barred entry is undone. Its client writes an entry with a new nonce over
   it, as early as the old one was, so that a looker under way changes nothing any more. What is
   barred is remembered for 120 s, which is longer than a call is on its way.

Many may look at the same time. Each is sent to another user, as long as more are due: where
somebody looks is noted for a second, or until the entry is changed. That is a hint, no promise.

Whoever dies between two steps leaves an entry that is named too early, or of nothing: the next
looker comes by, and sees to it. Each server has a clock of its own, so only lengths of time go from
one to the other: those that are written begin before the step, those of a looker before it looks.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeAlias, TypeVar, Unpack

from greentic_session._redis.answers import foreign, number
from greentic_session._redis.executor import NO_HOLD, Arg, Executor, Packed, ServerExecutor, Ways
from greentic_session._redis.scanning import glob_of

from .keys import ClusterKeys
from .owner_pointers import Reservation, new_nonce
from .scripts import script

__all__ = [
    "Ask",
    "Entries",
    "Entry",
    "Named",
    "OutlivesError",
    "SlotExecutor",
    "UnnamedError",
    "hold_of",
    "left_of",
    "looking",
]

T = TypeVar("T")

W = TypeVar("W")

Ask: TypeAlias = Callable[[W], Awaitable[T]]
"""What is asked of a slot, by a way to it: an executor, or the operations there."""

Reserve: TypeAlias = Callable[[str, str, int | None, str], Awaitable[Reservation]]
"""Reserves a session key, as `Pointers.reserve`: key, hash tag, lifetime, replaced nonce."""

_MONTH = 32 * 86_400_000
"""For how many ms an entry lives at least that is written before its step was tried."""
_REMEMBERED = 65_536
"""Number of users whose entries a client remembers."""


_MOVE = script("move_ready", int)
_NAME = script("name_ready")
_NEXT = script("next_ready")


class UnnamedError(Exception):
    """No entry is due early enough for a step; nothing was done. It is caught.

    Attributes:
        due_ms: In how many ms one must be due.
        lives_ms: For how many it must live.
        barred: The nonce of the one that was given, if that is barred.
    """

    def __init__(self, due_ms: int, lives_ms: int, barred: str) -> None:
        super().__init__()
        self.due_ms = due_ms
        self.lives_ms = lives_ms
        self.barred = barred


class OutlivesError(Exception):
    """A session would live longer than its owner pointer; nothing was done. It is caught.

    Attributes:
        key: The session key.
        ttl_ms: How long it would live; None for ever.
    """

    def __init__(self, key: str, ttl_ms: int | None) -> None:
        super().__init__()
        self.key = key
        self.ttl_ms = ttl_ms


@dataclass(frozen=True)
class Entry:
    """An entry that was written.

    Attributes:
        nonce: Names it.
        due_ms: In how many ms it is due at the latest, from when a step is given it.
        lives_ms: For how many ms it lives.
    """

    nonce: str
    due_ms: int
    lives_ms: int


@dataclass(frozen=True)
class Named:
    """An entry that was due.

    Attributes:
        tag: The hash tag of the user.
        nonce: Names it.
        at_ms: The time of the index's server, in ms since the epoch.
        lives_ms: For how many ms it lives.
    """

    tag: str
    nonce: str
    at_ms: float
    lives_ms: int


def hold_of(entry: Entry | None = None, held: Reservation | None = None) -> str:
    """Return what a step is allowed: to count on an entry, and to use a reservation."""
    named = "- - -" if entry is None else f"{entry.nonce} {entry.due_ms} {entry.lives_ms}"
    return f"{named} {'- -' if held is None else f'{held.nonce} {held.lives}'} -"


def left_of(told: int | bytes) -> int | None:
    """Return in how many ms there is something, as a looker's step tells it; None for never."""
    return None if told == b"" else number(told)


def looking(entry: Named, nonce: str, held: Reservation | None = None) -> str:
    """Return what a looker's step is given: the entry is barred, and that nonce is the next."""
    pointer = "- -" if held is None else f"{held.nonce} {held.lives}"
    return f"{nonce} 0 {entry.lives_ms} {pointer} {entry.nonce}"


class Entries:
    """The index of one namespace."""

    def __init__(self, executor: Executor, keys: ClusterKeys) -> None:
        self._executor = executor
        self._within = keys.index
        self._remembered: dict[str, float] = {}

    def is_remembered(self, tag: str, due_ms: int) -> bool:
        """Say whether a user's entry is due by then, for all that is known here."""
        by = self._remembered.get(tag)
        return by is not None and monotonic() < by <= monotonic() + due_ms / 1000

    def forget(self, tag: str) -> None:
        """Drop what is known of a user."""
        self._remembered.pop(tag, None)

    async def name(self, tag: str, due_ms: int, lives_ms: int = _MONTH, replaced: str = "") -> Entry:
        """Write an entry.

        Args:
            tag: The hash tag of the user.
            due_ms: In how many ms it is due at the latest.
            lives_ms: For how many ms it lives at least.
            replaced: The nonce that was barred; "" for none.
        """
        asked = monotonic()
        words = (*self._front(), tag, new_nonce(), due_ms, lives_ms, replaced)
        nonce, due, lives = await _NAME.run(self._executor, 1, words)
        entry = Entry(nonce.decode(), number(due), number(lives))
        memory = self._remembered
        memory.pop(tag, None)
        memory[tag] = asked + entry.due_ms / 1000
        if len(memory) > _REMEMBERED:
            del memory[next(iter(memory))]
        return entry

    async def step(
        self,
        tag: str,
        take: "Callable[[SlotExecutor], Awaitable[T]]",
        reserve: Reserve,
        held: Reservation | None = None,
        *,
        due_ms: int | None = None,
    ) -> T:
        """Take a step in a slot; again with a reservation or an entry, where it takes one.

        Args:
            tag: The hash tag of the slot.
            take: Takes it; it is undone where it raises what is caught here.
            reserve: Reserves a session key that the step needs for longer.
            held: A reservation that the caller has.
            due_ms: In how many ms there will be something ready behind the step, most likely.
        """
        entry: Entry | None = None
        if due_ms is not None and not self.is_remembered(tag, due_ms):
            lives_ms = 2 * (due_ms + _MONTH)  # as of a step that finds one too short
            entry = await self.name(tag, due_ms, lives_ms)
        while True:
            try:
                return await take(SlotExecutor(self._executor, hold_of(entry, held)))
            except UnnamedError as error:
                self.forget(tag)
                entry = await self.name(tag, error.due_ms, error.lives_ms, error.barred)
            except OutlivesError as error:
                held = await reserve(error.key, tag, error.ttl_ms, "")

    async def next(self, tenant: str, team: str) -> Named | int | None:
        """Return the entry whose turn it is; or in how many ms there may be one, None for never."""
        while True:
            outcome, *more = await _NEXT.run(self._executor, 1, (*self._front(), tenant, team, new_nonce()))
            match outcome:
                case b"idle":
                    return number(more[0]) if more else None
                case b"named":
                    path, nonce, at, lives = more
                    return Named(path.decode(), nonce.decode(), float(at), number(lives))
                case b"again":
                    continue
                case _:
                    raise foreign()

    async def every(self, front: str) -> AsyncIterator[Named]:
        """Yield the entries of users whose hash tags begin like this; some of them twice."""
        key, cursor = self._within.ready("nonces"), b"0"
        while True:
            pattern = glob_of(front)
            cursor, found = await self._executor.call(
                ("HSCAN", key, cursor, "MATCH", pattern, "COUNT", 500), repeatable=True
            )
            for tag, nonce in zip(found[::2], found[1::2], strict=True):
                yield Named(tag.decode(), nonce.decode(), 0, _MONTH)
            if cursor == b"0":
                return

    async def move(self, seen: Named, nonce: str, left_ms: int | None) -> None:
        """Make an entry due later, if it is still that one; remove it where nothing is left.

        Args:
            seen: The entry.
            nonce: The nonce that it takes.
            left_ms: In how many ms from when it was seen, negative where it was due before; None
                for never.
        """
        due: Arg = "" if left_ms is None else f"{seen.at_ms + left_ms:.3f}"
        await _MOVE.run(self._executor, 1, (*self._front(), seen.tag, seen.nonce, nonce, due))

    def _front(self) -> tuple[str, str]:
        return self._within.ready(""), self._within.namespace


class SlotExecutor(Executor):
    """The way to one slot, for steps that may have to be taken again.

    Args:
        executor: The way to the cluster.
        hold: What the steps are allowed.
    """

    moving = True

    def __init__(self, executor: Executor, hold: str = NO_HOLD) -> None:
        self._executor = executor
        self.hold = hold

    async def call(self, command: tuple[Arg, ...] | Packed, **ways: Unpack[Ways]) -> Any:
        """As `RedisClient.call`.

        Raises:
            OutlivesError: It takes a reservation.
            UnnamedError: It takes an entry.
        """
        answer = await self._executor.call(command, **ways)
        if ways.get("script") is not None:
            told = answer if ways.get("behind") is None else answer[0]
            if isinstance(told, list) and told:
                _check(told)
        return answer

    async def ping(self) -> None:
        await self._executor.ping()

    async def servers(self) -> Sequence[ServerExecutor]:
        return await self._executor.servers()

    def owners(self) -> Sequence[ServerExecutor | None]:
        return self._executor.owners()

    async def aclose(self) -> None:
        """Close nothing: the way to the cluster is others', too."""


def _check(answer: list[Any]) -> None:
    if answer[0] == b"unnamed":
        raise UnnamedError(number(answer[1]), number(answer[2]), answer[3].decode())
    if answer[0] == b"outlives":
        raise OutlivesError(answer[1].decode(), None if number(answer[2]) == -1 else number(answer[2]))
