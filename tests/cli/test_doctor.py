"""``doctor``.

It finds every disagreement of the indices, takes nothing that is allowed for one, and changes
nothing.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
import redis
from redis_invariants import check
from redis_server import Server
from reference_fleet import Reference
from runs.cli import Cli, data_of, dumps, fill, in_redis, park
from time_passing import pass_time

import greentic_session
from greentic_session import GreenticError, InMemorySessionStore, RedisSessionStore, ReplyScope, SessionStore, TenantCtx
from greentic_session.backends.redis.admin.findings import FAULTS
from greentic_session.backends.redis.admin.settings import judge
from greentic_session.cli import opening
from greentic_session.conversation import Message, create_conversation_store
from greentic_session.conversation.backends.redis.inspector import CONVERSATION_FAULTS

ALICE = TenantCtx.new("dev", "acme", team="ops", user="alice")
K1 = ReplyScope("c1", reply_to="7").scope_hash()
PLACE = "dev:acme:ops:alice"


@pytest.fixture
def cli(redis_url: str, namespace: str, capsys: pytest.CaptureFixture[str]) -> Cli:
    in_redis(redis_url, namespace, fill)

    async def talk() -> None:
        async with create_conversation_store(redis_url, namespace=namespace, ttl=3600) as conversations:
            for id in ("a:b", "c"):
                await conversations.create(ALICE, id=id)
                await conversations.append(ALICE, id, Message.user("hello"))

    asyncio.run(talk())
    return Cli(capsys, "--store", redis_url, "--namespace", namespace)


def found_by(cli: Cli, *, code: int) -> dict[str, int]:
    findings = cli.json("doctor", code=code)["indices"]["findings"]
    assert all(finding["what"] and finding["advice"] for finding in findings)
    return {finding["name"]: finding["count"] for finding in findings}


def test_a_healthy_namespace(cli: Cli, raw: redis.Redis, namespace: str) -> None:
    found = cli.json("doctor")
    assert found["indices"] == {"agree": True, "looked": len(dumps(raw, namespace)), "findings": []}
    code, out, err = cli("doctor")
    assert code == 0
    assert "ok       indices" in out
    assert "they agree" in out
    assert "looked at" in err


Break = Callable[[redis.Redis, str], object]

FAULTY: dict[str, tuple[str, Break]] = {
    "a session deleted": ("lost", lambda raw, ns: raw.delete(f"{ns}:session:k1")),
    "a scope key deleted": ("unreachable", lambda raw, ns: raw.delete(f"{ns}:waits:scope:{PLACE}:{K1}")),
    "a scope key to another wait": ("unreachable", lambda raw, ns: raw.set(f"{ns}:waits:scope:{PLACE}:{K1}", "k2")),
    "a scope key to nowhere": ("unreachable", lambda raw, ns: raw.set(f"{ns}:waits:scope:{PLACE}:{K1}", "nowhere")),
    "taken out of its set": ("unlisted", lambda raw, ns: raw.srem(f"{ns}:waits:user:{PLACE}", "k1")),
    "the set deleted": ("unlisted", lambda raw, ns: raw.delete(f"{ns}:waits:user:{PLACE}")),
    "taken out of the index": ("unindexed", lambda raw, ns: raw.zrem(f"{ns}:scopes:{PLACE}", K1)),
    "the index deleted": ("unindexed", lambda raw, ns: raw.delete(f"{ns}:scopes:{PLACE}")),
    "another end in the index": ("lifetimes", lambda raw, ns: raw.zadd(f"{ns}:scopes:{PLACE}", {K1: 5})),
    "no end in the index": ("lifetimes", lambda raw, ns: raw.zadd(f"{ns}:scopes:{PLACE}", {K1: "inf"})),
    "a scope key for ever": ("lifetimes", lambda raw, ns: raw.persist(f"{ns}:waits:scope:{PLACE}:{K1}")),
    "a brief scope key": ("lifetimes", lambda raw, ns: raw.expire(f"{ns}:waits:scope:{PLACE}:{K1}", 60)),
    "a brief set": ("lifetimes", lambda raw, ns: raw.expire(f"{ns}:waits:user:{PLACE}", 60)),
    "a brief session": ("lifetimes", lambda raw, ns: raw.expire(f"{ns}:session:k1", 60)),
    "another owner in the record": ("owner", lambda raw, ns: raw.hset(f"{ns}:own:k1", "o", "dev:acme:ops:bob")),
    "a claim for ever": ("endless_claim", lambda raw, ns: raw.set(f"{ns}:claim:k1", "token:hash")),
    "a list for a session": ("type", lambda raw, ns: (raw.delete(f"{ns}:session:k5"), raw.rpush(f"{ns}:session:k5", "x"))),
    "a text for a record": ("type", lambda raw, ns: (raw.delete(f"{ns}:own:k5"), raw.set(f"{ns}:own:k5", "x"))),
    "a text for a set": ("type", lambda raw, ns: raw.set(f"{ns}:waits:user:dev:acme:-:zoe", "x")),
    "a set for an index": ("type", lambda raw, ns: raw.sadd(f"{ns}:scopes:dev:acme:-:zoe", "x")),
    "a set for a pointer": ("type", lambda raw, ns: raw.sadd(f"{ns}:user:dev:acme:-:zoe", "x")),
    "a set for a scope key": ("type", lambda raw, ns: raw.sadd(f"{ns}:waits:scope:dev:acme:-:zoe:{K1}", "x")),
    "a set for a claim": ("type", lambda raw, ns: raw.sadd(f"{ns}:claim:k1", "x")),
    "a conversation out of its index": (
        "conversation_unlisted",
        lambda raw, ns: raw.zrem(f"{ns}:conv:recent:dev:acme:ops", "a:b"),
    ),
    "messages without a header": ("conversation_headless", lambda raw, ns: raw.delete(f"{ns}:conv:head:dev:acme:ops:a:b")),
    "messages for ever": ("conversation_lifetimes", lambda raw, ns: raw.persist(f"{ns}:conv:messages:dev:acme:ops:a:b")),
    "a text for a header": ("type", lambda raw, ns: raw.set(f"{ns}:conv:head:dev:acme:ops:a:b", "x")),
    "a text for messages": ("type", lambda raw, ns: raw.set(f"{ns}:conv:messages:dev:acme:ops:a:b", "x", keepttl=True)),
    "a text for an index of conversations": ("type", lambda raw, ns: raw.set(f"{ns}:conv:ends:dev:acme:-", "x")),
}


@pytest.mark.parametrize("name", FAULTY)
def test_every_disagreement_is_found(cli: Cli, raw: redis.Redis, namespace: str, name: str) -> None:
    expected, damage = FAULTY[name]
    damage(raw, namespace)
    before = dumps(raw, namespace)
    found = found_by(cli, code=1)
    assert found[expected] >= 1
    code, out, _ = cli("doctor")
    assert code == 1
    assert "they DISAGREE" in out
    # Neither session keys nor users, and nothing was repaired.
    assert "alice" not in out
    assert "k1" not in out
    assert dumps(raw, namespace) == before


def move_and_remove(reference: Reference) -> None:
    reference.register_wait(ReplyScope("c8"), "theirs", data_of(ALICE), 9_000_000)
    reference.register_wait(ReplyScope("c9"), "theirs", data_of(ALICE), 9_000_000)
    reference.remove_session("theirs")


ALLOWED: dict[str, tuple[str | None, Break]] = {
    "a session of another runtime": (
        "foreign",
        lambda raw, ns: Reference(raw, ns).register_wait(ReplyScope("c8"), "theirs", data_of(ALICE), 9_000_000),
    ),
    "one that another runtime changed": (
        "foreign",
        lambda raw, ns: Reference(raw, ns).update_session("k1", data_of(ALICE, node="changed")),
    ),
    "one that it wrote again as it was": (
        None,
        lambda raw, ns: raw.set(f"{ns}:session:k1", raw.get(f"{ns}:session:k1") or b""),
    ),
    "one that it removed": ("leftover", lambda raw, ns: Reference(raw, ns).remove_session("k1")),
    "one that it cleared": (
        "leftover",
        lambda raw, ns: Reference(raw, ns).clear_wait(ALICE, ReplyScope("c1", reply_to="7")),
    ),
    "one that it displaced": (
        "foreign",
        lambda raw, ns: Reference(raw, ns).register_wait(
            ReplyScope("c1", reply_to="7"), "theirs", data_of(ALICE), 9_000_000
        ),
    ),
    "one that it moved": (
        "leftover",
        lambda raw, ns: move_and_remove(Reference(raw, ns)),
    ),
    "a record without a session": ("leftover", lambda raw, ns: raw.delete(f"{ns}:session:k5")),
    "a claim without a session": ("leftover", lambda raw, ns: raw.set(f"{ns}:claim:nothing", "token:hash", ex=60)),
    "a pointer to nothing": ("leftover", lambda raw, ns: raw.set(f"{ns}:user:dev:acme:-:zoe", "nothing")),
    "an index without a set": ("leftover", lambda raw, ns: raw.zadd(f"{ns}:scopes:dev:acme:-:zoe", {K1: 5})),
    "a member that expired": (None, lambda raw, ns: raw.sadd(f"{ns}:waits:user:{PLACE}", "expired")),
    "a set without an end": ("endless_set", lambda raw, ns: raw.persist(f"{ns}:waits:user:{PLACE}")),
    "a text that is no session": ("unreadable", lambda raw, ns: raw.set(f"{ns}:session:k9", "no session")),
    "a strange key": ("unknown", lambda raw, ns: raw.set(f"{ns}:strange", "x")),
    "a strange scope key": ("unknown", lambda raw, ns: raw.set(f"{ns}:waits:scope:x", "k1")),
    "a strange key of conversations": ("unknown", lambda raw, ns: raw.set(f"{ns}:conv:strange:a:b:c:d", "x")),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_what_the_contract_allows_is_no_disagreement(cli: Cli, raw: redis.Redis, namespace: str, name: str) -> None:
    expected, change = ALLOWED[name]
    change(raw, namespace)
    found = found_by(cli, code=0)
    assert expected is None or expected in found


def test_it_names_the_keys_when_asked(cli: Cli, raw: redis.Redis, namespace: str) -> None:
    raw.delete(f"{namespace}:session:k1")
    for number in range(25):
        raw.set(f"{namespace}:strange:{number}\r", "x")
    out = cli("doctor", "--reveal")[1]
    assert "     own:k1\n" in out
    assert "     and 5 more\n" in out
    assert "\r" not in out
    findings = cli.json("doctor", "--reveal", code=1)["indices"]["findings"]
    assert [(finding["name"], len(finding["keys"])) for finding in findings] == [("lost", 1), ("unknown", 20)]
    assert "keys" not in cli.json("doctor", code=1)["indices"]["findings"][0]


def any_step(
    random: Random, number: int, store: RedisSessionStore, reference: Reference
) -> tuple[Callable[[], Awaitable[object]], Callable[[], object]]:
    """Return an operation of ours and one of the reference; no two of them write the same text."""
    who = random.choice([ALICE, ALICE.with_user("bob"), TenantCtx.new("dev", "acme", user="alice")])
    user, ttl = who.effective_user or "", random.choice([None, 100, 5000])
    key = f"{random.choice('xyz')}-{user}-{who.team}"  # of one user's each: see the exception that README names
    scope, data = ReplyScope(random.choice(["s", "t"])), data_of(who, node=f"n{number}")
    ours: list[Callable[[], Awaitable[object]]] = [
        lambda: store.register_wait(who, user, scope, key, data, ttl),
        lambda: store.create_session(who, data, key=key, ttl=ttl),
        lambda: store.update_session(key, data),
        lambda: store.remove_session(key),
        lambda: store.touch(key, ttl),
        lambda: store.clear_wait(who, user, scope),
        lambda: store.find_wait(who, user, scope),
        lambda: store.list_waits_for_user(who, user),
    ]
    theirs: list[Callable[[], object]] = [
        lambda: reference.register_wait(scope, key, data, ttl and ttl * 1000),
        lambda: reference.create_session(key, data),
        lambda: reference.update_session(key, data),
        lambda: reference.remove_session(key),
        lambda: reference.clear_wait(who, scope),
    ]
    return random.choice(ours), random.choice(theirs)


@pytest.mark.parametrize("seed", range(4))
def test_our_operations_and_the_references_leave_no_other_disagreement(
    seed: int, redis_url: str, namespace: str, raw: redis.Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    random, reference = Random(seed), Reference(raw, namespace)
    cli = Cli(capsys, "--store", redis_url, "--namespace", namespace)

    async def play(store: RedisSessionStore) -> None:
        for number in range(30):
            ours, theirs = any_step(random, number, store, reference)
            if random.random() < 0.4:
                theirs()
                continue
            with suppress(GreenticError):
                await ours()

    for _ in range(6):
        in_redis(redis_url, namespace, play)
        found = json.loads(cli("doctor", "--json", "--reveal")[1])["indices"]["findings"]
        # A scope key that the reference left can make it take another wait out of the set: lists do
        # leave that one out.
        assert {finding["name"] for finding in found if finding["fault"]} <= {"unlisted"}, found
        in_redis(redis_url, namespace, lambda store: store.purge(TenantCtx.new("dev", "acme")))


def test_our_own_operations_leave_nothing_to_tell(
    redis_url: str, namespace: str, raw: redis.Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    async def play(store: RedisSessionStore) -> None:
        random = Random(3)
        for number in range(150):
            who, key = random.choice([ALICE, ALICE.with_user("bob")]), random.choice(["x", "y", "z"])
            scope, user = ReplyScope(random.choice(["s", "t"])), who.effective_user or ""
            with suppress(GreenticError):
                match number % 4:
                    case 0 | 1:
                        await store.register_wait(who, user, scope, key, data_of(who), random.choice([None, 10, 50]))
                    case 2:
                        await store.touch(key, random.choice([None, 11, 60]))
                    case _:
                        if (claim := await store.claim_wait(who, user, scope)) is not None:
                            await random.choice([claim.complete, claim.release])()

    in_redis(redis_url, namespace, play)
    pass_time(raw, 12, namespace)
    check(raw, namespace)
    assert found_by(Cli(capsys, "--store", redis_url, "--namespace", namespace), code=0) == {}


def test_every_name_that_the_scripts_tell_is_explained() -> None:
    told: set[str] = set()
    for folder in ("backends/redis/lua/admin", "conversation/backends/redis/lua"):
        text = (Path(greentic_session.__file__).parent / folder / "examine.lua").read_text()
        told |= set(re.findall(r"tell\('(\w+)'", text))
    assert told | {"lost", "pointer", "unnamed"} == FAULTS.keys() | CONVERSATION_FAULTS.keys()


def test_in_memory(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    store = InMemorySessionStore()
    asyncio.run(fill(store))
    monkeypatch.setattr(store, "aclose", store.health)  # a command closes what it opened
    monkeypatch.setattr(opening, "create_session_store", lambda _url: store)
    cli = Cli(capsys, "--store", "memory://")
    assert cli.json("doctor")["indices"] == {"agree": True, "looked": 6, "findings": []}
    place = ("dev", "acme", "ops", "alice")
    del store._memory.waits[place][ReplyScope("c1", reply_to="7")]
    assert found_by(cli, code=1) == {"unindexed": 1}


# -- the server


def settings_of(server: Server, capsys: pytest.CaptureFixture[str], user: str = "") -> dict[str, dict[str, str]]:
    url = server.url.replace("redis://", f"redis://{user}")
    return {setting["name"]: setting for setting in Cli(capsys, "--store", url).json("doctor")["settings"]}


def test_what_the_server_is_set_up_for(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    with server.client() as admin:
        admin.config_set("maxmemory-policy", "noeviction")
        found = settings_of(server, capsys)
        assert found["version"]["value"].startswith(("Redis ", "Valkey "))
        assert {found[name]["level"] for name in ("version", "role", "eviction")} == {"ok"}
        assert (found["persistence"]["level"], found["persistence"]["value"]) == ("warning", "off")
        assert "appendonly yes" in found["persistence"]["advice"]

        admin.config_set("appendonly", "yes")
        admin.config_set("maxmemory", "100mb")
        admin.config_set("maxmemory-policy", "allkeys-lru")
        found = settings_of(server, capsys)
        assert (found["persistence"]["level"], found["persistence"]["value"]) == ("ok", "appendonly, fsync everysec")
        assert (found["eviction"]["level"], found["eviction"]["value"]) == (
            "warning",
            "allkeys-lru, memory of at most 100.00M",
        )
        assert "CONFIG SET maxmemory-policy noeviction" in found["eviction"]["advice"]
        code, out, _ = Cli(capsys, "--store", server.url)("doctor")
        assert code == 0
        assert "warning  eviction" in out


def test_evicted_sessions_are_told(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    async def many(store: SessionStore) -> None:
        for number in range(50):
            await park(store, ALICE, f"k{number}", f"c{number}")

    in_redis(server.url, "greentic:session", many)
    with server.client() as admin:
        for number in range(100):  # enough to be evicted, however much a server needs for itself
            admin.set(f"another-programs:older:{number}", b"x" * 10_000)
        admin.config_set("maxmemory-policy", "allkeys-lru")
        admin.config_set("maxmemory", int(admin.info("memory")["used_memory"]) - 20_000)
        for number in range(5):
            admin.set(f"another-programs:{number}", b"x" * 10_000)
        assert admin.info("stats")["evicted_keys"] > 0
        admin.config_set("maxmemory", 0)
    code, out, _ = Cli(capsys, "--store", server.url)("doctor")
    assert code in (0, 1)  # whichever keys they were
    assert re.search(r"warning  evicted +\d+ keys since the server began\n", out)


def test_a_user_who_may_only_read_is_enough(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    in_redis(server.url, "greentic:session", fill)
    with server.client() as admin:
        admin.acl_setuser("eye", enabled=True, passwords=["+secret"], keys=["*"], categories=["+@read"], commands=["+ping"])
        admin.execute_command("ACL", "SETUSER", "eye", "+eval", "+evalsha", "+scan", "+time")
    found = settings_of(server, capsys, "eye:secret@")
    assert list(found) == ["settings"]
    assert "may not call INFO" in found["settings"]["value"]
    with server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "eye", "+info")
    found = settings_of(server, capsys, "eye:secret@")
    assert found["persistence"]["value"] == "no appendonly file"
    cli = Cli(capsys, "--store", server.url.replace("redis://", "redis://eye:secret@"))
    assert cli.json("stats")["total"]["waits"] == 5
    assert len(cli.json("waits", "--env", "dev", "--tenant", "acme")["waits"]) == 4


@pytest.mark.parametrize(
    ("info", "config", "name", "value"),
    [
        ({"redis_version": "6.0.9"}, {}, "version", "Redis 6.0.9"),
        ({"redis_version": "unknown"}, {}, "version", "Redis unknown"),
        ({"role": "slave"}, {}, "role", "a replica"),
        ({"aof_enabled": "1"}, {"appendfsync": "no"}, "persistence", "appendonly, fsync no"),
        ({"aof_enabled": "0"}, {"save": "3600 1"}, "persistence", "snapshots only"),
        ({"rdb_last_bgsave_status": "err"}, {}, "disk", "the last write of the snapshot failed"),
        ({"aof_last_write_status": "err"}, {}, "disk", "the last write of the appendonly file failed"),
    ],
)
def test_what_is_a_warning(info: dict[str, str], config: dict[str, str], name: str, value: str) -> None:
    (found,) = [setting for setting in judge(info, config) if setting.name == name]
    assert (found.level, found.value) == ("warning", value)
    assert found.advice


def test_valkey_and_a_new_redis_are_fine() -> None:
    for info in (
        {"valkey_version": "8.0.1", "redis_version": "7.2.4"},
        {"redis_version": "7.4.0"},
        {"redis_version": "8.0"},
    ):
        (found,) = [setting for setting in judge(info, {}) if setting.name == "version"]
        assert found.level == "ok"
