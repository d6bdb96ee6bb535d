"""Index of the waits that are ready, or will be: tenants take turns, each longest due first."""

from collections.abc import Iterator
from typing import TypeAlias

from greentic_session.models import TenantCtx
from greentic_session.tenancy import Owner

from .entry import Entry
from .ordered import OrderedQueue

__all__ = ["ReadyIndex"]

_Tenant: TypeAlias = tuple[str, str]


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
    """

    def __init__(self) -> None:
        self._tenants: OrderedQueue[_Tenant] = OrderedQueue()
        self._queues: dict[_Tenant, _Queues] = {}

    def put(self, entry: Entry, owner: Owner, due: float) -> None:
        """Add a wait, or say that it is ready at another moment."""
        env, tenant, team, _ = owner
        queues = self._queues.get((env, tenant))
        if queues is None:
            queues = self._queues[env, tenant] = _Queues()
        waits = queues.waits.get(team)
        if waits is None:
            waits = queues.waits[team] = OrderedQueue()
        waits.put(entry, due)
        self._rank((env, tenant), team, queues)

    def discard(self, entry: Entry, owner: Owner) -> None:
        """Take a wait out, if it is there."""
        env, tenant, team, _ = owner
        queues = self._queues.get((env, tenant))
        if queues is None or team not in queues.waits:
            return
        queues.waits[team].discard(entry)
        self._rank((env, tenant), team, queues)

    def first(self, ctx: TenantCtx | None) -> tuple[float, Entry] | None:
        """Return the next wait of those that a context administers, and when it is, or was, due."""
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
        """Let a tenant have had its turn."""
        tenant = owner[:2]
        queues = self._queues.get(tenant)
        if queues is not None:
            queues.served = now
            self._tenants.discard(tenant)  # behind all that have the same rank
            self._rank(tenant, owner[2], queues)

    def clear(self) -> None:
        """Forget everything."""
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
