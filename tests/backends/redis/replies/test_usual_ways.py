"""The usual ways of scripts about replies do what the rules say, in fewer commands."""

from collections.abc import Callable
from typing import Any

import pytest
import redis

from greentic_session import RedisSessionStore
from greentic_session._redis import scripts
from greentic_session.backend import Readying
from greentic_session.backends.redis import replies
from greentic_session.testing._sessions.calls import answer, bodies, inbox, park, ready
from greentic_session.testing._sessions.samples import ALICE, CHAT, DAY, MINUTE, OTHER, ctx, data

pytestmark = pytest.mark.asyncio

TOKEN = "t" * 32
HOUR = 3600.0


@pytest.fixture(params=["usual", "by the rules"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The way on which a deadline is claimed."""
    chosen: str = request.param
    if chosen != "usual":
        script: Any = vars(replies)["_CLAIM_READY"]
        _, text = vars(script)["_alone"]
        begin = "\nrepeat\n"
        assert text.count(begin) == 1
        hashed: Callable[[str], tuple[str, str]] = vars(scripts)["_hashed"]
        monkeypatch.setitem(vars(script), "_alone", hashed(text.replace(begin, f"{begin}if true then break end\n")))
    return chosen


def commands_of(raw: redis.Redis) -> int:
    stats: Any = raw.info("commandstats")
    return sum(each["calls"] for name, each in stats.items() if name not in ("cmdstat_info", "cmdstat_config|resetstat"))


async def claim(store: RedisSessionStore, lease: float = MINUTE) -> Any:
    """Claim what is ready by a token that the test knows."""
    readiness = await store.backend.claim_ready(Readying(None, TOKEN, "turn-key", int(lease * 1000)))
    return readiness.claimed


async def test_a_deadline_is_claimed_alike(
    store: RedisSessionStore, raw: redis.Redis, namespace: str, advance: Callable[[float], None], way: str
) -> None:
    await park(store, "k", CHAT, MINUTE, on_timeout="resume")
    await park(store, "l", OTHER, MINUTE + 1, on_timeout="resume")
    bob = ctx("bob", tenant="other", team=None)
    await store.register_wait(bob, "bob", CHAT, "b", data(bob), 2 * MINUTE, on_timeout="resume")
    await claim(store)  # in vain: whichever way, the script is known from now on
    advance(HOUR)
    own: Any = raw.hgetall(f"{namespace}:own:k")
    lives: Any = raw.pttl(f"{namespace}:session:k")
    raw.config_resetstat()
    claimed = await claim(store)
    commands = commands_of(raw)
    assert (commands < 25) == (way == "usual")

    assert (claimed.wait.key, claimed.wait.scope, claimed.wait.data.cursor.node_pointer) == ("k", CHAT, "k")
    assert (claimed.turn_key, claimed.attempt, claimed.replies) == ("turn-key", 1, ())
    assert (claimed.timed_out, claimed.is_new) == (True, False)
    deadline = own[b"d"].decode()
    assert claimed.deadline == pytest.approx(float(deadline) / 1000)
    after: Any = raw.hgetall(f"{namespace}:own:k")
    assert after == own | {b"i": f"0 turn-key deadline:{deadline}".encode(), b"k": TOKEN.encode()}
    assert raw.get(f"{namespace}:claim:k") == f"{TOKEN}:{CHAT.scope_hash()}:r".encode()
    assert raw.get(f"{namespace}:made:{TOKEN}") == b"k"
    for kind in ("claim:k", f"made:{TOKEN}"):
        assert MINUTE * 1000 - 5000 < raw.pttl(f"{namespace}:{kind}") <= MINUTE * 1000
    assert lives - 5000 < raw.pttl(f"{namespace}:session:k") <= lives

    (seconds, micros) = raw.time()
    now = seconds * 1000 + micros / 1000
    scores: Any = raw.zrange(f"{namespace}:ready:dev:acme:ops", 0, -1, withscores=True)
    places = dict(scores)
    mine, others = (places[f"alice:{scope.scope_hash()}".encode()] for scope in (CHAT, OTHER))
    assert mine == pytest.approx(now + MINUTE * 1000, abs=5000)
    assert raw.zscore(f"{namespace}:ready:dev:acme", "ops") == others
    rank: Any = raw.zscore(f"{namespace}:ready:tenants", "dev:acme")
    assert rank == pytest.approx(now, abs=5000)  # its turn was now
    assert raw.hget(f"{namespace}:ready:served", "dev:acme") == f"{rank:.3f}".encode()
    assert raw.pttl(f"{namespace}:ready:served") == pytest.approx(raw.pttl(f"{namespace}:ready:tenants"), abs=5000)
    assert [(await ready(store)).key for _ in range(2)] == ["b", "l"]  # the other tenant has had none yet
    assert await store.claim_ready() == []


@pytest.mark.parametrize("rest", ["reply", "lapsed", "put off", "claimed", "moved on", "not passed", "long lease"])
async def test_what_is_not_usual_is_for_the_rules(
    store: RedisSessionStore, advance: Callable[[float], None], way: str, rest: str
) -> None:
    await park(store, "k", CHAT, MINUTE, on_timeout="resume")
    if rest == "reply":
        await answer(store, "yes", claim=False)
    advance(MINUTE)
    if rest in ("lapsed", "put off", "claimed"):
        first = await ready(store, lease=MINUTE)
        if rest == "put off":
            await first.release(MINUTE)
        if rest != "claimed":
            advance(MINUTE)
    if rest == "moved on":
        await store.touch("k", MINUTE)
    if rest == "not passed":
        await park(store, "k", CHAT, MINUTE, on_timeout="resume")
    found = await claim(store, 400 * DAY if rest == "long lease" else MINUTE)
    if rest in ("claimed", "moved on", "not passed"):
        assert found is None
        return
    assert found.timed_out == (rest != "reply")
    assert bodies(found.replies) == (["yes"] if rest == "reply" else [])
    assert found.attempt == (2 if rest in ("lapsed", "put off") else 1)


async def test_a_deadline_that_is_completed_leaves_nothing(
    store: RedisSessionStore, raw: redis.Redis, namespace: str, advance: Callable[[float], None], way: str
) -> None:
    await park(store, "k", CHAT, MINUTE, on_timeout="resume")
    advance(MINUTE)
    claimed = await ready(store, lease=MINUTE)
    await store.backend.complete(("dev", "acme", "ops", "alice"), "k", "in vain")  # the script is known from now on
    raw.config_resetstat()
    await claimed.complete()
    assert commands_of(raw) < 15
    assert not raw.zcard(f"{namespace}:ready:dev:acme:ops")
    advance(MINUTE)  # until then its team may be named in the index
    assert await store.claim_ready() == []
    left = {key.decode().removeprefix(f"{namespace}:").split(":")[0] for key in raw.scan_iter(f"{namespace}:*")}
    assert left <= {"made"}


async def test_what_comes_meanwhile_is_left_over(
    store: RedisSessionStore, advance: Callable[[float], None], way: str
) -> None:
    await park(store, "k", CHAT, MINUTE, on_timeout="resume")
    advance(MINUTE)
    claimed = await ready(store)
    assert (await answer(store, "late", delivery_id="d")).outcome == "queued"
    await claimed.complete()
    assert bodies(claimed.leftovers) == ["late"]
    assert await inbox(store) == []
    assert (await answer(store, "late", delivery_id="d")).outcome == "unmatched"


async def test_a_text_of_somebody_else_is_never_claimed(
    store: RedisSessionStore, raw: redis.Redis, namespace: str, advance: Callable[[float], None], way: str
) -> None:
    await park(store, "k", CHAT, MINUTE, on_timeout="resume")
    life = raw.pttl(f"{namespace}:session:k")
    raw.set(f"{namespace}:session:k", data(ctx("bob")).to_json(), px=life)
    advance(MINUTE)
    assert await claim(store) is None
    assert await store.find_wait(ALICE, "alice", CHAT) is None
