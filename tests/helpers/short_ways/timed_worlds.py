"""Two worlds in memory, or in two SQLite files, on timers of their own that tell the same time."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from short_ways.comparing import Pair
from short_ways.inboxes import inbox_at
from short_ways.operations import OPTIONS, Operation, World, told
from timers import Timer

from greentic_session import InMemorySessionStore, SQLiteSessionStore, transitions
from greentic_session.backends.memory.entry import Entry
from greentic_session.backends.sqlite import operations

__all__ = ["in_memory", "on_sqlite"]


@dataclass
class _World(World):
    """A world on a timer.

    Attributes:
        timer: Tells the time.
        path: The file; None in memory.
    """

    timer: Timer = field(default_factory=Timer)
    path: Path | None = None


class _Pair(Pair[_World]):
    def __init__(self, worlds: list[_World]) -> None:
        self.worlds = worlds

    def pass_time(self, seconds: int) -> None:
        for world in self.worlds:
            world.timer.advance(seconds)

    async def outcome(self, operation: Operation, world: World) -> object:
        if world is self.worlds[0]:
            return await operation.outcome(world)
        with mock.patch.object(transitions, "claim_at_once", return_value=None):
            return await operation.outcome(world)

    def stored(self, world: _World) -> object:
        return _in_memory(world.stores[0]._backend) if world.path is None else _in_file(world.path)


def in_memory() -> Pair[_World]:
    """Return two worlds in memory."""
    worlds = []
    for _ in range(2):
        timer = Timer()
        store: Any = InMemorySessionStore(timer=timer, **OPTIONS[0])
        store._backend._epoch = 0.0
        worlds.append(_World([store, store], timer=timer))
    return _Pair(worlds)


@asynccontextmanager
async def on_sqlite(directory: Path) -> AsyncIterator[Pair[_World]]:
    """Yield two worlds in files that are made in a directory; nobody frees anything unasked."""
    async with AsyncExitStack() as stack:
        stack.enter_context(mock.patch.object(operations, "free_expired", return_value=None))
        worlds = []
        for name in ("short", "whole"):
            timer, path = Timer(), directory / f"{name}.db"
            stores = [SQLiteSessionStore.open(path, timer=timer, durability="process", **options) for options in OPTIONS]
            worlds.append(_World([await stack.enter_async_context(store) for store in stores], timer=timer, path=path))
        yield _Pair(worlds)


def _in_file(path: Path) -> dict[str, list[Any]]:
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
        return {name: connection.execute(f"SELECT * FROM {name} ORDER BY 1, 2").fetchall() for (name,) in tables}


def _in_memory(backend: Any) -> dict[str, Any]:
    def places(of_owners: Any) -> dict[Any, Any]:
        return {(*map(str, owner), name): one for owner, named in of_owners.items() for name, one in named.items()}

    sessions = {key: entry for shard in backend.shards for key, entry in shard.items()}
    for (*_, place), entry in places(backend.waits).items():
        assert sessions[entry.wait.key] is entry
        assert entry.wait.scope.normalized() == place
    ready = backend.ready
    queued = {
        entry.wait.key: due
        for queues in ready._queues.values()
        for waits in queues.waits.values()
        for due, _, entry in waits._heap
    }
    ends = {(end, entry.wait.key) for end, _, entry in ready._ends}
    assert {(end, entry.wait.key) for entry, end in ready._lent.items()} <= ends
    lent = {entry.wait.key: end for entry, end in (ready._lent | ready.fresh).items()}
    return {
        "sessions": {key: _entry(entry) for key, entry in sessions.items()},
        "waits": {place: entry.wait.key for place, entry in places(backend.waits).items()},
        "latest": {owner: entry.wait.key for owner, entry in backend.latest.items()},
        "kept": {(owner, inbox.scope): _inbox(inbox) for owner, inboxes in backend.kept.items() for inbox in inboxes},
        "deliveries": {
            name: (known.inbox and known.inbox.scope, known.reply_id, known.end, known.bucket is None)
            for name, known in places(backend.deliveries).items()
        },
        "ready": queued,
        "lent": lent,
        "tenants": {tenant: (queues.served, queues.teams.first()) for tenant, queues in ready._queues.items()},
        "accepted": backend.accepted,
    }


def _entry(entry: Entry) -> dict[str, Any]:
    inbox = inbox_at(entry)
    names = ["end", "token", "lease_end", "deadline", "rest_end", "parked", "resume", "put_off", "is_new", "due"]
    return {name: getattr(entry, name) for name in names} | {
        "wait": told(entry.wait),
        "turn": entry.turn and (entry.turn.about, entry.turn.failed, entry.turn.key),
        "owner": entry.owner,
        "pointer": entry.pointer,
        "expires": entry.bucket is not None,
        "inbox": inbox and _inbox(inbox),
        "held": sorted((inbox.scope.canonical(), received.reply.id) for inbox, received in copy(entry).held()),
    }


def _inbox(inbox: Any) -> dict[str, Any]:
    return {"at": (inbox.owner, inbox.scope), "replies": inbox.all(), "end": inbox.end, "expires": inbox.bucket is not None}
