"""Watcher of a store: asks what is ready often, and counts the rest in between."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from greentic_session.admin import Group, Inspector, Tally
from greentic_session.backend import SessionBackend
from greentic_session.errors import GreenticError

from .view import History, View

__all__ = ["POINTS", "Watcher"]

POINTS: Final = 60
"""Number of points of the history of the last minutes."""
_REST: Final = 2.0
"""Factor by which the watcher rests longer after a count than the count took.

So a store with a million waits is not walked all the time.
"""
_RATE_S: Final = 10.0
"""Over how many seconds the rate of replies is told."""
_NOBODY: Final = "(unreadable)"


class Watcher:
    """Watcher of a store, which learns its state step by step.

    Args:
        backend: The store's.
        inspector: Who looks into it.
        store: Which it is, in words.
        every: For how many seconds it rests between two looks.
        timer: Tells the time, in seconds.
    """

    def __init__(
        self,
        backend: SessionBackend,
        inspector: Inspector,
        store: str,
        *,
        every: float,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backend = backend
        self._inspector = inspector
        self._every = every
        self._timer = timer
        self._seen = View(store)
        self._ready, self._rate = History(), History()
        self._accepted: list[tuple[float, int]] = []
        self._counted_at: float | None = None
        self._looked: int | None = None
        self._trouble: dict[str, str] = {}

    def view(self) -> View:
        """Return what is known now."""
        now, seen = self._timer(), self._seen
        return View(
            seen.store,
            seen.total,
            seen.tenants,
            seen.flows,
            seen.ready,
            seen.is_capped,
            seen.oldest_ms,
            seen.rate,
            self._ready.line(now, POINTS),
            self._rate.line(now, POINTS),
            None if self._counted_at is None else now - self._counted_at,
            seen.took_s,
            self._looked,
            next(iter(self._trouble.values()), ""),
        )

    async def run(self) -> None:
        """Look and count until it is cancelled; go on where the store does not answer."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._repeat("look", self.look))
            tasks.create_task(self._repeat("count", self.count))

    async def look(self) -> None:
        """Ask what is ready, and how many replies were accepted: one short step each."""
        backlog = await self._backend.readiness(None)
        accepted, now = await self._inspector.accepted(), self._timer()
        rate = None if accepted is None else self._rate_of(accepted, now)
        self._ready.add(now, backlog.count)
        if rate is not None:
            self._rate.add(now, rate)
        self._see(ready=backlog.count, is_capped=backlog.is_capped, oldest_ms=backlog.oldest_ms, rate=rate)

    async def count(self) -> None:
        """Count everything, in many short steps."""
        began, self._looked = self._timer(), 0
        try:
            found = await self._inspector.survey(self._note)
        finally:
            self._looked = None
        self._counted_at = self._timer()
        total = Tally()
        for tally in found.values():
            total.add(tally)
        with_sessions = {group: tally for group, tally in found.items() if tally.sessions}
        self._see(
            total=total,
            tenants=_added(with_sessions, lambda group: f"{group.env}/{group.tenant}" if group.env else _NOBODY),
            flows=_added(with_sessions, lambda group: group.flow or _NOBODY),
            took_s=self._counted_at - began,
        )

    def _note(self, more: int) -> None:
        self._looked = (self._looked or 0) + more

    async def _repeat(self, name: str, step: Callable[[], Awaitable[object]]) -> None:
        while True:
            began = self._timer()
            try:
                await step()
            except GreenticError as error:
                self._trouble[name] = str(error)
            else:
                self._trouble.pop(name, None)
            took = self._timer() - began
            await asyncio.sleep(max(self._every, took * _REST))

    def _rate_of(self, accepted: int, now: float) -> float | None:
        """Return how many replies a second were accepted lately; None at the first look."""
        if self._accepted and accepted < self._accepted[-1][1]:
            self._accepted.clear()  # it began anew
        self._accepted.append((now, accepted))
        while len(self._accepted) > 2 and self._accepted[1][0] <= now - _RATE_S:
            del self._accepted[0]
        (first, before), *more = self._accepted
        return (accepted - before) / (now - first) if more and now > first else None

    def _see(self, **known: Any) -> None:
        fields = {name: getattr(self._seen, name) for name in self._seen.__struct_fields__}
        self._seen = View(**{**fields, **known})


def _added(found: Mapping[Group, Tally], name_of: Callable[[Group], str]) -> list[tuple[str, Tally]]:
    """Add up what has the same name; what has most to do comes first."""
    added: dict[str, Tally] = {}
    for group, tally in found.items():
        added.setdefault(name_of(group), Tally()).add(tally)
    return sorted(added.items(), key=lambda item: (-item[1].ready, -item[1].oldest_ms, -item[1].waits, item[0]))
