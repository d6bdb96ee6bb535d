"""Looking into the in-memory store for administration."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from anyio.lowlevel import checkpoint

from greentic_session import transitions
from greentic_session._base.holder import holder_of
from greentic_session._expiry.expiring import NEVER_ENDS
from greentic_session.admin import Details, Examination, Finding, Group, Inspector, Looked, Selection, Setting, Tally
from greentic_session.backends.memory.entry import Entry
from greentic_session.backends.standing import details_of, tally_of
from greentic_session.models import ReplyScope
from greentic_session.tenancy import Owner

__all__ = ["MemoryInspector"]


class _Shelves(Protocol):
    """What is looked into: a `MemoryBackend`."""

    timer: Callable[[], float]
    waits: dict[Owner, dict[ReplyScope, Entry]]
    latest: dict[Owner, Entry]
    accepted: int

    def shard(self, key: str) -> dict[str, Entry]: ...

    def steps(self) -> Iterator[list[Entry]]: ...


class MemoryInspector(Inspector):
    """Looks into a `MemoryBackend`."""

    def __init__(self, backend: _Shelves) -> None:
        self._backend = backend

    async def survey(self, looked: Looked, selection: Selection | None = None) -> Mapping[Group, Tally]:
        """See `Inspector.survey`; conversations are in another store, and are not counted."""
        found: dict[Group, Tally] = {}
        for step in self._backend.steps():
            now = self._backend.timer()
            for entry in step:
                if entry.end <= now or not _selects(selection, entry):
                    continue
                data = entry.wait.data
                ctx = data.tenant_ctx
                group = Group(ctx.env, ctx.tenant_id, ctx.effective_team, data.flow_id)
                found.setdefault(group, Tally()).add(_tally(entry, now))
            looked(len(step))
            await checkpoint()
        return found

    async def details(self, keys: Sequence[str]) -> list[Details | None]:
        """See `Inspector.details`."""
        return [self._details(key) for key in keys]

    def _details(self, key: str) -> Details | None:
        now = self._backend.timer()
        entry = self._backend.shard(key).get(key)
        if entry is None or entry.end <= now:
            return None
        wait = entry.wait
        told = transitions.standing(entry, entry.due, now)
        waits = wait.scope is not None
        return Details(
            ttl_ms=_left_ms(entry, now),
            size=len(wait.data.to_json()),
            waits=waits,
            scope=wait.scope,
            claim_ms=round((entry.lease_end - now) * 1000) if told.is_claimed else None,
            holder=holder_of(entry.token) if told.is_claimed else None,
            **details_of(told),
            resumes=entry.resume,
            replies=entry.count,
            age_ms=round((now - entry.parked) * 1000) if waits else None,
        )

    async def accepted(self) -> int | None:
        """See `Inspector.accepted`."""
        return self._backend.accepted

    async def examine(self, looked: Looked) -> Examination:
        """See `Inspector.examine`."""
        faults, count = 0, 0
        for step in self._backend.steps():
            now = self._backend.timer()
            faults += sum(entry.end > now and not self._agrees(entry) for entry in step)
            count += len(step)
            looked(len(step))
            await checkpoint()
        findings = []
        if faults:
            what, advice = "sessions that the indices do not lead to", "This is a fault of the library: please report it."
            findings.append(Finding(name="unindexed", fault=True, what=what, advice=advice, count=faults))
        return Examination(looked=count, findings=findings)

    def _agrees(self, entry: Entry) -> bool:
        scope, owner = entry.wait.scope, entry.owner
        if entry.pointer is not None and self._backend.latest.get(entry.pointer) is not entry:
            return False
        if scope is None or owner is None:
            return scope is None
        return self._backend.waits.get(owner, {}).get(scope.normalized()) is entry

    async def settings(self) -> list[Setting]:
        """See `Inspector.settings`."""
        advice = "Name a store that outlives it: --store redis://..., or GREENTIC_SESSION_URL."
        value = "the memory of this process: empty when it begins, and gone with it"
        return [Setting(name="storage", level="warning", value=value, advice=advice)]


def _tally(entry: Entry, now: float) -> Tally:
    return tally_of(
        transitions.standing(entry, entry.due, now),
        waits=entry.wait.scope is not None,
        left_ms=_left_ms(entry, now),
        size=len(entry.wait.data.to_json()),
        replies=entry.count,
    )


def _left_ms(entry: Entry, now: float) -> int | None:
    return None if entry.end == NEVER_ENDS else max(round((entry.end - now) * 1000), 0)


def _selects(selection: Selection | None, entry: Entry) -> bool:
    if selection is None:
        return True
    ctx = entry.wait.data.tenant_ctx
    return (
        (ctx.env, ctx.tenant_id) == (selection.env, selection.tenant)
        and selection.team in (None, ctx.effective_team)
        and selection.user in (None, ctx.effective_user)
    )
