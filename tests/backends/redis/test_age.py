"""Since when a wait waits: told by our record, anew at each parking.

A wait with a lifetime tells it by what is left of that.
"""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import redis
from time_passing import pass_time

from greentic_session import NEVER, RedisSessionStore
from greentic_session.testing._sessions.samples import ALICE, CHAT, DAY, MINUTE, OTHER, data

pytestmark = pytest.mark.asyncio

HOUR = 60 * MINUTE


class Waits:
    """Parks one session of alice's, and says for how long it has waited."""

    def __init__(self, store: RedisSessionStore, raw: redis.Redis, namespace: str) -> None:
        self.store = store
        self.raw = raw
        self.namespace = namespace

    async def park(self, ttl: float | None, **options: str) -> None:
        scope = OTHER if options.pop("at", "") else CHAT
        await self.store.register_wait(ALICE, "alice", scope, "k", data(), ttl, **options)  # type: ignore[arg-type]  # choices

    def advance(self, seconds: float) -> None:
        pass_time(self.raw, seconds, f"{self.namespace}:")

    async def age(self) -> int | None:
        """Return for how many minutes it has waited."""
        inspector = self.store.backend.inspector()
        assert inspector is not None
        [details] = await inspector.details(["k"])
        assert details is not None
        return None if details.age_ms is None else details.age_ms // 60_000


@pytest_asyncio.fixture
async def waits(redis_url: str, raw: redis.Redis, namespace: str) -> AsyncIterator[Waits]:
    async with RedisSessionStore.from_url(redis_url, namespace=namespace) as store:
        yield Waits(store, raw, namespace)


async def test_each_parking_begins_anew(waits: Waits) -> None:
    for options in ({}, {}, {"at": "other"}, {"at": "other", "on_timeout": "resume"}):
        await waits.park(DAY, **options)
        assert await waits.age() == 0
        waits.advance(HOUR)
        assert await waits.age() == 60
    for ttl in (None, DAY, None):
        await waits.park(ttl)
        waits.advance(HOUR)
        assert await waits.age() == 60


async def test_a_new_lifetime_begins_nothing(waits: Waits) -> None:
    await waits.park(HOUR)
    waits.advance(10 * MINUTE)
    claim = await waits.store.claim_wait(ALICE, "alice", CHAT, lease=2 * HOUR)
    assert claim is not None
    assert await waits.age() == 10
    await claim.release()
    waits.advance(10 * MINUTE)
    for minutes, ttl in ((20, MINUTE * 30), (30, NEVER), (40, DAY), (50, HOUR)):
        assert await waits.store.touch("k", ttl)
        assert await waits.age() == minutes
        await waits.store.update_session("k", data(node="later"))
        assert await waits.age() == minutes
        waits.advance(10 * MINUTE)
    assert await waits.age() == 60


async def test_replies_that_lengthen_a_life_begin_nothing(waits: Waits) -> None:
    await waits.park(HOUR)
    for claims in (True, False):
        waits.advance(10 * MINUTE)
        delivery = await waits.store.deliver(ALICE, "alice", CHAT, "yes", claim=claims)
        assert await waits.age() == 10
        if delivery.claim is not None:
            await delivery.claim.park(CHAT, data(), HOUR)
            assert await waits.age() == 0


async def test_what_nobody_kept_account_of_is_not_told(waits: Waits) -> None:
    """Another version has lengthened the lifetime: it waits for less than nothing."""
    await waits.park(HOUR)
    for name in ("session", "own"):
        waits.raw.pexpire(f"{waits.namespace}:{name}:k", 2 * 3_600_000)
    assert await waits.age() is None
