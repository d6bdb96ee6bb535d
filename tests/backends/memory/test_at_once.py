"""What a delivery made that claimed a wait at once: whoever looks at the place sees its reply.

It becomes an inbox only then. Each test looks in another way, and nobody has looked before.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from short_ways.inboxes import all_inboxes
from timers import Timer

from greentic_session import Claim, ClaimedError, ConflictError, InMemorySessionStore, ReplyScope
from greentic_session.backend import Rewriting
from greentic_session.backends.memory.backend import MemoryBackend
from greentic_session.backends.memory.entry import Entry
from greentic_session.encryption import EncryptedSessionStore, EncryptionKey, Keyring
from greentic_session.testing._sessions.calls import answer, bodies, claim_answer, inbox, park, ready
from greentic_session.testing._sessions.samples import ALICE, CHAT, MINUTE, OTHER, ctx, data
from greentic_session.transitions import AtOnce

pytestmark = pytest.mark.asyncio

LEASE = 30.0


@pytest.fixture
def timer() -> Timer:
    """What the store of a test measures time by."""
    return Timer()


@pytest.fixture
def store(timer: Timer) -> InMemorySessionStore:
    """A store."""
    return InMemorySessionStore(timer=timer)


def memory_of(store: InMemorySessionStore) -> MemoryBackend:
    return store._memory


def entry_of(store: InMemorySessionStore, key: str = "k") -> Entry:
    return memory_of(store).shard(key)[key]


async def claimed_at_once(store: InMemorySessionStore, body: str = "1") -> Claim:
    """Park, deliver and return the claim; nobody has looked at the place yet."""
    await park(store, ttl=3600)
    claim = await claim_answer(store, body, lease=LEASE)
    assert isinstance(entry_of(store).lying, AtOnce)
    return claim


async def test_a_verdict_leaves_nothing_and_needs_no_inbox(store: InMemorySessionStore) -> None:
    claim = await claimed_at_once(store)
    entry = entry_of(store)
    await claim.complete()
    assert (claim.leftovers, all_inboxes(memory_of(store)), memory_of(store).waits) == ((), [], {})
    assert (entry.lying, memory_of(store).ready.fresh) == (None, {})


async def test_it_is_in_the_inbox(store: InMemorySessionStore) -> None:
    claim = await claimed_at_once(store)
    assert await store.inbox(ALICE, "alice", CHAT) == list(claim.replies)
    await claim.stay()
    assert await inbox(store) == []


async def test_the_next_one_is_queued_behind_it(store: InMemorySessionStore) -> None:
    claim = await claimed_at_once(store)
    assert (await answer(store, "2")).outcome == "queued"
    assert await inbox(store) == ["1", "2"]
    await claim.complete()
    assert bodies(claim.leftovers) == ["2"]


async def test_administration_counts_it_and_makes_nothing_of_it(store: InMemorySessionStore) -> None:
    await claimed_at_once(store)
    inspector = memory_of(store).inspector()
    [details] = await inspector.details(["k"])
    [tally] = (await inspector.survey(lambda _: None)).values()
    assert details is not None
    assert (details.replies, tally.replies, await inspector.accepted()) == (1, 1, 1)
    assert isinstance(entry_of(store).lying, AtOnce)  # they have no lock


async def test_another_text_of_it_is_stored(store: InMemorySessionStore) -> None:
    await claimed_at_once(store)
    await answer(store, "kept", OTHER, keep_for=MINUTE)
    backend = memory_of(store)
    found = [lying async for lying in backend.lying(ctx(None))]
    assert sorted((lying.reply.text, lying.scope.conversation) for lying in found) == [
        ("1", CHAT.conversation),
        ("kept", OTHER.conversation),
    ]
    assert [lying async for lying in backend.lying(ctx(None, tenant="globex"))] == []
    for lying in found:
        assert await backend.rewrite(Rewriting(lying, lying.reply.text * 2))
    assert (await inbox(store), await inbox(store, OTHER)) == (["11"], ["keptkept"])


async def test_it_is_sealed_anew(store: InMemorySessionStore) -> None:
    old, new = EncryptionKey.generate("k1"), EncryptionKey.generate("k2")
    sealed = EncryptedSessionStore(store, Keyring(old))
    await park(sealed, ttl=3600)
    claim = await claim_answer(sealed, "1")
    assert isinstance(entry_of(store).lying, AtOnce)
    await EncryptedSessionStore(store, Keyring(new, old)).reencrypt(ctx(None))
    assert await inbox(EncryptedSessionStore(store, Keyring(new))) == ["1"]
    await claim.complete()


async def test_it_is_ready_when_its_lease_ends(store: InMemorySessionStore, timer: Timer) -> None:
    claim = await claimed_at_once(store)
    assert await store.claim_ready() == []
    timer.advance(LEASE)
    again = await ready(store)
    assert (again.replies, again.attempt, again.idempotency_key) == (claim.replies, 2, claim.idempotency_key)
    with pytest.raises(ConflictError):
        await claim.complete()
    await again.complete()


async def test_a_plain_claim_after_its_lease_joins_the_turn(store: InMemorySessionStore, timer: Timer) -> None:
    claim = await claimed_at_once(store)
    timer.advance(LEASE)
    plain = await store.claim_wait(ALICE, "alice", CHAT)
    assert plain is not None
    assert (plain.replies, plain.attempt, plain.idempotency_key) == ((), 2, claim.idempotency_key)
    assert bodies(await plain.take()) == ["1"]


@pytest.mark.parametrize(("delay", "attempt"), [(0, 1), (5, 2)])
async def test_given_back_it_is_ready(store: InMemorySessionStore, timer: Timer, delay: int, attempt: int) -> None:
    claim = await claimed_at_once(store)
    await claim.release(delay)
    timer.advance(delay)
    again = await ready(store)
    assert (again.replies, again.attempt) == (claim.replies, attempt)


async def test_renewed_it_is_held_for_longer(store: InMemorySessionStore, timer: Timer) -> None:
    claim = await claimed_at_once(store)
    await claim.renew(100)
    timer.advance(99)
    assert await store.claim_ready() == []
    timer.advance(1)
    assert (await ready(store)).replies == claim.replies


async def test_a_wait_that_is_touched_keeps_it(store: InMemorySessionStore, timer: Timer) -> None:
    claim = await claimed_at_once(store)
    assert await store.touch("k", 1)
    timer.advance(LEASE)
    assert (await ready(store)).replies == claim.replies


async def test_taking_holds_what_comes_after_it(store: InMemorySessionStore) -> None:
    claim = await claimed_at_once(store)
    assert await claim.take() == ()
    await answer(store, "2")
    assert bodies(await claim.take()) == ["2"]
    await claim.stay()
    assert await inbox(store) == []


async def test_no_operator_drops_it(store: InMemorySessionStore) -> None:
    claim = await claimed_at_once(store)
    with pytest.raises(ClaimedError):
        await memory_of(store).drop("k")
    await claim.complete()


async def settled(claim: Claim) -> list[str]:
    await claim.complete()
    return []


async def given_back(claim: Claim) -> list[str]:
    await claim.release()
    return bodies(claim.replies)


@pytest.mark.parametrize("end", [settled, given_back])
async def test_whoever_takes_the_place_has_what_is_given_back(
    store: InMemorySessionStore, end: Callable[[Claim], Awaitable[list[str]]]
) -> None:
    claim = await claimed_at_once(store)
    await park(store, "k2", ttl=3600)
    assert (await answer(store, "2")).outcome == "queued"  # the first one is still at work
    back = await end(claim)
    assert await inbox(store) == [*back, "2"]
    assert bodies((await ready(store)).replies) == [*back, "2"][:1]


async def test_a_claim_holds_what_lies_where_it_was_and_where_it_is(store: InMemorySessionStore) -> None:
    claim = await claimed_at_once(store)
    for _ in range(2):  # it loses its place, and takes it again
        await park(store, "k2", ttl=3600)
        await park(store, ttl=3600)
    await park(store, "k2", ttl=3600)
    await park(store, scope=OTHER, ttl=3600)
    await answer(store, "2", OTHER)
    assert bodies(await claim.take()) == ["2"]
    await claim.renew(LEASE)
    await claim.stay()
    assert (await inbox(store), await inbox(store, OTHER)) == ([], [])
    assert all_inboxes(memory_of(store)) == []


async def removed(store: InMemorySessionStore, _: Timer) -> None:
    await store.remove_session("k")


async def cleared(store: InMemorySessionStore, _: Timer) -> None:
    await store.clear_wait(ALICE, "alice", CHAT)


async def purged(store: InMemorySessionStore, _: Timer) -> None:
    assert await store.purge(ctx(None)) == 1


async def moved(store: InMemorySessionStore, _: Timer) -> None:
    await park(store, scope=OTHER)


@pytest.mark.parametrize("leave", [removed, cleared, purged, moved])
async def test_it_goes_with_its_wait(
    store: InMemorySessionStore, timer: Timer, leave: Callable[[InMemorySessionStore, Timer], Awaitable[None]]
) -> None:
    await claimed_at_once(store)
    await leave(store, timer)
    assert (await inbox(store), await store.claim_ready()) == ([], [])
    assert all_inboxes(memory_of(store)) == []
    assert memory_of(store).ready.fresh == {}


async def test_a_purge_leaves_what_is_anothers(store: InMemorySessionStore) -> None:
    claim = await claimed_at_once(store)
    assert await store.purge(ctx(None, tenant="globex")) == 0
    assert await inbox(store) == bodies(claim.replies)


async def test_it_is_forgotten_with_a_session_that_has_run_out(store: InMemorySessionStore, timer: Timer) -> None:
    claim = await claimed_at_once(store)
    grace = memory_of(store).reply_limits.reply_grace_ms / 1000
    timer.advance(max(3600, grace) + 1)
    assert (await inbox(store), await store.claim_ready()) == ([], [])
    with pytest.raises(ConflictError):
        await claim.complete()


async def test_a_named_one_is_remembered_at_once(store: InMemorySessionStore) -> None:
    await park(store)
    claim = await claim_answer(store, "1", delivery_id="d")
    again = await answer(store, "1", delivery_id="d")
    assert (again.outcome, again.reply) == ("queued", claim.reply)
    await claim.stay()
    assert (await answer(store, "1", delivery_id="d")).outcome == "duplicate"


async def test_it_frees_what_has_run_out(store: InMemorySessionStore, timer: Timer) -> None:
    await park(store, ttl=3600)
    await answer(store, "kept", OTHER, keep_for=MINUTE)
    timer.advance(2 * MINUTE)
    assert len(all_inboxes(memory_of(store))) == 1
    await claim_answer(store, "1")
    assert [lies.scope for lies in all_inboxes(memory_of(store))] == [CHAT]


# -- leases that have just begun


async def many(store: InMemorySessionStore, count: int) -> list[Claim]:
    claims = []
    for number in range(count):
        scope = ReplyScope(f"c{number}")
        await store.register_wait(ALICE, "alice", scope, f"k{number}", data(), 3600)
        delivery = await store.deliver(ALICE, "alice", scope, str(number), lease=LEASE + number % 7)
        assert delivery.claim is not None
        claims.append(delivery.claim)
    return claims


async def test_who_is_asked_what_is_ready_sorts_them_in(store: InMemorySessionStore, timer: Timer) -> None:
    index: Any = memory_of(store).ready
    claims = await many(store, 300)
    assert (len(index.fresh), index._ends) == (300, [])
    first = await memory_of(store).readiness(None)
    assert (first.count, index.fresh, len(index._ends)) == (0, {}, 300)
    for claim in claims[::2]:
        await claim.complete()
    timer.advance(LEASE + 7)
    left = await store.claim_ready(limit=300)
    assert sorted(int(text) for one in left for text in bodies(one.replies)) == list(range(1, 300, 2))
    ends = [int(one.key[1:]) % 7 for one in left]
    assert ends == sorted(ends)


async def test_those_that_are_over_are_let_go(store: InMemorySessionStore) -> None:
    index: Any = memory_of(store).ready
    claims = await many(store, 300)
    await store.claim_ready()
    for claim in claims:
        await claim.complete()
    assert (index.fresh, index._lent) == ({}, {})
    assert len(index._ends) <= 64
