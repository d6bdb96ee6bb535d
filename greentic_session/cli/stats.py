"""``stats``: numbers of sessions by tenant, and of waits by flow."""

import argparse
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from greentic_session.admin import Group, Tally

from .command import Command, Exit
from .console import Console
from .nothing import tell_of_nothing
from .opening import opened
from .progress import Progress
from .words import duration, size

__all__ = ["STATS"]

N = TypeVar("N")

_NOBODY: Final = "(unreadable)"


def _configure(_: argparse.ArgumentParser) -> None:
    pass


def _run(args: argparse.Namespace, console: Console) -> int:
    with opened(args) as desk, Progress("looked at") as progress:
        found = desk.run(desk.inspector.survey(progress.advance))
        if not found:
            tell_of_nothing(desk, args, console)
    tenants, flows, total = _added(found, _tenant_of), _by_flow(found), _total(found)
    if console.as_json:
        told = [_tenant(*name, found) for name in sorted(tenants)]
        console.json({"total": _figures(total), "tenants": told, "flows": _flows_json(flows)})
        return Exit.FINE
    rows = [
        (env or _NOBODY, tenant or _NOBODY, f"{len(_added(_of((env, tenant), found), _team_of)):,}", *_cells(tally))
        for (env, tenant), tally in sorted(tenants.items())
    ]
    head = ("ENV", "TENANT", "TEAMS", "SESSIONS", "WAITS", "END IN 1H", "SIZE", "CONVERSATIONS")
    console.table(head, [*rows, ("total", "", "", *_cells(total))], right=range(2, len(head)))
    if flows:
        console.write("")
        head = ("FLOW", "WAITS", "READY", "OLDEST", "CLAIMED", "OVERDUE", "DUE IN 1H", "REPLIES")
        rows = [(name or _NOBODY, *_wait_cells(flows[name])) for name in sorted(flows, key=_order)]
        console.table(head, [*rows, ("total", *_wait_cells(total))], right=range(1, len(head)))
    return Exit.FINE


def _tenant_of(group: Group) -> tuple[str, str]:
    return (group.env, group.tenant)


def _team_of(group: Group) -> str | None:
    return group.team


def _flow_of(group: Group) -> str | None:
    return group.flow


def _order(name: str | None) -> str:
    return name or ""


def _added(found: Mapping[Group, Tally], name_of: Callable[[Group], N]) -> dict[N, Tally]:
    """Add up what has the same name."""
    added: dict[N, Tally] = {}
    for group, tally in found.items():
        added.setdefault(name_of(group), Tally()).add(tally)
    return added


def _by_flow(found: Mapping[Group, Tally]) -> dict[str | None, Tally]:
    """Add up the sessions of each flow; conversations have none."""
    return _added({group: tally for group, tally in found.items() if tally.sessions}, _flow_of)


def _flows_json(flows: Mapping[str | None, Tally]) -> list[dict[str, Any]]:
    return [{"flow_id": name, **_figures(flows[name])} for name in sorted(flows, key=_order)]


def _total(found: Mapping[Group, Tally]) -> Tally:
    total = Tally()
    for tally in found.values():
        total.add(tally)
    return total


def _of(tenant: tuple[str, str], found: Mapping[Group, Tally]) -> dict[Group, Tally]:
    return {group: tally for group, tally in found.items() if _tenant_of(group) == tenant}


def _cells(tally: Tally) -> tuple[str, ...]:
    counts = (tally.sessions, tally.waits, tally.soon)
    return (*(f"{count:,}" for count in counts), size(tally.size), f"{tally.conversations:,}")


def _wait_cells(tally: Tally) -> tuple[str, ...]:
    oldest = duration(tally.oldest_ms) if tally.ready else ""
    rest = (tally.claimed, tally.overdue, tally.due, tally.replies)
    return (f"{tally.waits:,}", f"{tally.ready:,}", oldest, *(f"{count:,}" for count in rest))


def _figures(tally: Tally) -> dict[str, Any]:
    return {
        "sessions": tally.sessions,
        "waits": tally.waits,
        "expiring_within_an_hour": tally.soon,
        "size": tally.size,
        "conversations": tally.conversations,
        "claimed": tally.claimed,
        "ready": tally.ready,
        "oldest_ready_seconds": tally.oldest_ms / 1000 if tally.ready else None,
        "due_within_an_hour": tally.due,
        "overdue": tally.overdue,
        "put_off": tally.put_off,
        "replies": tally.replies,
    }


def _tenant(env: str, tenant: str, found: Mapping[Group, Tally]) -> dict[str, Any]:
    its = _of((env, tenant), found)
    teams = _added(its, _team_of)
    return {
        "env": env,
        "tenant": tenant,
        **_figures(_total(its)),
        "teams": [{"team": team, **_figures(teams[team])} for team in sorted(teams, key=_order)],
        "flows": _flows_json(_by_flow(its)),
    }


STATS: Final = Command(
    "stats",
    "count sessions and what ends within an hour by tenant; what is ready, overdue or due within an hour by flow",
    _configure,
    _run,
    writes_tables=True,
)
"""See its help."""
