"""Heads that a process remembers, so that the next step of a run need not read them."""

from collections import OrderedDict
from typing import Final, NamedTuple

from .models import Head, Write

__all__ = ["Known", "KnownHeads", "State"]

_MAX_HEADS: Final = 256
_MAX_STATES: Final = 32
_MAX_BYTES: Final = 32 * 1024**2


class State(NamedTuple):
    """What is stored of a namespace beside the head; its version is empty if that was not read."""

    head: Head | None
    version: str


class Known(NamedTuple):
    """A head, and states as they are stored for as long as it is not replaced."""

    head: Head | None
    version: str
    states: dict[str, State]

    def keep(self, ns: str, state: State) -> None:
        """Remember the state of a namespace, and not too many of them."""
        self.states.pop(ns, None)
        self.states[ns] = state
        if len(self.states) > _MAX_STATES:
            del self.states[next(iter(self.states))]


class KnownHeads:
    """The last heads, by thread: up to a number, and up to so many bytes of checkpoints in all."""

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._heads: OrderedDict[str, tuple[Known, int]] = OrderedDict()
        self._bytes = 0

    def get(self, thread: str) -> Known | None:
        """Return what is remembered of a thread."""
        found = self._heads.get(thread)
        return None if found is None else found[0]

    def put(self, thread: str, known: Known) -> None:
        """Remember a head, instead of those that were not written or read for the longest time."""
        self.drop(thread)
        size = _size(known.head)
        if known.states:
            size += sum(_size(state.head) for state in known.states.values())
        self._heads[thread] = known, size
        self._bytes += size
        while len(self._heads) > _MAX_HEADS or self._bytes > self._max_bytes:
            self.drop(next(iter(self._heads)))

    def drop(self, thread: str) -> None:
        """Forget a thread."""
        found = self._heads.pop(thread, None)
        self._bytes -= 0 if found is None else found[1]


def _size(head: Head | None) -> int:
    """Return about how many bytes a head holds."""
    if head is None:
        return 0
    size = 0
    for entry in (head.latest, head.leaving):
        if entry is not None:
            size += len(entry.checkpoint) + len(entry.metadata) + _size_of(entry.writes)
    if head.late or head.early:
        for writes in (*head.late.values(), *head.early.values()):
            size += _size_of(writes)
    return size


def _size_of(writes: list[Write]) -> int:
    return sum([len(write.data) for write in writes]) if writes else 0
