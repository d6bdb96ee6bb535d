"""Our operations and the reference's in any order, on few keys.

Nothing wrong is ever answered, and nothing is lost.
"""

import asyncio
import hashlib
import re
import uuid
from typing import Any, ClassVar

import pytest
import redis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from redis_invariants import Dump, dump
from redis_server import Server
from reference_fleet import Reference

from greentic_session import Claim, RedisSessionStore, ReplyScope, SessionData, TenantCtx
from greentic_session.errors import (
    ClaimedError,
    ConflictError,
    CorruptSessionError,
    InvalidInputError,
    NotFoundError,
    TenantMismatchError,
)
from greentic_session.testing._calls import CallsAStore
from greentic_session.testing._sessions.samples import ctx, data

PEOPLE = [ctx("alice"), ctx("bob"), ctx("alice", team=None)]
KEYS = ["k1", "k2", "k3"]
SCOPES = [ReplyScope("c1"), ReplyScope("c2")]
FRONT = re.compile(
    rb'\{"tenant_ctx":\{"env":"([^"]+)","tenant":"[^"]+","tenant_id":"([^"]+)"'
    rb'(?:,"team":"[^"]+","team_id":"([^"]+)")?,"user":"[^"]+","user_id":"([^"]+)","'
)

people = st.sampled_from(PEOPLE)
keys = st.sampled_from(KEYS)
scopes = st.sampled_from(SCOPES)
nodes = st.sampled_from(["n1", "n2"])
their_nodes = st.sampled_from(["n1", "theirs.n1", "theirs.n2"])  # the first one is a text of ours, too
ttls = st.sampled_from([None, 1_000, 2_000])


def owner(who: TenantCtx) -> str:
    return f"{who.env}:{who.tenant_id}:{who.team_id or ''}:{who.user_id}"


def place(who: TenantCtx) -> str:
    return f"{who.env}:{who.tenant_id}:{who.team_id or '-'}:{who.user_id}"


class Seen:
    """A namespace at one moment, and the answers that it must give.

    Written apart from the scripts.
    """

    def __init__(self, found: Dump) -> None:
        self.found = found

    def text(self, key: str) -> bytes | None:
        entry = self.found.get(f"session:{key}")
        return None if entry is None else entry.text

    def record(self, key: str) -> dict[bytes, bytes]:
        entry = self.found.get(f"own:{key}")
        return {} if entry is None else entry.fields

    def owner(self, key: str) -> str | None:
        """The identity at the front of the payload; where there is none, our record's."""
        front = FRONT.match(self.text(key) or b"")
        if front is None:
            recorded = self.record(key).get(b"o")
            return None if recorded is None else recorded.decode()
        return b":".join(part or b"" for part in front.groups()).decode()

    def is_known(self, key: str) -> bool:
        """Our record tells where the session waits.

        What is stored is what we wrote, and all since it was parked.
        """
        text, record = self.text(key) or b"", self.record(key)
        fits = hashlib.sha1(text).hexdigest().encode() == record.get(b"h")
        return fits and not record.get(b"f") and not self.is_rewritten(key)

    def ttl(self, name: str) -> int:
        entry = self.found.get(name)
        return -2 if entry is None else entry.ttl

    def is_rewritten(self, key: str) -> bool:
        """Session and record have other lifetimes than each other: we set both at once."""
        session, record = self.ttl(f"session:{key}"), self.ttl(f"own:{key}")
        return (session == -1) != (record == -1) or abs(session - record) > 50

    def has_lost_its_lifetime(self, who: TenantCtx, key: str) -> bool:
        """An update of the reference's has taken it, and our record still has it."""
        if (
            self.ttl(f"session:{key}") != -1
            or self.ttl(f"own:{key}") < 0
            or self.record(key).get(b"o") != owner(who).encode()
        ):
            return False
        named = self.record(key).get(b"s", b"").decode()
        if not named:
            return not self.is_member(who, key)
        name = f"waits:scope:{place(who)}:{named}"
        return self.ttl(name) >= 0 and self.found[name].text.decode() == key

    def waits_at(self, who: TenantCtx, scope: ReplyScope) -> str | None:
        entry = self.found.get(f"waits:scope:{place(who)}:{scope.scope_hash()}")
        key = "" if entry is None else entry.text.decode()
        if self.text(key) is None or self.owner(key) != owner(who):
            return None
        named = self.record(key).get(b"s", b"").decode()
        if named == scope.scope_hash() or not self.is_known(key) or self.is_member(who, key):
            return key
        # The reference has registered the same text since; or left the scope key behind, before we
        # parked the session anew.
        is_since = entry is not None and entry.ttl == -1 == self.ttl(f"session:{key}") and not self.record(key).get(b"x")
        return key if named and is_since else None

    def led_for_good(self, who: TenantCtx, scope: ReplyScope) -> str | None:
        """Where a scope key without a lifetime leads."""
        entry = self.found.get(f"waits:scope:{place(who)}:{scope.scope_hash()}")
        return entry.text.decode() if entry is not None and entry.ttl == -1 else None

    def is_member(self, who: TenantCtx, key: str) -> bool:
        """We keep what does not wait out of the set.

        The reference has registered it since, with the same text.
        """
        entry = self.found.get(f"waits:user:{place(who)}")
        return not self.record(key).get(b"s") and entry is not None and key.encode() in entry.members

    def waits(self, who: TenantCtx) -> list[str]:
        entry = self.found.get(f"waits:user:{place(who)}")
        members = sorted(member.decode() for member in (() if entry is None else entry.members))
        return [key for key in members if self.is_wait(who, key)]

    def is_wait(self, who: TenantCtx, key: str) -> bool:
        if self.text(key) is None or self.owner(key) != owner(who):
            return False
        named = self.record(key).get(b"s", b"").decode()
        scope = self.found.get(f"waits:scope:{place(who)}:{named}")
        return (scope is not None and scope.text.decode() == key) or not self.is_known(key) or named == ""

    def data(self, key: str) -> SessionData | None:
        """None for a corrupt one."""
        text = self.text(key)
        assert text is not None
        try:
            return SessionData.from_json(text)
        except InvalidInputError:
            return None


class MixedFleet(CallsAStore, RuleBasedStateMachine):
    refusals = (ConflictError, CorruptSessionError, InvalidInputError, NotFoundError)
    url: ClassVar[str]
    raw: ClassVar[redis.Redis]

    def __init__(self) -> None:
        super().__init__()
        self.namespace = f"test-{uuid.uuid4().hex}"
        self.loop = asyncio.new_event_loop()
        self.store = RedisSessionStore.from_url(self.url, namespace=self.namespace, timeout=30)
        self.reference = Reference(self.raw, self.namespace)
        self.claims: list[Claim] = []
        self.steps = 0

    def teardown(self) -> None:
        self.run(self.store.aclose())
        self.loop.close()
        self.raw.flushall()

    @property
    def seen(self) -> Seen:
        return Seen(dump(self.raw, self.namespace))

    def now_ms(self) -> int:
        """What the server's clock says."""
        seconds, micros = self.raw.time()
        return seconds * 1000 + micros // 1000

    def unchanged(self, before: Seen) -> bool:
        now = self.seen.found
        return {key: entry.value for key, entry in now.items()} == {key: entry.value for key, entry in before.found.items()}

    # -- what we do

    @rule(who=people, key=keys, node=nodes, ttl=ttls)
    def create(self, who: TenantCtx, key: str, node: str, ttl: int | None) -> None:
        before = self.seen
        result = self.outcome(self.store.create_session(who, data(who, node), key=key, ttl=ttl))
        assert result == (key if before.text(key) is None else ConflictError)
        assert result == key or self.unchanged(before)
        if result == key:
            assert all(self.seen.waits_at(one, scope) != key for one in PEOPLE for scope in SCOPES)

    @rule(who=people, key=keys, scope=scopes, node=nodes, ttl=ttls, on_conflict=st.sampled_from(["replace", "fail"]))
    def register(self, who: TenantCtx, key: str, scope: ReplyScope, node: str, ttl: int | None, on_conflict: Any) -> None:
        before = self.seen
        call = self.store.register_wait(who, str(who.user_id), scope, key, data(who, node), ttl, on_conflict=on_conflict)
        self.check_parked(before, who, key, scope, node, self.outcome(call), on_conflict)

    def check_parked(
        self, before: Seen, who: TenantCtx, key: str, scope: ReplyScope, node: str, result: Any, on_conflict: str
    ) -> None:
        holder = before.waits_at(who, scope)
        if before.text(key) is not None and before.owner(key) is None:
            assert result is CorruptSessionError
        elif before.text(key) is not None and before.owner(key) != owner(who):
            assert result is TenantMismatchError
        elif on_conflict == "fail" and holder not in (None, key):
            assert result is ConflictError
        else:
            assert result == (None if holder == key else holder)
            now = self.seen
            assert now.text(key) == data(who, node).to_json()
            # What was left behind of an earlier session cannot be told from what the reference
            # registered since.
            left = [one for one in SCOPES if before.text(key) is None and before.led_for_good(who, one) == key]
            assert now.waits_at(who, scope) == key
            assert all(now.waits_at(who, one) != key for one in SCOPES if one != scope and one not in left)
            assert key in now.waits(who)
            if result is not None:
                assert result not in now.waits(who)
                assert now.text(result) == before.text(result)
                # Where the reference wrote since, it may wait where that has moved it to; never
                # where it was displaced.
                gone = SCOPES if before.is_known(result) else [scope]
                assert all(now.waits_at(who, one) != result for one in gone)
            return
        assert self.seen.text(key) == before.text(key)
        assert self.seen.waits_at(who, scope) == holder

    @rule(key=keys, who=people, node=nodes, version=st.sampled_from([None, "right", "wrong"]), as_caller=st.booleans())
    def update(self, key: str, who: TenantCtx, node: str, version: str | None, *, as_caller: bool) -> None:
        before = self.seen
        stored = before.text(key)
        right = None if stored is None else hashlib.sha1(stored).hexdigest()
        if_version = right if version == "right" else version
        asking = who if as_caller else None
        result = self.outcome(self.store.update_session(key, data(who, node), ctx=asking, if_version=if_version))
        if stored is None:
            assert result is NotFoundError
        elif before.data(key) is None:
            assert result is CorruptSessionError
        elif before.owner(key) != owner(who):
            assert result is (NotFoundError if as_caller else TenantMismatchError)
        elif version == "wrong":
            assert result is ConflictError
        else:
            now = self.seen
            assert now.text(key) == data(who, node).to_json()
            assert result == hashlib.sha1(now.text(key) or b"").hexdigest()
            is_for_ever = before.ttl(f"session:{key}") == -1 and not before.has_lost_its_lifetime(who, key)
            assert (now.ttl(f"session:{key}") == -1) == is_for_ever
            for scope in SCOPES:
                assert now.waits_at(who, scope) == before.waits_at(who, scope)
            assert now.waits(who) == before.waits(who)
            return
        assert self.unchanged(before)

    @precondition(lambda self: self.owned())
    @rule(choose=st.data(), node=nodes, version=st.sampled_from([None, "right"]), as_caller=st.booleans())
    def update_what_is_there(self, choose: st.DataObject, node: str, version: str | None, *, as_caller: bool) -> None:
        """The rule above seldom meets one and its owner."""
        key, who = choose.draw(st.sampled_from(self.owned()))
        self.update(key, who, node, version, as_caller=as_caller)

    @precondition(lambda self: self.parked())
    @rule(choose=st.data(), key=keys, node=nodes, ttl=ttls, on_conflict=st.sampled_from(["replace", "fail"]))
    def displace(self, choose: st.DataObject, key: str, node: str, ttl: int | None, on_conflict: Any) -> None:
        """The same for register_wait, at a scope that is taken."""
        who, scope = choose.draw(st.sampled_from(self.parked()))
        self.register(who, key, scope, node, ttl, on_conflict)

    @precondition(lambda self: self.parked())
    @rule(choose=st.data())
    def claim_what_waits(self, choose: st.DataObject) -> None:
        who, scope = choose.draw(st.sampled_from(self.parked()))
        self.claim(who, scope)

    def owned(self) -> list[tuple[str, TenantCtx]]:
        seen = self.seen
        return [(key, who) for key in KEYS for who in PEOPLE if seen.text(key) is not None and seen.owner(key) == owner(who)]

    def parked(self) -> list[tuple[TenantCtx, ReplyScope]]:
        seen = self.seen
        return [(who, scope) for who in PEOPLE for scope in SCOPES if seen.waits_at(who, scope)]

    @rule(key=keys, who=st.none() | people)
    def remove(self, key: str, who: TenantCtx | None) -> None:
        before = self.seen
        result = self.outcome(self.store.remove_session(key, ctx=who))
        if before.text(key) is None or (who is not None and before.owner(key) != owner(who)):
            assert result is NotFoundError
            assert self.unchanged(before)
        else:
            assert result is None
            self.check_gone(before, key)

    def check_gone(self, before: Seen, key: str) -> None:
        now = self.seen
        assert not now.found.keys() & {f"session:{key}", f"own:{key}", f"claim:{key}"}
        for one in PEOPLE:
            assert now.waits(one) == [other for other in before.waits(one) if other != key]
            for scope in SCOPES:
                waited = before.waits_at(one, scope)
                assert now.waits_at(one, scope) == (None if waited == key else waited)

    @rule(key=keys, ttl=ttls, who=st.none() | people)
    def touch(self, key: str, ttl: int | None, who: TenantCtx | None) -> None:
        before, began = self.seen, self.now_ms()
        there = before.text(key) is not None and (who is None or before.owner(key) == owner(who))
        assert self.run(self.store.touch(key, ttl, ctx=who)) is there
        if not there:
            assert self.unchanged(before)
            return
        now = self.seen
        lives = [now.found[f"session:{key}"].ttl]
        if f"own:{key}" in now.found:
            lives.append(now.found[f"own:{key}"].ttl)
        if ttl is None:
            assert {*lives} == {-1}
        else:
            longest = ttl * 1000
            shortest = longest - (self.now_ms() - began)  # however long a busy machine has taken
            assert all(shortest <= life <= longest for life in lives)

    @rule(who=people, scope=scopes)
    def clear(self, who: TenantCtx, scope: ReplyScope) -> None:
        before = self.seen
        self.run(self.store.clear_wait(who, str(who.user_id), scope))
        if key := before.waits_at(who, scope):
            self.check_gone(before, key)
        else:
            assert {key for key in KEYS if self.seen.text(key)} == {key for key in KEYS if before.text(key)}

    @rule(who=people, scope=scopes)
    def claim(self, who: TenantCtx, scope: ReplyScope) -> None:
        before = self.seen
        key = before.waits_at(who, scope)
        result = self.outcome(self.store.claim_wait(who, str(who.user_id), scope, lease=500))
        if key is None:
            assert result is None
        elif f"claim:{key}" in before.found:
            assert result is ClaimedError
        elif before.data(key) is None:
            assert result is CorruptSessionError
            assert f"claim:{key}" not in self.seen.found
        else:
            assert (result.key, result.data, result.scope) == (key, before.data(key), scope)
            assert result.data.tenant_ctx == who
            self.claims.append(result)

    @precondition(lambda self: self.claims)
    @rule(choose=st.data(), how=st.sampled_from(["park", "complete", "release", "renew"]), scope=scopes, node=nodes)
    def end_claim(self, choose: st.DataObject, how: str, scope: ReplyScope, node: str) -> None:
        claim = choose.draw(st.sampled_from(self.claims))
        if how != "renew":
            self.claims.remove(claim)
        who, before = claim.data.tenant_ctx, self.seen
        held = before.found.get(f"claim:{claim.key}")
        live = before.text(claim.key) is not None and held is not None and held.text.startswith(claim._token.encode())
        if how == "park":
            result = self.outcome(claim.park(scope, data(who, node)))
            if live:
                self.check_parked(before, who, claim.key, scope, node, result, "replace")
            else:
                assert result is ConflictError
        else:
            if how == "complete":  # a session that the reference has stored for somebody else since stays
                live = live and before.owner(claim.key) in (None, owner(who))
            call = claim.renew(500) if how == "renew" else claim.complete() if how == "complete" else claim.release()
            assert self.outcome(call) is (None if live else ConflictError)
            if live and how == "complete":
                self.check_gone(before, claim.key)
        if not live:
            assert self.unchanged(before)

    @rule(who=people)
    def find_by_user(self, who: TenantCtx) -> None:
        before = self.seen
        result = self.outcome(self.store.find_by_user(who, str(who.user_id)))
        waits = before.waits(who)
        if len(waits) > 1:
            assert result is InvalidInputError
        elif waits:
            stored = before.data(waits[0])
            assert result == ((waits[0], stored) if stored is not None else CorruptSessionError)
        elif result not in (None, CorruptSessionError):
            key, stored = result
            assert before.owner(key) == owner(who)
            assert stored == before.data(key)

    @rule(who=people)
    def purge(self, who: TenantCtx) -> None:
        before = self.seen
        wide = who.team_id is None  # then every team is reached, this user's sessions only
        reached = {owner(one) for one in PEOPLE if one.user_id == who.user_id and (wide or one.team_id == who.team_id)}
        gone = [key for key in KEYS if before.text(key) is not None and before.owner(key) in reached]
        assert self.run(self.store.purge(who)) == len(gone)
        for key in gone:
            assert self.seen.text(key) is None

    # -- what the reference does

    @rule(who=people, key=keys, scope=scopes, node=their_nodes, ttl=ttls, racing=st.booleans())
    def they_register(
        self, who: TenantCtx, key: str, scope: ReplyScope, node: str, ttl: int | None, *, racing: bool
    ) -> None:
        ttl_ms = None if ttl is None else ttl * 1000
        self.reference.register_wait(scope, key, data(who, node), ttl_ms, racing=racing)

    @rule(who=people, key=keys, node=their_nodes)
    def they_update(self, who: TenantCtx, key: str, node: str) -> None:
        self.reference.update_session(key, data(who, node))

    @precondition(lambda self: self.owned())
    @rule(choose=st.data(), scope=scopes, ttl=ttls)
    def they_register_the_same_text(self, choose: st.DataObject, scope: ReplyScope, ttl: int | None) -> None:
        key, _ = choose.draw(st.sampled_from(self.owned()))
        if (stored := self.seen.data(key)) is not None:
            self.reference.register_wait(scope, key, stored, None if ttl is None else ttl * 1000)

    @rule(key=keys)
    def they_remove(self, key: str) -> None:
        if self.seen.text(key) is not None and self.seen.data(key) is not None:
            self.reference.remove_session(key)

    @rule(who=people, scope=scopes)
    def they_find(self, who: TenantCtx, scope: ReplyScope) -> None:
        self.reference.find_wait_by_scope(who, scope)

    @rule(who=people, scope=scopes)
    def they_clear(self, who: TenantCtx, scope: ReplyScope) -> None:
        self.reference.clear_wait(who, scope)

    @precondition(lambda self: self.owned())
    @rule(choose=st.data(), kind=st.sampled_from(["empty", "cut", "other"]))
    def they_spoil(self, choose: st.DataObject, kind: str) -> None:
        key, _ = choose.draw(st.sampled_from(self.owned()))
        text = self.seen.text(key) or b""
        cut = text[: text.index(b'"flow_id"')] if b'"flow_id"' in text else b"["
        spoiled = {"empty": b"", "cut": cut, "other": b'{"a":1}'}[kind]
        self.raw.set(self.reference.session_key(key), spoiled, keepttl=True)

    @rule(who=people, key=keys, scope=scopes)
    def they_leave_a_scope_key(self, who: TenantCtx, key: str, scope: ReplyScope) -> None:
        self.raw.set(self.reference.scope_key(who, scope), key)

    @rule(who=people, key=keys)
    def they_leave_a_member(self, who: TenantCtx, key: str) -> None:
        self.raw.sadd(self.reference.set_key(who), key)

    @rule(choose=st.data(), what=st.sampled_from(["delete", "persist"]))
    def time_takes(self, choose: st.DataObject, what: str) -> None:
        """Any key expires before the others, or has lost its lifetime."""
        found = sorted(self.seen.found)
        if found:
            key = f"{self.namespace}:{choose.draw(st.sampled_from(found))}"
            self.raw.delete(key) if what == "delete" else self.raw.persist(key)

    # -- what holds at any time

    @rule()
    def look_everywhere(self) -> None:
        for who in PEOPLE:
            self.look(who)

    @invariant()
    def somebody_looks(self) -> None:
        """Not everybody.

        Looking cleans, and what is stale must not have been cleaned at each step.
        """
        self.steps += 1
        self.look(PEOPLE[self.steps % len(PEOPLE)], SCOPES[: self.steps % (len(SCOPES) + 1)])
        self.check_reads(KEYS[self.steps % len(KEYS)])

    def look(self, who: TenantCtx, scopes: list[ReplyScope] = SCOPES) -> None:
        user = str(who.user_id)
        for scope in scopes:
            before = self.seen
            expected = before.waits_at(who, scope)
            wait = self.outcome(self.store.find_wait(who, user, scope))
            assert self.run(self.store.find_wait_by_scope(who, user, scope)) == expected
            if expected is None:
                assert wait is None
                assert f"waits:scope:{place(who)}:{scope.scope_hash()}" not in self.seen.found  # cleaned
            elif before.data(expected) is None:
                assert wait is CorruptSessionError
            else:
                assert (wait.key, wait.data, wait.scope) == (expected, before.data(expected), scope)
                assert wait.data.tenant_ctx == who
        waits = self.seen.waits(who)
        assert self.run(self.store.list_waits_for_user(who, user)) == waits
        now = self.seen.found
        members = now.get(f"waits:user:{place(who)}")
        assert len(waits) > 1 or f"scopes:{place(who)}" not in now
        assert waits == sorted(member.decode() for member in (() if members is None else members.members))

    def check_reads(self, key: str) -> None:
        before = self.seen
        result = self.outcome(self.store.get_session(key))
        if before.text(key) is None:
            assert result is None
        else:
            assert result == before.data(key) if before.data(key) is not None else result is CorruptSessionError
        for who in PEOPLE:
            mine = self.outcome(self.store.get_session(key, ctx=who))
            assert mine in (None, CorruptSessionError) or mine.tenant_ctx == who


@pytest.mark.parametrize(
    ("examples", "steps"), [(15, 25), pytest.param(150, 60, marks=pytest.mark.slow)], ids=["some", "many"]
)
def test_ours_and_theirs_in_any_order(shared: Server, examples: int, steps: int) -> None:
    with shared.client() as raw:
        machine = type("Machine", (MixedFleet,), {"url": shared.url, "raw": raw})
        run_state_machine_as_test(
            machine, settings=settings(max_examples=examples, stateful_step_count=steps, deadline=None)
        )
