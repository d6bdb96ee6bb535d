"""Since when a wait waits: told by our record, anew at each parking."""

import pytest
import redis

from greentic_session import RedisSessionStore
from greentic_session.testing._sessions.samples import ALICE, CHAT, DAY, OTHER, data

pytestmark = pytest.mark.asyncio


async def test_each_parking_begins_anew(redis_url: str, namespace: str, raw: redis.Redis) -> None:
    record = f"{namespace}:own:k"
    async with RedisSessionStore.from_url(redis_url, namespace=namespace) as store:
        inspector = store.backend.inspector()
        assert inspector is not None
        for ttl, scope, resumes in ((DAY, CHAT, False), (DAY, CHAT, False), (DAY, OTHER, False), (DAY, OTHER, True)):
            await store.register_wait(ALICE, "alice", scope, "k", data(), ttl, on_timeout="resume" if resumes else "forget")
            since = raw.hget(record, "b")
            assert isinstance(since, bytes)
            raw.hset(record, "b", str(int(since) - 3600))
            [details] = await inspector.details(["k"])
            assert details is not None
            assert details.age_ms is not None
            assert 3_600_000 <= details.age_ms < 7_000_000
