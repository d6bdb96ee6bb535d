"""Finding by a block of plain commands, where the client remembers which session waits."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import cast

import pytest
import pytest_asyncio
import redis
from redis_invariants import check
from redis_server import Server

from greentic_session import NEVER, Claim, RedisSessionStore, ReplyScope
from greentic_session._redis.client import RedisClient
from greentic_session.backends.redis.staging import STAGED_BYTES
from greentic_session.errors import GreenticError
from greentic_session.testing._sessions.samples import ALICE, CHAT, CORRELATED, ctx, data

pytestmark = pytest.mark.asyncio

OTHER = ReplyScope("telegram:chat-2")
LARGE = "x" * (2 * STAGED_BYTES)
RIGHTS = "+get +set +del +exists +evalsha +eval +scan +ping +time +@string +@hash +@set +@sortedset +@keyspace"


@pytest.fixture
def redis_url(shared: Server) -> str:
    """A server whose counts and users are these tests' own."""
    return shared.url


@pytest_asyncio.fixture
async def other(redis_url: str, namespace: str) -> AsyncIterator[RedisSessionStore]:
    """Another process of the fleet."""
    async with RedisSessionStore.from_url(redis_url, namespace=namespace) as store:
        yield store


def calls(raw: redis.Redis) -> dict[str, int]:
    """Return how often each command ran since the last look."""
    stats = raw.info("commandstats")
    raw.config_resetstat()
    return {name.removeprefix("cmdstat_"): one["calls"] for name, one in stats.items()}


async def key_of(store: RedisSessionStore, scope: ReplyScope = CHAT, user: str = "alice") -> str | None:
    found = await store.find_wait(ctx(user), user, scope)
    return None if found is None else found.key


async def forget(store: RedisSessionStore) -> None:
    """Let a store send blocks again, whatever they cost before."""
    for _ in range(32):
        await key_of(store, user="nobody")


@pytest.mark.parametrize("ttl", [60, NEVER])
async def test_a_wait_that_is_remembered_is_found_without_a_script(
    store: RedisSessionStore, raw: redis.Redis, ttl: float
) -> None:
    for scope in (CHAT, OTHER):
        await store.register_wait(ALICE, "alice", scope, scope.conversation, data(), ttl)
    for number in range(3):
        await store.update_session(CHAT.conversation, data(snapshot=f"{number}{LARGE}"))
        calls(raw)
        found = await store.find_wait(ALICE, "alice", CHAT)
        counted = calls(raw)
        assert found is not None
        assert found.data.context_json == f"{number}{LARGE}"
        assert found.scope == CHAT
        assert counted["exec"] == 1
        assert "evalsha" not in counted
        assert await key_of(store, OTHER) == OTHER.conversation


@pytest.mark.parametrize(("ttl", "lifetimes"), [(60, 2), (NEVER, 3)])
async def test_only_the_block_of_a_session_for_ever_asks_for_the_lifetime_of_its_record(
    store: RedisSessionStore, other: RedisSessionStore, raw: redis.Redis, ttl: float, lifetimes: int
) -> None:
    await store.register_wait(ALICE, "alice", CHAT, "k", data(), ttl)
    assert await key_of(other) == "k"
    assert await key_of(other) == "k"  # here the other one learns that it is for ever, from its script
    for one in (store, other):
        calls(raw)
        assert await key_of(one) == "k"
        counted = calls(raw)
        assert (counted["exec"], counted["pttl"]) == (1, lifetimes)
        assert "evalsha" not in counted


async def test_a_wait_whose_lifetime_comes_and_goes_is_found(store: RedisSessionStore) -> None:
    await store.register_wait(ALICE, "alice", CHAT, "k", data(), 60)
    for lifetime in (NEVER, 60, NEVER):
        for _ in range(3):
            assert await key_of(store) == "k"
        await store.touch("k", lifetime)
        assert await store.remaining_ttl("k") == (lifetime if lifetime is NEVER else pytest.approx(lifetime, abs=1))


async def test_what_others_registered_is_remembered_from_the_first_find_on(
    store: RedisSessionStore, other: RedisSessionStore, raw: redis.Redis
) -> None:
    await other.register_wait(ALICE, "alice", CHAT, "k", data(), 60)
    assert await key_of(store) == "k"
    calls(raw)
    assert await key_of(store) == "k"
    assert "evalsha" not in calls(raw)


async def test_what_has_changed_since_is_seen(store: RedisSessionStore, other: RedisSessionStore) -> None:
    changes: list[tuple[Callable[[], Awaitable[object]], str | None]] = [
        (lambda: other.register_wait(ALICE, "alice", CHAT, "k2", data(), 60), "k2"),
        (lambda: other.remove_session("k2"), None),
        (lambda: other.register_wait(ALICE, "alice", CHAT, "k", data(), 60), "k"),
        (lambda: other.register_wait(ALICE, "alice", OTHER, "k", data(), 60), None),
        (lambda: other.register_wait(ALICE, "alice", CHAT, "k3", data(), 60), "k3"),
        (lambda: other.clear_wait(ALICE, "alice", CHAT), None),
    ]
    await store.register_wait(ALICE, "alice", CHAT, "k", data(), 60)
    for change, key in changes:
        await forget(store)
        await key_of(store)
        await change()
        assert await key_of(store) == key


async def test_where_others_always_register_blocks_are_rare(
    store: RedisSessionStore, other: RedisSessionStore, raw: redis.Redis
) -> None:
    calls(raw)
    for number in range(40):
        await other.register_wait(ALICE, "alice", CHAT, f"k{number}", data(), 60)
        assert await key_of(store) == f"k{number}"
    assert calls(raw)["exec"] <= 3


async def test_a_lifetime_that_the_reference_has_taken_is_given_back(
    store: RedisSessionStore, raw: redis.Redis, namespace: str
) -> None:
    await store.register_wait(ALICE, "alice", CHAT, "k", data(), 60)
    assert await key_of(store) == "k"
    for text in (data(snapshot="new").to_json(), data().to_json()):  # its update: a plain SET, be it of the same text
        raw.set(f"{namespace}:session:k", text)
        await forget(store)
        assert await key_of(store) == "k"
        assert raw.pttl(f"{namespace}:session:k") > 0


async def test_a_text_of_somebody_else_never_answers(store: RedisSessionStore, raw: redis.Redis, namespace: str) -> None:
    await store.register_wait(ALICE, "alice", CHAT, "k", data(), 60)
    raw.set(f"{namespace}:session:k", data(ctx("bob")).to_json(), px=60_000)
    assert await key_of(store) is None
    assert await store.claim_wait(ALICE, "alice", CHAT) is None


@pytest.mark.parametrize("kind", ["waits:scope:dev:acme:ops:alice:{}", "session:k"])
async def test_a_key_of_another_type_is_an_error_as_ever(
    store: RedisSessionStore, raw: redis.Redis, namespace: str, kind: str
) -> None:
    await store.register_wait(ALICE, "alice", CHAT, "k", data(), 60)
    name = f"{namespace}:{kind.format(CHAT.scope_hash())}"
    raw.delete(name)
    raw.lpush(name, "of another type")
    with pytest.raises(GreenticError):
        await key_of(store)


@pytest.mark.parametrize("rights", ["", "+multi", "+exec"])
async def test_without_the_rights_the_script_finds_and_no_caller_hears_of_it(
    raw: redis.Redis, redis_url: str, namespace: str, rights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def grant(*words: str) -> None:
        raw.execute_command("ACL", "SETUSER", "limited", *words)  # type: ignore[no-untyped-call]  # redis-py's

    grant("reset", "on", ">pass", f"~{namespace}:*", *RIGHTS.split(), *([rights] if rights else []))
    try:
        async with RedisSessionStore.from_url(
            redis_url.replace("redis://", "redis://limited:pass@"), namespace=namespace
        ) as store:
            await store.register_wait(ALICE, "alice", CHAT, "k", data(), 60)
            calls(raw)
            for _ in range(40):
                assert await key_of(store) == "k"
            assert calls(raw)["evalsha"] >= 40
            grant("+multi", "+exec")  # ten minutes later it is tried again
            monkeypatch.setattr("greentic_session._redis.blocks.monotonic", lambda: 1e9)
            await forget(store)
            assert await key_of(store) == "k"
            assert calls(raw)["exec"] == 1
    finally:
        raw.execute_command("ACL", "DELUSER", "limited")  # type: ignore[no-untyped-call]  # redis-py's


# -- claims, and deliveries that claim: the text is read behind the script


async def claimed(store: RedisSessionStore) -> Claim | None:
    return await store.claim_wait(ALICE, "alice", CHAT)


async def delivered(store: RedisSessionStore) -> Claim | None:
    return (await store.deliver(ALICE, "alice", CHAT, "yes")).claim


Take = Callable[[RedisSessionStore], Awaitable[Claim | None]]
both_ways = pytest.mark.parametrize("take", [claimed, delivered])


@both_ways
async def test_a_claim_of_what_is_remembered_copies_no_text(
    store: RedisSessionStore, raw: redis.Redis, monkeypatch: pytest.MonkeyPatch, take: Take
) -> None:
    await store.register_wait(ALICE, "alice", CHAT, "k", data(snapshot=LARGE), 60)
    calls(raw)
    call, answers = RedisClient.call, list[object]()

    async def noted(client: RedisClient, *args: object, **options: object) -> object:
        answers.append(await call(client, *args, **options))  # type: ignore[arg-type]  # as they came
        return answers[-1]

    monkeypatch.setattr(RedisClient, "call", noted)
    claim = await take(store)
    counted = calls(raw)
    assert claim is not None
    assert claim.data.context_json == LARGE
    assert counted["evalsha"] == 1
    assert "copy" not in counted
    assert "getdel" not in counted
    [(_, text)] = cast("list[tuple[object, bytes]]", answers)  # behind the script, which has not told it
    assert LARGE in text.decode()


@both_ways
@pytest.mark.parametrize("snapshot", ["", LARGE], ids=["small", "large"])
async def test_a_claim_gets_the_wait_that_is_there_by_now(
    store: RedisSessionStore, other: RedisSessionStore, snapshot: str, take: Take
) -> None:
    await store.register_wait(ALICE, "alice", CHAT, "k", data(), 60)
    await other.register_wait(ALICE, "alice", CHAT, "k2", data(snapshot=snapshot), 60)
    claim = await take(store)
    assert claim is not None
    assert (claim.key, claim.data) == ("k2", data(snapshot=snapshot))
    await claim.complete()
    assert await take(store) is None


async def test_a_delivery_to_the_place_without_its_correlation_is_not_taken_for_one_to_the_other(
    store: RedisSessionStore,
) -> None:
    await store.register_wait(ALICE, "alice", CORRELATED, "k", data(), 60)
    await store.register_wait(ALICE, "alice", CHAT, "l", data(), 60)
    await store.remove_session("k")
    for _ in range(2):
        claim = (await store.deliver(ALICE, "alice", CORRELATED, "yes", fallback=True)).claim
        assert claim is not None
        assert (claim.key, claim.scope) == ("l", CHAT)
        await claim.stay()
        await forget(store)
    assert await key_of(store, CORRELATED) is None
    assert await key_of(store) == "l"


@both_ways
@pytest.mark.parametrize("again", [False, True], ids=["removed", "replaced"])
async def test_what_is_removed_before_its_text_is_read_was_not_claimed(
    store: RedisSessionStore,
    other: RedisSessionStore,
    raw: redis.Redis,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
    take: Take,
    *,
    again: bool,
) -> None:
    await store.register_wait(ALICE, "alice", CHAT, "k", data(snapshot=LARGE), 60)
    call = RedisClient.call

    async def interrupted(client: RedisClient, *args: object, **options: object) -> object:
        answer = await call(client, *args, **options)  # type: ignore[arg-type]  # as they came
        if options.get("behind") is None or not isinstance(answer, tuple) or answer[1] is None:
            return answer
        monkeypatch.setattr(RedisClient, "call", call)
        await other.remove_session("k")
        if again:
            await other.register_wait(ALICE, "alice", CHAT, "k2", data(), 60)
        return answer[0], None

    monkeypatch.setattr(RedisClient, "call", interrupted)
    claim = await take(store)
    assert (claim and claim.key) == ("k2" if again else None)
    if claim is not None:
        await claim.release()
    replies = await store.inbox(ALICE, "alice", CHAT)
    assert len(replies) == (1 if again and take is delivered else 0)  # that of the one that is gone went with it
    assert not list(raw.scan_iter(f"{namespace}:claim:*"))
    if take is claimed:
        check(raw, namespace)  # it knows the keys of waits


# -- scripts that the server does not know


async def test_a_script_is_sent_whole_once_for_all_calls_that_are_under_way(
    store: RedisSessionStore, raw: redis.Redis
) -> None:
    async def register(number: int) -> None:
        await store.register_wait(ctx(f"u{number}"), f"u{number}", CHAT, f"k{number}", data(ctx(f"u{number}")), 60)

    await register(0)
    for _ in range(2):  # again after it was forgotten
        raw.script_flush()
        calls(raw)
        await asyncio.gather(*(register(number) for number in range(50)))
        assert calls(raw)["eval"] == 1
