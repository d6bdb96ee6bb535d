"""What must hold in a namespace at any time, as long as only our store wrote there.

Read with a plain client.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import TypeAlias

import msgspec
import redis

from greentic_session import ReplyScope, SessionData

__all__ = ["Client", "Dump", "Entry", "Spread", "check", "clear", "dump"]

_DAY_MS = 86_400_000
SLACK_MS = 250
"""Milliseconds that two lifetimes which one script set may be apart.

Redis reads its clock for each, and may have to wait in between on a busy machine.
"""

# One script, so that nothing is written or expires while it looks. Lifetimes are as they were when
# it began: of a large namespace some would be read a second after others.
DUMP = """
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
-- The end of a key, as the server keeps it; before Redis 7, which has no command for that, what is left from one and the
-- same millisecond.
local function ttl_from(began, key)
  local ends = redis.pcall('PEXPIRETIME', key)
  if type(ends) == 'number' then return ends < 0 and ends or math.max(ends - began, 0) end
  local ttl, moment
  repeat
    moment = now()
    ttl = redis.call('PTTL', key)
  until now() == moment
  return ttl < 0 and ttl or ttl + moment - began
end
local began = now()
local found = {}
for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
  local kind = redis.call('TYPE', key).ok
  local value = {}
  if kind == 'string' then value = {redis.call('GET', key)}
  elseif kind == 'set' then value = redis.call('SMEMBERS', key)
  elseif kind == 'zset' then value = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  elseif kind == 'hash' then value = redis.call('HGETALL', key)
  elseif kind == 'list' then value = redis.call('LRANGE', key, 0, -1) end
  found[#found + 1] = {key, kind, ttl_from(began, key), value}
end
return {began, found}
"""

Value: TypeAlias = bytes | frozenset[bytes] | dict[bytes, bytes] | list[bytes]


@dataclass(frozen=True)
class Entry:
    """One key: its type, its lifetime in ms (-1: for ever), and its value."""

    kind: str
    ttl: int
    value: Value

    @property
    def text(self) -> bytes:
        assert isinstance(self.value, bytes)
        return self.value

    @property
    def members(self) -> frozenset[bytes]:
        assert isinstance(self.value, frozenset)
        return self.value

    @property
    def fields(self) -> dict[bytes, bytes]:
        assert isinstance(self.value, dict)
        return self.value


Dump: TypeAlias = dict[str, Entry]
"""Every key of a namespace, without the namespace and the colon after it."""
Client: TypeAlias = redis.Redis | redis.RedisCluster


def dump(raw: Client, namespace: str) -> Dump:
    """Return all that is in a namespace, as it is at one moment; on a cluster see `Spread`."""
    return dump_at(raw, namespace)[0]


def dump_at(raw: Client, namespace: str) -> tuple[Dump, int]:
    """Return the same, and that moment by the server's clock, in ms since the epoch."""
    if isinstance(raw, redis.RedisCluster):
        spread = Spread(raw, namespace)
        return spread.together(), spread.moment
    return _dump_server(raw, namespace)


def clear(raw: Client, namespace: str) -> None:
    """Delete all that is in a namespace."""
    for key in raw.scan_iter(f"{namespace}:*", count=1000):
        raw.unlink(key)


class Spread:
    """A namespace on a cluster that is at rest, all of it as if seen at one moment.

    Attributes:
        slots: What is in each slot by its hash tag, named as on a single server.
        pointers: Of each session key the nonce and the hash tag that its owner pointer names, and
            for how many ms.
    """

    def __init__(self, raw: redis.RedisCluster, namespace: str) -> None:
        self.slots: dict[str, Dump] = {}
        self.pointers: dict[str, tuple[str, str, int]] = {}
        self.moment = 0
        for node in raw.get_primaries():  # type: ignore[no-untyped-call]  # redis-py says nothing of it
            found, moment = _dump_server(raw.get_redis_connection(node), namespace)
            self.moment = self.moment or moment
            for key, entry in found.items():
                seen = Entry(entry.kind, entry.ttl if entry.ttl == -1 else entry.ttl + moment - self.moment, entry.value)
                if key.startswith("{"):
                    tag, _, name = key[1:].partition("}:")
                    self.slots.setdefault(tag, {})[name] = seen
                else:
                    assert key.startswith("owner:"), f"a key of no known kind: {key!r}"
                    nonce, _, tag = seen.text.decode().partition(" ")
                    self.pointers[key.removeprefix("owner:")] = (nonce, tag, seen.ttl)

    def together(self) -> Dump:
        """Return what is in all slots; but reservations that are barred, which answer nothing."""
        merged: Dump = {}
        for found in self.slots.values():
            mine = {name: entry for name, entry in found.items() if not name.startswith("barred:")}
            assert not mine.keys() & merged.keys(), f"in two slots: {mine.keys() & merged.keys()}"
            merged |= mine
        return merged

    def check(self) -> None:
        """Assert that every session's pointer leads to it, and outlives it."""
        for tag, found in self.slots.items():
            for key in (name.removeprefix("session:") for name in found if name.startswith("session:")):
                assert key in self.pointers, f"no pointer leads to {key!r}"
                nonce, named, lives = self.pointers[key]
                session, record = found[f"session:{key}"], found[f"own:{key}"].fields
                assert named == tag, f"the pointer of {key!r} leads to {named}, and it is in {tag}"
                assert nonce == record[b"g"].decode(), f"{key!r} was stored under another reservation than its pointer's"
                assert f"barred:{nonce}" not in found, f"the reservation of {key!r} is barred"
                assert lives != -1, f"the pointer of {key!r} has no end"
                if session.ttl != -1:
                    assert lives + SLACK_MS >= session.ttl + int(record[b"u"]), f"the pointer of {key!r} ends too early"
                    assert int(record[b"u"]) >= 0, f"the pointer of {key!r} ends before it does"


def _dump_server(raw: redis.Redis, namespace: str) -> tuple[Dump, int]:
    pattern = re.sub(r"([\\\[\]*?^-])", r"\\\1", namespace) + ":*"
    start = len(namespace.encode()) + 1
    began, found = raw.eval(DUMP, 0, pattern)
    entries = {
        key[start:].decode("utf-8", "surrogateescape"): Entry(kind.decode(), ttl, _value(kind, value))
        for key, kind, ttl, value in sorted(found)
    }
    return entries, began


def _value(kind: bytes, value: list[bytes]) -> Value:
    if kind == b"string":
        return value[0]
    if kind == b"set":
        return frozenset(value)
    return dict(zip(value[::2], value[1::2], strict=True)) if kind in (b"hash", b"zset") else value


def check(raw: Client, namespace: str) -> None:
    """Assert that sessions, records, claims and indices of a namespace agree.

    A claim whose session was given a shorter life than the lease, by touch or a plain
    register_wait, would be taken for a fault once that life is over; nothing else that our store
    does may be.
    """
    State(*dump_at(raw, namespace)).check()
    if isinstance(raw, redis.RedisCluster):
        Spread(raw, namespace).check()


class State:
    """A namespace, sorted by what its keys are."""

    def __init__(self, found: Dump, moment: int) -> None:
        self.found = found
        self.moment = moment
        self.sessions = self.under("session")
        self.records = self.under("own")
        self.claims = self.under("claim")
        self.scopes = self.under("waits:scope")
        self.sets = self.under("waits:user")
        self.indices = self.under("scopes")
        self.pointers = self.under("user")
        self.lasting = self.under("lasting")
        self.marks = self.under("copied")

    def under(self, prefix: str) -> Dump:
        return {key.removeprefix(f"{prefix}:"): entry for key, entry in self.found.items() if key.startswith(f"{prefix}:")}

    def check(self) -> None:
        known = (
            self.sessions,
            self.records,
            self.claims,
            self.scopes,
            self.sets,
            self.indices,
            self.pointers,
            self.marks,
            self.lasting,
        )
        assert sum(map(len, known)) == len(self.found), f"a key of no known kind: {sorted(self.found)}"
        assert self.sessions.keys() == self.records.keys(), "sessions and their records are not the same keys"
        for key in self.sessions:
            self.check_session(key)
        for name, entry in self.scopes.items():
            self.check_scope(name, entry)
        for place, entry in self.sets.items():
            self.check_set(place, entry)
        for place, entry in self.indices.items():
            self.check_index(place, entry)
        for place, entry in self.pointers.items():
            self.check_pointer(place, entry)
        self.check_lasting()
        for key, claim in self.claims.items():
            assert claim.kind == "string", f"claim on {key!r}: {claim}"
            assert claim.ttl != -1, f"the claim on {key!r} has no end"
            assert key in self.sessions, f"the claim on {key!r} has no session"

    def check_lasting(self) -> None:
        """Of one server.

        Sessions without a lifetime, or with one of more than a day, are due for a check within a
        day. Of others only those are named whose check is due.
        """
        assert self.lasting.keys() <= {"sessions"}, f"a key of no known kind: {self.lasting}"
        noted = self.lasting["sessions"].fields if self.lasting else {}
        if any(b"g" in record.fields for record in self.records.values()):
            return  # on a cluster nobody else writes
        lasting = {key.encode() for key, record in self.records.items() if not 0 <= record.ttl <= _DAY_MS + SLACK_MS}
        assert noted.keys() >= lasting
        there = {key.encode() for key in self.records}
        for key, due in noted.items():
            latest = self.moment + (_DAY_MS if key in there else 0) + SLACK_MS
            assert float(due) <= latest, f"the check of {key!r} is too late"

    def check_session(self, key: str) -> None:
        session, record = self.sessions[key], self.records[key].fields
        data = SessionData.from_json(session.text)
        ctx = data.tenant_ctx
        owner = f"{ctx.env}:{ctx.tenant_id}:{ctx.effective_team or ''}:{ctx.effective_user or ''}"
        assert record[b"o"].decode() == owner, f"the record of {key!r} names another owner than the session"
        assert record[b"h"].decode() == hashlib.sha1(session.text).hexdigest(), f"the record of {key!r} fits another text"
        is_wait = bool(record[b"s"])  # what was displaced may be a wait of the reference's elsewhere
        assert not (is_wait and record.get(b"f")), f"the record of {key!r} says that somebody else wrote"
        assert_same_life(f"session {key!r}", session, self.records[key])
        hashed = record[b"s"].decode()
        assert (b"w" in record) == bool(hashed), f"the record of {key!r} names a scope twice or half"
        if not hashed:
            return
        assert msgspec.json.decode(record[b"w"], type=ReplyScope).scope_hash() == hashed
        scope = self.scopes.get(f"{owner_path(owner)}:{hashed}")
        assert scope is not None, f"{key!r} waits, and no scope key leads to it"
        assert scope.text.decode() == key, f"{key!r} and {scope.text!r} wait at one scope"
        assert key.encode() in self.set_of(owner), f"{key!r} waits, and is not in its user's set"
        if len(self.set_of(owner)) == 1:
            return
        ends = self.indices[owner_path(owner)].fields.get(hashed.encode())
        assert ends is not None, f"{key!r} waits, and is not in its user's index"
        assert (ends == b"inf") == (session.ttl == -1), f"the index has another lifetime than {key!r}"
        if session.ttl != -1:
            assert abs(int(ends) - self.moment - session.ttl) <= SLACK_MS, f"the index has another lifetime than {key!r}"

    def set_of(self, owner: str) -> frozenset[bytes]:
        entry = self.sets.get(owner_path(owner))
        return frozenset() if entry is None else entry.members

    def check_scope(self, name: str, scope: Entry) -> None:
        place, hashed = name.rsplit(":", 1)
        key = scope.text.decode()
        assert key in self.sessions, f"scope {name} leads to {key!r}, which is not there"
        record = self.records[key].fields
        assert record[b"s"].decode() == hashed, f"scope {name} leads to {key!r}, which waits elsewhere or not at all"
        assert owner_path(record[b"o"].decode()) == place, f"scope {name} leads to {key!r}, which is somebody else's"
        assert_same_life(f"scope {name}", scope, self.sessions[key])

    def check_set(self, place: str, entry: Entry) -> None:
        lives = []
        for member in entry.members:
            key = member.decode()
            if key not in self.sessions:
                continue  # expired; it goes at the user's next operation, or with the set
            record = self.records[key].fields
            if owner_path(record[b"o"].decode()) != place:
                continue  # the same, and its key was used again by somebody else
            assert record[b"s"], f"{key!r} is in the set of {place}, and does not wait"
            lives.append(self.sessions[key].ttl)
        if lives:
            longest = -1 if -1 in lives else max(lives)
            assert same_life(entry.ttl, longest), f"the set of {place} lives {entry.ttl} ms, its longest wait {longest}"
        else:
            assert entry.ttl != -1, f"the set of {place} has no wait and no end"
        assert (place in self.indices) == (len(entry.members) > 1), f"several waits have an index, and one has none: {place}"

    def check_index(self, place: str, index: Entry) -> None:
        assert place in self.sets, f"there is an index of {place}, and no set"
        assert_same_life(f"index of {place}", index, self.sets[place])
        assert len(index.fields) == len(self.sets[place].members), f"the index of {place} has another length than its set"

    def check_pointer(self, place: str, pointer: Entry) -> None:
        key = pointer.text.decode()
        assert key in self.sessions, f"the pointer of {place} leads to {key!r}, which is not there"
        owner = self.records[key].fields.get(b"p", b"").decode()
        assert owner, f"the pointer of {place} leads to {key!r}, whose record knows of none"
        assert owner_path(owner) == place, f"the pointer of {place} leads to {key!r}, which is the latest of {owner}"
        assert_same_life(f"pointer of {place}", pointer, self.sessions[key])


def owner_path(owner: str) -> str:
    """Return an owner as the keys shared with the reference name it: ``-`` for no team."""
    env, tenant, team, user = owner.split(":")
    return f"{env}:{tenant}:{team or '-'}:{user}"


def same_life(one: int, other: int) -> bool:
    return one == other if -1 in (one, other) else abs(one - other) <= SLACK_MS


def assert_same_life(what: str, one: Entry, other: Entry) -> None:
    assert same_life(one.ttl, other.ttl), f"{what}: {one.ttl} ms, and {other.ttl} ms for what belongs to it"
