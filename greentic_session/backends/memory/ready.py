"""Index of the waits that are ready, or will be: tenants take turns, each longest due first."""

import heapq
from collections.abc import Iterator
from typing import Final, TypeAlias

from greentic_session.models import TenantCtx
from greentic_session.tenancy import Owner

from .entry import Entry
from .ordered import OrderedQueue

__all__ = ["ReadyIndex"]

_Tenant: TypeAlias = tuple[str, str]

_MIN_STALE: Final = 64
_MOST_AT_ONCE: Final = 256
"""Limit of the leases that end in one step: these take about 1 ms."""


class _Queues:
    """The waits of one tenant: by team, and the teams by what is due first.

    `served` is when the tenant had its last turn.
    """

    __slots__ = ("served", "teams", "waits")

    def __init__(self) -> None:
        self.served = 0.0
        self.waits: dict[str | None, OrderedQueue[Entry]] = {}
        self.teams: OrderedQueue[str | None] = OrderedQueue()


class ReadyIndex:
    """Waits by the moment from which they are ready.

    Each call costs the logarithm of the number of waits at most, whatever others have. A tenant's
    rank is when its first wait is due or when it had its last turn, whichever is later: so of all
    tenants that have something, the one whose turn is longest ago is the next, and none is passed
    over twice. Not thread-safe.

    A wait whose claim is live is `lent`: it is ready when the lease ends, and hardly ever does one
    end by itself. So these stand in one plain heap for all tenants, which costs little, and whose
    stale items are dropped when they come up, or when they are more than the others.

    Attributes:
        fresh: Leases that began since somebody looked for what is ready, and are sorted in then:
            most are over before they have to stand in a heap. Where every step counts a wait that
            is not in the index may be put here without a call.
    """

    def __init__(self) -> None:
        self.fresh: dict[Entry, float] = {}
        self._lent: dict[Entry, float] = {}
        self._ends: list[tuple[float, int, Entry]] = []
        self._serial = 0
        self._tenants: OrderedQueue[_Tenant] = OrderedQueue()
        self._queues: dict[_Tenant, _Queues] = {}

    def put(self, entry: Entry, owner: Owner, due: float) -> None:
        """Add a wait, or say that it is ready at another moment."""
        if self.fresh.pop(entry, None) is None:
            self._lent.pop(entry, None)
        env, tenant, team, _ = owner
        queues = self._queues.get((env, tenant))
        if queues is None:
            queues = self._queues[env, tenant] = _Queues()
        waits = queues.waits.get(team)
        if waits is None:
            waits = queues.waits[team] = OrderedQueue()
        waits.put(entry, due)
        self._rank((env, tenant), team, queues)

    def lend(self, entry: Entry, owner: Owner, lease_end: float) -> None:
        """Add a wait that is claimed, and is ready when its lease ends; or set another lease."""
        if entry not in self._lent:
            self.discard(entry, owner)
        self._lend(entry, lease_end)

    def _lend(self, entry: Entry, lease_end: float) -> None:
        self._lent[entry] = lease_end
        self._serial += 1
        heapq.heappush(self._ends, (lease_end, self._serial, entry))
        if self._serial % _MIN_STALE == 0:
            self._drop_stale()

    def _drop_stale(self) -> None:
        if len(self._ends) > 2 * len(self._lent) + _MIN_STALE:
            self._ends = [(end, serial, lent) for serial, (lent, end) in enumerate(self._lent.items())]
            self._serial = len(self._ends)
            heapq.heapify(self._ends)

    def discard(self, entry: Entry, owner: Owner) -> None:
        """Take a wait out, if it is there."""
        if self.fresh.pop(entry, None) is not None:
            return
        if self._lent.pop(entry, None) is not None:
            self._drop_stale()
            return
        env, tenant, team, _ = owner
        queues = self._queues.get((env, tenant))
        if queues is None or team not in queues.waits:
            return
        queues.waits[team].discard(entry)
        self._rank((env, tenant), team, queues)

    def first(self, ctx: TenantCtx | None, now: float) -> tuple[float, Entry] | None:
        """Return the next wait of those that a context administers, and when it is, or was, due.

        Where none of them is due, it may be a wait of anybody whose lease ends earlier.
        """
        while True:
            self.end_leases(now)
            found = self._first(ctx)
            if not self._ends or (found is not None and found[0] <= self._ends[0][0]):
                return found
            end, _, entry = self._ends[0]
            if end > now:
                return end, entry

    def end_leases(self, now: float, most: int = _MOST_AT_ONCE) -> None:
        """Let waits whose leases have ended be ready; not all at once, where they are very many."""
        if self.fresh:
            for entry, lease_end in self.fresh.items():
                self._lend(entry, lease_end)
            self.fresh.clear()
        for _ in range(most):
            if not self._ends:
                return
            end, _, entry = self._ends[0]
            is_stale = self._lent.get(entry) != end
            if end > now and not is_stale:
                return
            heapq.heappop(self._ends)
            if not is_stale and entry.owner is not None:
                self.put(entry, entry.owner, end)

    def _first(self, ctx: TenantCtx | None) -> tuple[float, Entry] | None:
        tenant: _Tenant | None
        if ctx is None:
            found = self._tenants.first()
            tenant = None if found is None else found[1]
        else:
            tenant = (ctx.env, ctx.tenant_id)
        queues = None if tenant is None else self._queues.get(tenant)
        if queues is None:
            return None
        team = None if ctx is None else ctx.effective_team
        if team is None:
            first = queues.teams.first()
            waits = None if first is None else queues.waits[first[1]]
        else:
            waits = queues.waits.get(team)
        return None if waits is None else waits.first()

    def until(self, ctx: TenantCtx | None, now: float) -> Iterator[tuple[float, Entry]]:
        """Yield the waits that are due of those that a context administers, and since when.

        It costs what it yields. Nothing may be changed meanwhile.
        """
        tenants = (tenant for _, tenant in self._tenants.until(now)) if ctx is None else [(ctx.env, ctx.tenant_id)]
        for tenant in tenants:
            queues = self._queues.get(tenant)
            if queues is None:
                continue
            for _, team in queues.teams.until(now):
                if ctx is None or ctx.effective_team in (None, team):
                    yield from queues.waits[team].until(now)

    def serve(self, owner: Owner, now: float) -> None:
        """Put a tenant behind the others: it had its turn."""
        tenant = owner[:2]
        queues = self._queues.get(tenant)
        if queues is not None:
            queues.served = now
            self._tenants.discard(tenant)  # behind all that have the same rank
            self._rank(tenant, owner[2], queues)

    def clear(self) -> None:
        """Forget everything."""
        self.fresh.clear()
        self._lent.clear()
        self._ends.clear()
        self._tenants.clear()
        self._queues.clear()

    def _rank(self, tenant: _Tenant, team: str | None, queues: _Queues) -> None:
        waits = queues.waits.get(team)
        first = None if waits is None else waits.first()
        if first is None:
            queues.teams.discard(team)
            queues.waits.pop(team, None)
        else:
            queues.teams.put(team, first[0])
        earliest = queues.teams.first()
        if earliest is None:
            self._tenants.discard(tenant)
            del self._queues[tenant]
        else:
            self._tenants.put(tenant, max(earliest[0], queues.served))
