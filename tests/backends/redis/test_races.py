"""Several processes on one Redis at once.

Each round has the outcomes that some order of its calls explains.
"""

import asyncio
import functools
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest
import redis_invariants
from races import players as races
from races.players import STAYING
from races.workers import LONG, WORKERS, Crew, Outcome, Played, Race, Round, open_store
from time_passing import pass_time

from greentic_session import ClaimedError, RedisSessionStore, SessionData, TenantCtx
from greentic_session.testing._sessions.samples import ctx, data


@pytest.fixture(scope="module")
def crew(redis_url: str) -> Iterator[Crew]:
    with Crew(redis_url) as crew:
        yield crew


Answer = TypeVar("Answer")

PART = 500
"""How many rounds one namespace sees."""


class Track:
    """Where a race takes place: plays it, and looks at what it left.

    Attributes:
        thinned: Of how many rounds one is played, where there are many and they take longer.
    """

    thinned = 1

    def __init__(self, crew: Crew, url: str, raw: redis_invariants.Client, namespace: str) -> None:
        self.crew = crew
        self.url = url
        self.raw = raw
        self.namespace = namespace

    def run(self, race: type[Race], rounds: int) -> list[list[Outcome]]:
        """Play a race; return the outcomes of each round by role."""
        played: Played = self.crew.run(race, self.namespace, rounds)
        assert played.met * 10 > rounds, "the players hardly ever met: this was no race"
        return played.outcomes

    def check_indices(self) -> None:
        redis_invariants.check(self.raw, self.namespace)

    def left(self) -> list[str]:
        """Return all keys of the namespace."""
        return sorted(redis_invariants.dump(self.raw, self.namespace))

    def ask(self, question: Callable[[RedisSessionStore, Round], Coroutine[Any, Any, Answer]], rounds: int) -> list[Answer]:
        """Ask a store something about each round."""

        async def ask_all() -> list[Answer]:
            async with open_store(self.url, self.namespace) as store:
                return await asyncio.gather(*(question(store, Round(number)) for number in range(rounds)))

        return asyncio.run(ask_all())


@pytest.fixture
def track(crew: Crew, redis_url: str, raw: redis_invariants.Client, namespace: str) -> Track:
    return Track(crew, redis_url, raw, namespace)


def rounds(some: int, many: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a test its rounds: some of them in every run, many in the slow one.

    Many are played in parts, each in a namespace of its own, so that looking at a part does not
    block the server for long.
    """

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def play_parts(track: Track, rounds: int, **more: Any) -> None:
            if rounds >= PART:
                rounds = -(-rounds // track.thinned)
            for number, start in enumerate(range(0, rounds, PART)):
                part = Track(track.crew, track.url, track.raw, f"{track.namespace}:{number}")
                test(track=part, rounds=min(PART, rounds - start), **more)
                redis_invariants.clear(track.raw, part.namespace)

        many_rounds = pytest.param(many, marks=pytest.mark.slow)
        marked: Callable[..., None] = pytest.mark.parametrize("rounds", [some, many_rounds], ids=["some", "many"])(
            play_parts
        )
        return marked

    return decorate


async def session(store: RedisSessionStore, at: Round) -> str | None:
    """Return the snapshot of a round's session."""
    found: SessionData | None = await store.get_session(at.key)
    return None if found is None else found.context_json


async def holder(store: RedisSessionStore, at: Round) -> str | None:
    """Return the key of what waits at a round's scope; check that every other lookup agrees."""
    key = await store.find_wait_by_scope(at.owner, at.user, at.scope)
    found = await store.find_wait(at.owner, at.user, at.scope)
    assert key == (None if found is None else found.key)
    return key


async def waits(store: RedisSessionStore, at: Round) -> list[str]:
    """Return the keys of a round's user's waits."""
    return [*await store.list_waits_for_user(at.owner, at.user)]


def last_of(displaced: dict[str, Outcome]) -> str:
    """Return who holds a scope after a series of take-overs, given whom each of them displaced."""
    victims = list(displaced.values())
    assert victims.count(None) == 1, f"only the first finds the scope free: {displaced}"
    assert len(set(victims)) == len(victims), f"nobody is displaced twice: {displaced}"
    assert set(victims) <= {*displaced, None}, f"who was displaced had been there: {displaced}"
    (last,) = displaced.keys() - set(victims)
    return last


# -- sessions


@rounds(100, 2000)
def test_update_against_remove_never_resurrects(track: Track, rounds: int) -> None:
    outcomes = track.run(races.UpdateAgainstRemove, rounds)
    for one, other, blind, versioned in outcomes:
        assert {one, other} == {"removed", "NotFoundError"}
        assert blind in {"updated", "NotFoundError"}
        assert versioned in {"updated", "NotFoundError", "ConflictError", "absent"}
    assert track.left() == []


@rounds(75, 1000)
def test_versioned_updates_lose_none(track: Track, rounds: int) -> None:
    outcomes = track.run(races.VersionedUpdates, rounds)
    assert track.ask(session, rounds) == [str(WORKERS)] * rounds
    assert sum(int(conflicts or 0) for told in outcomes for conflicts in told) > 0
    track.check_indices()


@rounds(100, 2000)
def test_of_many_who_create_one_key_one_does(track: Track, rounds: int) -> None:
    outcomes = track.run(races.CreateOneKey, rounds)
    assert {tuple(sorted(map(str, told))) for told in outcomes} == {("ConflictError",) * 3 + ("created",)}
    assert track.ask(session, rounds) == [str(told.index("created")) for told in outcomes]
    track.check_indices()


# -- waits


@rounds(100, 1000)
def test_take_overs_leave_exactly_one_wait(track: Track, rounds: int) -> None:
    outcomes = track.run(races.TakeOvers, rounds)
    track.check_indices()
    lasts = []
    for number, told in enumerate(outcomes):
        first: dict[str, Outcome] = {f"k{number}-old": None} if number % 2 else {}
        lasts.append(last_of({**first, **{f"k{number}-{role}": displaced for role, displaced in enumerate(told)}}))
    assert track.ask(holder, rounds) == lasts
    assert track.ask(waits, rounds) == [[last] for last in lasts]

    async def readable(store: RedisSessionStore, at: Round) -> list[str]:
        found = [await store.get_session(f"{at.key}-{role}") for role in range(WORKERS)]
        return ["" if data is None else data.context_json for data in found]

    assert track.ask(readable, rounds) == [["0", "1", "2", "3"]] * rounds


@rounds(100, 1500)
def test_of_many_who_want_a_free_scope_one_gets_it(track: Track, rounds: int) -> None:
    outcomes = track.run(races.PoliteTakeOvers, rounds)
    assert {tuple(sorted(map(str, told))) for told in outcomes} == {("ConflictError",) * 3 + ("registered",)}
    assert track.ask(holder, rounds) == [f"k{number}-{told.index('registered')}" for number, told in enumerate(outcomes)]
    track.check_indices()
    assert sum(key.startswith("session:") for key in track.left()) == rounds, "a refusal wrote something"


@rounds(100, 1500)
def test_moves_leave_a_session_at_one_scope(track: Track, rounds: int) -> None:
    outcomes = track.run(races.Moves, rounds)
    assert outcomes == [["registered"] * WORKERS] * rounds
    track.check_indices()
    found = track.left()
    assert sum(key.startswith("waits:scope:") for key in found) == rounds
    assert sum(key.startswith("session:") for key in found) == rounds
    assert track.ask(waits, rounds) == [[f"k{number}"] for number in range(rounds)]


@rounds(100, 1500)
def test_the_find_of_a_dead_wait_never_unroutes_a_fresh_one(track: Track, rounds: int) -> None:
    outcomes = track.run(races.FindOfDeadWait, rounds)
    for number, (registered, by_scope, found, listed) in enumerate(outcomes):
        fresh, dead = f"k{number}-fresh", f"k{number}-dead"
        expires, elsewhere = number % 4 == 0, number % 4 == 3
        assert registered == "registered"
        fresh = dead if number % 8 in {1, 2} else fresh
        assert {by_scope, found} <= {None, fresh, *([dead] if expires else [])}
        assert listed in ({dead, f"{dead} {fresh}"} if elsewhere else {"", fresh, *([dead] if expires else [])})
    fresh_ones = [f"k{number}-{'dead' if number % 8 in {1, 2} else 'fresh'}" for number in range(rounds)]
    assert track.ask(holder, rounds) == fresh_ones
    assert track.ask(waits, rounds) == [
        [f"k{number}-dead", fresh] if number % 4 == 3 else [fresh] for number, fresh in enumerate(fresh_ones)
    ]
    track.check_indices()


@rounds(100, 500)
def test_purge_against_register_leaves_all_or_nothing(track: Track, rounds: int) -> None:
    others = [ctx(team=None), ctx(team="dev"), ctx(tenant="globex"), ctx(env="live")]

    async def stay(store: RedisSessionStore, at: Round) -> None:
        for number, other in enumerate(others):
            await store.register_wait(other, "alice", at.scope, f"stays-{number}", data(other))

    track.ask(stay, 1)
    outcomes = track.run(races.PurgeAgainstRegister, rounds)
    track.check_indices()
    purged = sum(int(count or 0) for told in outcomes for count in told)
    left = [key.removeprefix("session:") for key in track.left() if key.startswith("session:")]
    assert purged > 0
    assert purged + len(left) == rounds * 2 * 5 + len(others)
    assert {f"stays-{number}" for number in range(len(others))} <= set(left)


# -- claims


@rounds(100, 1500)
def test_of_many_claimers_one_wins(track: Track, rounds: int) -> None:
    outcomes = track.run(races.OneWinner, rounds)
    assert {tuple(sorted(map(str, told))) for told in outcomes} == {("ClaimedError",) * 3 + ("claimed",)}
    track.check_indices()
    found = redis_invariants.dump(track.raw, track.namespace)
    for number in range(rounds):
        claim, claimed = found[f"claim:k{number}"], found[f"session:k{number}"]
        assert claimed.ttl == -1 or claimed.ttl > claim.ttl - redis_invariants.SLACK_MS, "the session ends before its claim"


@rounds(100, 1500)
def test_of_many_who_claim_and_complete_one_does(track: Track, rounds: int) -> None:
    outcomes = track.run(races.ClaimAndComplete, rounds)
    for told in outcomes:
        assert told.count("completed") == 1
        assert set(told[:2]) <= {"completed", None, "ClaimedError"}
        assert set(told[2:]) <= {"completed", None}
    assert track.left() == []


@pytest.mark.parametrize("race", [races.CountUnderClaims, races.CountUnderShortLeases])
@rounds(40, 500)
def test_what_is_done_under_claims_is_never_lost(track: Track, race: type[Race], rounds: int) -> None:
    track.run(race, rounds)
    assert track.ask(session, rounds) == [str(WORKERS)] * rounds
    track.check_indices()


@rounds(60, 1000)
def test_at_the_end_of_a_lease_the_old_holder_or_a_new_one_completes(track: Track, rounds: int) -> None:
    outcomes = track.run(races.LeaseAgainstComplete, rounds)
    assert {told.count("completed") for told in outcomes} == {1}
    assert {told[0] for told in outcomes} <= {"completed", "ConflictError", "ClaimedError", None}
    assert {outcome for told in outcomes for outcome in told[1:]} == {"completed", None}
    assert track.left() == []


@rounds(100, 1500)
def test_park_against_register_leaves_exactly_one_wait(track: Track, rounds: int) -> None:
    outcomes = track.run(races.ParkAgainstRegister, rounds)
    lasts = []
    for number, (parked, registered, polite, claimed) in enumerate(outcomes):
        displaced = {f"k{number}": parked, f"k{number}-1": registered}
        if polite != "ConflictError":
            displaced[f"k{number}-2"] = polite
            assert polite is None
        lasts.append(last_of(displaced))
        assert claimed in {"ClaimedError", None}
    assert track.ask(holder, rounds) == lasts
    assert track.ask(waits, rounds) == [[last] for last in lasts]
    assert track.ask(session, rounds) == ["parked"] * rounds
    track.check_indices()


@rounds(100, 1500)
def test_what_is_completed_stays_gone(track: Track, rounds: int) -> None:
    outcomes = track.run(races.CompleteAgainstPlain, rounds)
    for number, (completed, touched, updated, shortened) in enumerate(outcomes):
        assert completed == "completed" or (number % 4 == 0 and completed == "ConflictError")
        assert {touched, shortened} <= {"touched", "absent"}
        assert updated in {"updated", "NotFoundError"}
    expire()
    left = redis_invariants.dump(track.raw, track.namespace)
    # A claim may outlive a session that touch let expire, until its lease ends.
    assert [key for key, entry in left.items() if not (key.startswith("claim:") and entry.ttl > 0)] == []


def test_a_claim_lasts_as_long_as_its_lease_while_the_session_lives(track: Track) -> None:
    """Shortening the session's lifetime and lengthening it again takes nothing from the claim."""

    async def play(store: RedisSessionStore, at: Round) -> None:
        await at.register(store, at.key)
        claim = await at.claim(store, lease=LONG)
        assert claim is not None
        await store.touch(at.key, 100)
        await store.touch(at.key, LONG)
        pass_time(track.raw, 101, track.namespace)
        with pytest.raises(ClaimedError):
            await at.claim(store)
        await claim.complete()

    track.ask(play, 1)


@pytest.mark.parametrize("other", [ctx(tenant="globex"), ctx("u0")], ids=["somebody else", "the same user"])
def test_a_key_that_is_used_again_is_no_wait_of_its_former_user(track: Track, other: TenantCtx) -> None:
    """A wait expires while its user has another, so that its key stays in the set.

    A session that is stored under the key then is no wait.
    """

    async def play(store: RedisSessionStore, at: Round) -> None:
        await at.register(store, at.key, ttl=100)
        await store.register_wait(at.owner, at.user, at.elsewhere, f"{at.key}-stays", at.data(), ttl=LONG)
        pass_time(track.raw, 101, track.namespace)
        await store.create_session(other, data(other), key=at.key)
        track.check_indices()
        await store.touch(f"{at.key}-stays", LONG)

    track.ask(play, 1)
    track.check_indices()


@rounds(100, 2000)
def test_claim_against_clear_leaves_nothing(track: Track, rounds: int) -> None:
    outcomes = track.run(races.ClaimAgainstClear, rounds)
    for *claimers, one, other in outcomes:
        assert one == other == "cleared"
        assert set(claimers) <= {"completed", "ConflictError", "ClaimedError", None}
        assert claimers.count("completed") + claimers.count("ConflictError") <= 1
    assert track.left() == []


# -- everything


def expire() -> None:
    """Wait until the short lives of a race are over for certain."""
    time.sleep(0.1)


@rounds(80, 1000)
def test_brief_lives_end_for_good(track: Track, rounds: int) -> None:
    outcomes = track.run(races.BriefLives, rounds)
    assert outcomes == [["played"] * WORKERS] * rounds
    expire()
    assert track.left() == []


@rounds(80, 1000)
def test_everything_at_once_leaves_the_indices_in_order(track: Track, rounds: int) -> None:
    async def stay(store: RedisSessionStore, _: Round) -> None:
        for at in STAYING:
            await at.register(store, at.key, at.scope.canonical(), ttl=LONG)

    async def purge(store: RedisSessionStore, _: Round) -> None:
        await store.purge(ctx(None, team=None))
        await store.purge(ctx(None, team=None, tenant="globex"))

    track.ask(stay, 1)
    outcomes = track.run(races.Everything, rounds)
    assert outcomes == [["played", "played", "played", "walked"]] * rounds
    expire()
    track.check_indices()
    track.ask(purge, 1)
    assert track.left() == []
