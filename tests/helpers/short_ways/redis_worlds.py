"""Two worlds on one Redis: a namespace each, with other writers, and time that passes for both."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import msgspec
import redis
from redis_invariants import Client, Dump, Spread, dump_at
from reference_fleet import Reference
from samples.first_release import FirstRelease
from short_ways.comparing import Pair
from short_ways.operations import KEYS, OPTIONS, PEOPLE, SCOPES, Operation, World, brief, draw, text
from short_ways.scripts import without_short_ways
from time_passing import pass_time

from greentic_session import RedisSessionStore

__all__ = ["on_redis"]


@dataclass
class _World(World):
    """A namespace.

    Attributes:
        raw: A client of the server.
        namespace: Its name.
    """

    raw: Any = None
    namespace: str = ""

    @property
    def reference(self) -> Reference:
        """A runtime of the Rust crate."""
        return Reference(self.raw, self.namespace)

    @property
    def first_release(self) -> FirstRelease:
        """A runtime of 0.1.0."""
        return FirstRelease(self.raw, self.namespace)


class _Pair(Pair[_World]):
    slack_ms = 60.0
    is_timed = False

    def __init__(self, worlds: list[_World], others: float) -> None:
        self.worlds = worlds
        self._others = others

    def draw(self, random: Random, claimed: list[int], number: int) -> Operation:
        if random.random() < self._others:
            return random.choice([_reference, _reference, _first_release, _by_hand])(random, number)
        return draw(random, claimed, number)

    def pass_time(self, seconds: int) -> None:
        for world in self.worlds:
            pass_time(world.raw, seconds, f"{world.namespace}:")

    def stored(self, world: _World) -> object:
        if isinstance(world.raw, redis.RedisCluster):
            return _stored_on_cluster(Spread(world.raw, world.namespace))
        return _stored(*dump_at(world.raw, world.namespace), alone=not self._others)


@asynccontextmanager
async def on_redis(url: str, raw: Client, namespaces: list[str], *, others: float) -> AsyncIterator[Pair[_World]]:
    """Yield two worlds in these namespaces; so many of all operations are other writers'."""
    async with AsyncExitStack() as stack:
        worlds = []
        for number, namespace in enumerate(namespaces):
            stores = [RedisSessionStore.from_url(url, namespace=namespace, **options) for options in OPTIONS]
            for store in stores:
                await stack.enter_async_context(store)
                if number == 1:
                    without_short_ways(store)
            worlds.append(_World([*stores], raw=raw, namespace=namespace))
        yield _Pair(worlds, others)


def _plain(name: str, call: Callable[[_World], object], *about: object) -> Operation:
    async def act(world: Any) -> object:
        return call(world)

    return Operation(f"{name}{brief(about)}", act)


def _reference(random: Random, _: int) -> Operation:
    who, key, scope = random.choice(PEOPLE), random.choice(KEYS), random.choice(SCOPES)
    session, ttl = text(random, who), random.choice([None, None, 60_000, 3_000_000])
    match random.randrange(7):
        case 0:
            return _plain("Rust: create", lambda on: on.reference.create_session(key, session), key, who)
        case 1:
            return _plain("Rust: update", lambda on: on.reference.update_session(key, session), key, who)
        case 2:
            return _plain("Rust: remove", lambda on: on.reference.remove_session(key), key)
        case 3 | 4:
            racing = random.random() < 0.2
            call: Callable[[_World], object] = lambda on: on.reference.register_wait(scope, key, session, ttl, racing=racing)
            return _plain("Rust: register", call, scope, key, who, ttl, racing)
        case 5:
            return _plain("Rust: find", lambda on: on.reference.find_wait_by_scope(who, scope), who, scope)
        case _:
            return _plain("Rust: clear", lambda on: on.reference.clear_wait(who, scope), who, scope)


def _first_release(random: Random, number: int) -> Operation:
    who, key, scope = random.choice(PEOPLE), random.choice(KEYS), random.choice(SCOPES)
    session, ttl = text(random, who), random.choice([700_000, 3_000_000, 100_000_000])
    token = f"{number:08x}old".ljust(32, "0")

    def claim(world: _World) -> object:
        claimed = world.first_release.claim(who, scope, token, 300_000)
        if claimed is None:
            return None
        key, _ = claimed
        last = Random(number).randrange(4)
        if last == 0:
            world.first_release.complete(key, token)
        elif last == 1:
            world.first_release.release(key, token)
        elif last == 2:
            return world.first_release.register(who, scope, key, session, ttl, replace=True, token=token)
        return claimed

    match random.randrange(8):
        case 0:
            return _plain("0.1.0: create", lambda on: on.first_release.create(who, session, key, ttl), key, who, ttl)
        case 1:
            return _plain("0.1.0: update", lambda on: on.first_release.update(session, key), key, who)
        case 2:
            return _plain("0.1.0: remove", lambda on: on.first_release.remove(key), key)
        case 3:
            return _plain("0.1.0: touch", lambda on: on.first_release.touch(key, ttl), key, ttl)
        case 4:
            return _plain("0.1.0: clear", lambda on: on.first_release.clear(who, scope), who, scope)
        case 5:
            return _plain("0.1.0: claim", claim, who, scope)
        case _:
            replaces = random.random() < 0.8
            call: Callable[[_World], object] = lambda on: on.first_release.register(
                who, scope, key, session, ttl, replace=replaces
            )
            return _plain("0.1.0: register", call, scope, key, who, ttl, replaces)


_MEDDLED = (":session:", ":own:", ":waits:", ":claim:", ":user:", ":replies:")
"""Kinds of keys that are removed by hand. Of others there may be more in one world."""
_PROLONGED = _MEDDLED[:2]
"""Kinds of keys that get another lifetime."""


def _by_hand(random: Random, _: int) -> Operation:
    """Somebody, or an eviction, removes one key, or gives it another lifetime."""
    kind, which = random.choice(["DEL", "DEL", "PERSIST", "PEXPIRE"]), random.random()

    def change(world: _World) -> str:
        names = [name.decode()[len(world.namespace) :] for name in world.raw.scan_iter(f"{world.namespace}:*")]
        found = sorted(name for name in names if name.startswith(_MEDDLED if kind == "DEL" else _PROLONGED))
        if not found:
            return ""
        name = found[int(which * len(found))]
        if kind == "DEL":
            world.raw.delete(world.namespace + name)
        elif kind == "PERSIST":
            world.raw.persist(world.namespace + name)
        else:
            world.raw.pexpire(world.namespace + name, 50_000 if name.startswith(":own:") else 55_000)
        return f"{kind} {name}"

    return _plain("by hand", change, kind)


# -- what is stored


def _stored(found: Dump, moment: int, *, alone: bool) -> dict[str, Any]:
    """Return all that is stored; a float is a moment, in ms since the epoch.

    Where only our store wrote there, what it keeps for itself is checked.
    """
    told: dict[str, Any] = {}
    for name, entry in found.items():
        ends = float("inf") if entry.ttl == -1 else float(moment + entry.ttl)
        told[name] = {"kind": entry.kind, "ends": ends, "value": _value(name, entry.value, ends, moment)}
    if alone:
        _check_ready(told)
        _check_lasting(told, found)
    return _without_what_may_differ(told, alone=alone)


def _stored_on_cluster(spread: Spread) -> dict[str, Any]:
    """Return the same of each slot of a user: nonces and what they are for is checked."""
    spread.check()
    told = {
        tag: _stored(found, spread.moment, alone=False) for tag, found in spread.slots.items() if not tag.startswith(":")
    }
    for stored in told.values():
        for name in [*stored]:
            if name.startswith(("barred:", "named")):
                del stored[name]
            elif name.startswith("own:"):
                stored[name]["value"] = {
                    field: value for field, value in stored[name]["value"].items() if field not in (b"g", b"u")
                }
    return {tag: stored for tag, stored in told.items() if stored}


def _value(name: str, value: Any, ends: float, moment: int) -> Any:
    if isinstance(value, bytes):
        return value
    if isinstance(value, frozenset):
        return dict.fromkeys(sorted(value), True)
    if name.startswith("own:"):
        return _record(value, ends, moment)
    if name.startswith("replies:"):
        packed = msgspec.msgpack.decode(value[b"#"])
        return {**value, b"#": _inbox(packed)}
    if name.startswith("kept:"):
        return {key: _kept(msgspec.msgpack.decode(packed)) for key, packed in value.items()}
    if name.startswith(("ready:", "scopes:", "lasting:")):
        return {key: float(score) for key, score in value.items()}
    return value


def _kept(packed: list[Any]) -> list[Any]:
    return [(float(ending), size) for ending, size in zip(packed[::2], packed[1::2], strict=True)]


def _record(fields: dict[bytes, bytes], ends: float, moment: int) -> dict[bytes, Any]:
    told: dict[bytes, Any] = {**fields}
    for name in (b"d", b"t", b"q"):
        if name in told:
            told[name] = float(told[name])
    if b"r" not in told:
        told.pop(b"d", None)  # it counts where it says what the lifetime says
    if told.get(b"b", b"").startswith(b"-"):
        told[b"b"] = (ends + float(told[b"b"])) // 1000
    elif told.get(b"b"):
        told[b"b"] = float(told[b"b"])
    for field in (b"f", b"c", b"x", b"a", b"z", b"l", b"q"):  # without one it says the same
        if not told.get(field):
            told.pop(field, None)
    if b"i" in told and b" deadline:" in told[b"i"]:
        front, _, when = told[b"i"].partition(b" deadline:")
        told[b"i"] = (front, float(when))
    return told


def _inbox(packed: list[Any]) -> Any:
    waits, wait_end, token, ids_end, key_end, terms, listed, *replies = packed
    del ids_end, key_end
    return {
        "waits": waits,
        "wait_end": float(wait_end),
        "token": token,
        "terms": terms,
        "listed": listed,
        "replies": [
            [id, size, float(at), float(keep), token, float(held), name, float(told) / 1000]
            for id, size, at, keep, token, held, name, told in replies
        ],
    }


def _without_what_may_differ(told: dict[str, Any], *, alone: bool) -> dict[str, Any]:
    """Take out when somebody looks again at what is ready, and at what is lasting.

    That may come too early, and what lies in an inbox may end a little later, or what leads to it.
    """
    told.pop("lasting:sessions", None)
    for name in [*told]:
        if not alone and name.startswith("waits:scope:") and f"session:{told[name]['value'].decode()}" not in told:
            del told[name]  # stale; whoever reads it removes it
    for name in [*told]:
        entry = told[name]
        if name.startswith("own:") and isinstance(entry["value"], dict):
            entry["value"].pop(b"e", None)
            if not alone:
                entry["value"].pop(b"b", None)  # others change lifetimes, which may tell it
        if name.startswith("scopes:"):
            waits = told.get(f"waits:user:{name.removeprefix('scopes:')}")
            if not alone or (waits is not None and len(waits["value"]) == 1):
                del told[name]  # the only wait has none; one may be left there, until somebody looks
        if name.startswith("ready:") and name.count(":") < 3:
            del told[name]
        elif name.startswith("ready:"):
            entry["ends"] = 0.0
            team = name.removeprefix("ready:")
            entry["value"] = {
                place: due for place, due in entry["value"].items() if f"waits:scope:{team}:{place.decode()}" in told
            }
            if not entry["value"]:
                del told[name]
        elif name.startswith("replies:") and entry["kind"] == "hash":
            lies, ends = entry["value"][b"#"], entry["ends"]
            entry["ends"] = 0.0
            for reply in lies["replies"]:
                known = f"{name[:-64].replace('replies:', 'delivered:')}{reply[6]}"
                if reply[6] and known in told:
                    assert not alone or told[known]["ends"] >= ends - 5, f"{known} ends before its reply"
            if lies["waits"] and f"waits:scope:{name.removeprefix('replies:')}" not in told:
                del told[name]  # its wait has ended, and nobody has looked since
    for name, entry in told.items():
        if name.startswith("delivered:") and entry["value"]:
            entry["ends"] = 0.0
    return told


def _check_lasting(told: dict[str, Any], found: Dump) -> None:
    """Check that lasting sessions are noted."""
    noted = told.get("lasting:sessions", {"value": {}})["value"]
    for name in [*told]:
        if name.startswith("own:"):
            key, left = name.removeprefix("own:"), found[name].ttl
            assert key.encode() in noted or 0 <= left <= 86_400_000, f"{key} is lasting, and not noted"


def _is_at(told: dict[str, Any], place: str, key: str) -> bool:
    """Say whether a session is the wait of a place, by its record and by its scope key."""
    record, scope = told.get(f"own:{key}"), told.get(f"waits:scope:{place}")
    waits = record is not None and record["value"].get(b"r", b"").decode() == place[-64:]
    return waits and f"session:{key}" in told and scope is not None and scope["value"] == key.encode()


def _check_ready(told: dict[str, Any]) -> None:
    """Check that teams and tenants are named early enough, and that the names live long enough."""
    tenants = told.get("ready:tenants", {"ends": 0.0, "value": {}})
    for name, places in told.items():
        if not name.startswith("ready:") or name.count(":") != 3:
            continue
        of_tenant, team = name.removeprefix("ready:").rsplit(":", 1)
        teams = told.get(f"ready:{of_tenant}", {"ends": 0.0, "value": {}})
        due = min(places["value"].values())
        assert teams["value"].get(team.encode(), float("inf")) <= due, f"{name} is due before its team"
        served = float(told.get("ready:served", {"value": {}})["value"].get(of_tenant.encode(), b"0"))
        rank = tenants["value"].get(of_tenant.encode(), float("inf"))
        assert rank <= max(due, served) + 1, f"{name} is due before its tenant"
        assert teams["ends"] >= places["ends"] - 5, f"{name} outlives its team"
        assert tenants["ends"] >= teams["ends"] - 5, f"{name} outlives its tenant"
        for place in places["value"]:
            user, hash_ = place.decode().split(":")
            inbox = told.get(f"replies:{of_tenant}:{team}:{user}:{hash_}")
            key = inbox["value"][b"#"]["waits"] if inbox else ""
            if _is_at(told, f"{of_tenant}:{team}:{user}:{hash_}", key):
                ends = told[f"session:{key}"]["ends"]
                assert places["ends"] >= ends - 5, f"{name} ends before {key}: {places['ends'] - ends}"
