"""``stats``: numbers of sessions and waits, by tenant."""

import argparse
from collections.abc import Mapping
from typing import Any, Final

from greentic_session.admin import Tally
from greentic_session.tenancy import Partition

from .command import Command, Exit
from .console import Console
from .nothing import tell_of_nothing
from .opening import opened
from .progress import Progress
from .words import size

__all__ = ["STATS"]

_NOBODY: Final = "(unreadable)"


def _configure(_: argparse.ArgumentParser) -> None:
    pass


def _run(args: argparse.Namespace, console: Console) -> int:
    with opened(args) as desk, Progress("looked at") as progress:
        found = desk.run(desk.inspector.survey(progress.advance))
        if not found:
            tell_of_nothing(desk, args, console)
    tenants, total = _by_tenant(found), Tally()
    for tally, _ in tenants.values():
        total.add(tally)
    if console.as_json:
        console.json({"total": _figures(total), "tenants": [_tenant(name, *told) for name, told in sorted(tenants.items())]})
        return Exit.FINE
    rows = [
        (env or _NOBODY, tenant or _NOBODY, f"{len(teams):,}", *_cells(tally))
        for (env, tenant), (tally, teams) in sorted(tenants.items())
    ]
    head = ("ENV", "TENANT", "TEAMS", "SESSIONS", "WAITS", "END IN 1H", "SIZE", "CONVERSATIONS")
    console.table(head, [*rows, ("total", "", "", *_cells(total))], right=range(2, len(head)))
    return Exit.FINE


def _by_tenant(found: Mapping[Partition, Tally]) -> dict[tuple[str, str], tuple[Tally, dict[str | None, Tally]]]:
    tenants: dict[tuple[str, str], tuple[Tally, dict[str | None, Tally]]] = {}
    for (env, tenant, team), tally in found.items():
        all_of, teams = tenants.setdefault((env, tenant), (Tally(), {}))
        all_of.add(tally)
        teams[team] = tally
    return tenants


def _cells(tally: Tally) -> tuple[str, ...]:
    counts = (tally.sessions, tally.waits, tally.soon)
    return (*(f"{count:,}" for count in counts), size(tally.size), f"{tally.conversations:,}")


def _figures(tally: Tally) -> dict[str, int]:
    return {
        "sessions": tally.sessions,
        "waits": tally.waits,
        "expiring_within_an_hour": tally.soon,
        "size": tally.size,
        "conversations": tally.conversations,
    }


def _tenant(name: tuple[str, str], tally: Tally, teams: Mapping[str | None, Tally]) -> dict[str, Any]:
    env, tenant = name
    by_team = [{"team": team, **_figures(one)} for team, one in sorted(teams.items(), key=lambda item: item[0] or "")]
    return {"env": env, "tenant": tenant, **_figures(tally), "teams": by_team}


STATS: Final = Command(
    "stats", "count sessions, waits, and what expires within an hour, by tenant", _configure, _run, writes_tables=True
)
"""See its help."""
