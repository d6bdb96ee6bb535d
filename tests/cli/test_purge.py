"""``purge``.

All of one tenant goes, nothing of another changes, and whoever is interrupted may begin again.
"""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
from adapter import Adapter
from reference_fleet import Reference
from runs.cli import Cli, data_of, dumps, fill, in_redis, park

import greentic_session
from greentic_session import InMemorySessionStore, ReplyScope, SessionStore, TenantCtx, UnavailableError
from greentic_session.admin import Step
from greentic_session.backend import SessionBackend
from greentic_session.backends.redis.single import RedisBackend
from greentic_session.cli import opening
from greentic_session.conversation import ConversationStore, InMemoryConversationStore, Message, create_conversation_store
from greentic_session.errors import InvalidInputError

ACME = ("purge", "--env", "dev", "--tenant", "acme")
PARTITIONS = [
    TenantCtx.new("dev", "acme"),
    TenantCtx.new("dev", "acme", team="ops"),
    TenantCtx.new("dev", "acme2"),
    TenantCtx.new("dev2", "acme"),
    TenantCtx.new("dev", "other", team="acme"),
    TenantCtx.new("acme", "dev", team="dev"),
]


@pytest.fixture
def cli(redis_url: str, namespace: str, capsys: pytest.CaptureFixture[str]) -> Cli:
    """The command line on a namespace with sessions and conversations of tenants named alike."""
    in_redis(redis_url, namespace, fill_partitions)

    async def talk() -> None:
        async with create_conversation_store(redis_url, namespace=namespace) as conversations:
            await fill_conversations(conversations)

    asyncio.run(talk())
    return Cli(capsys, "--store", redis_url, "--namespace", namespace)


async def fill_partitions(store: SessionStore) -> None:
    await fill(store)
    for number, partition in enumerate(PARTITIONS):
        for user in ("alice", "bob"):
            await park(store, partition.with_user(user), f"room{number}-{user}", ttl=7200 if number % 2 else None)
            await store.create_session(
                partition.with_user(user), data_of(partition.with_user(user)), key=f"plain{number}-{user}"
            )


async def fill_conversations(conversations: ConversationStore[Any]) -> None:
    for partition in PARTITIONS:
        for id in ("c", "a:b:c", "dev:acme:x"):
            await conversations.create(partition, id=id)
            await conversations.append(partition, id, Message.user("hello"))


def named(found: dict[bytes, bytes], *parts: bytes) -> set[bytes]:
    return {key for key in found if any(part in key for part in parts)}


def of_acme(found: dict[bytes, bytes]) -> set[bytes]:
    """The keys that name the tenant acme of dev; ids of conversations may hold anything."""
    kinds = rb"conv:(head|messages|recent|ends|strange)|waits:(scope|user)|scopes|user"
    return {key for key in found if re.match(rb"^[^:]*:(%b):dev:acme:" % kinds, key)}


def kept(raw: redis.Redis, namespace: str) -> dict[bytes, bytes]:
    """Every key with its value, without the schedule of lasting sessions.

    That one key is of all tenants.
    """
    found = dumps(raw, namespace)
    found.pop(f"{namespace}:lasting:sessions".encode())
    return found


def test_others_stay_byte_for_byte(cli: Cli, raw: redis.Redis, namespace: str) -> None:
    before = kept(raw, namespace)
    told = cli.json(*ACME, "--yes")
    assert told == {"sessions": 5 + 2 * 4, "conversations": 6, "complete": True}
    after = kept(raw, namespace)
    assert after.items() <= before.items()
    gone = before.keys() - after.keys()
    # What is gone is acme's in dev, and all of it is.
    theirs = (b":room0", b":room1", b":plain0", b":plain1", *(b":k%d" % number for number in range(1, 6)))
    assert gone == named(before, *theirs) | of_acme(before)
    assert cli.json(*ACME, "--yes") == {"sessions": 0, "conversations": 0, "complete": True}
    assert kept(raw, namespace) == after


def test_one_team(cli: Cli, raw: redis.Redis, namespace: str) -> None:
    before = kept(raw, namespace)
    assert cli.json(*ACME, "--team", "ops", "--yes") == {"sessions": 3 + 4, "conversations": 3, "complete": True}
    after = kept(raw, namespace)
    assert after.items() <= before.items()
    assert not named(after, b":dev:acme:ops:")
    assert named(after, b":dev:acme:-:") == named(before, b":dev:acme:-:")
    assert named(after, b":dev:acme:sales:") == named(before, b":dev:acme:sales:")


def test_one_user_in_every_team_and_no_conversation(cli: Cli, raw: redis.Redis, namespace: str) -> None:
    before = kept(raw, namespace)
    assert cli.json(*ACME, "--user", "alice", "--yes") == {"sessions": 3 + 4, "conversations": None, "complete": True}
    after = kept(raw, namespace)
    assert after.items() <= before.items()
    assert not named(dict.fromkeys(of_acme(after), b""), b":alice")
    assert named(after, b":conv:") == named(before, b":conv:")
    assert named(after, b"bob") == named(before, b"bob")


def test_it_asks_first_and_says_what_it_would_remove(
    cli: Cli, raw: redis.Redis, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dumps(raw, namespace)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(sys.stdin, "readline", lambda: "no\n")
    code, out, err = cli(*ACME)
    assert (code, out) == (130, "")
    assert "Remove 13 sessions with their waits and 6 conversations of env dev, tenant acme, all teams? [y/N]" in err
    assert dumps(raw, namespace) == before
    monkeypatch.setattr(sys.stdin, "readline", lambda: "y\n")
    code, out, _ = cli(*ACME, "--user", "alice", "--team", "ops")
    assert (code, out) == (0, "removed 4 sessions with their waits of env dev, tenant acme, team ops, user alice\n")


def test_what_other_runtimes_left_behind_goes_too(
    redis_url: str, namespace: str, raw: redis.Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    """Scope keys and records of sessions that the reference removed name their users for good."""
    cli = Cli(capsys, "--store", redis_url, "--namespace", namespace)
    reference = Reference(raw, namespace)
    alice, bob = TenantCtx.new("dev", "acme", user="alice"), TenantCtx.new("dev", "acme", user="bob")
    for who, key in ((alice, "ours-a"), (bob, "ours-b")):
        in_redis(redis_url, namespace, partial(park, ctx=who, key=key, ttl=None))
        reference.remove_session(key)
        reference.register_wait(ReplyScope("elsewhere"), f"theirs-{key}", data_of(who))
        reference.remove_session(f"theirs-{key}")
    kept = dumps(raw, namespace)
    assert cli.json(*ACME, "--user", "alice", "--yes")["sessions"] == 0
    left = dumps(raw, namespace)
    assert not named(left, b"alice", b"ours-a")
    assert named(left, b"bob", b"ours-b") == named(kept, b"bob", b"ours-b")


def test_conversations_that_fell_out_of_their_index_go_too(cli: Cli, raw: redis.Redis, namespace: str) -> None:
    raw.delete(f"{namespace}:conv:recent:dev:acme:-", f"{namespace}:conv:head:dev:acme:ops:c")
    raw.set(f"{namespace}:conv:strange:dev:acme:x", "not ours")
    assert cli.json(*ACME, "--yes")["conversations"] == 5
    assert of_acme(dumps(raw, namespace)) == {f"{namespace}:conv:strange:dev:acme:x".encode()}


def test_a_failure_half_way_is_told_and_repeating_it_finishes(
    cli: Cli, raw: redis.Redis, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = RedisBackend.purging

    async def half(self: RedisBackend, ctx: TenantCtx, user: str | None) -> AsyncGenerator[Step, None]:
        async for step in whole(self, ctx, user):
            yield step
            raise UnavailableError("Redis cannot be reached")

    monkeypatch.setattr(RedisBackend, "purging", half)
    code, out, err = cli(*ACME, "--yes", "--json")
    assert code == 1
    first = json.loads(out)
    assert not first["complete"]
    assert "not finished: removed" in err
    monkeypatch.setattr(RedisBackend, "purging", whole)
    second = cli.json(*ACME, "--yes")
    assert 0 < first["sessions"] <= 13 - second["sessions"]  # what was under way meanwhile is not counted
    assert second["complete"]
    assert not of_acme(dumps(raw, namespace))


SLOW = """
import asyncio, sys
from greentic_session.backends.redis.scripts import Scripts
from greentic_session.cli import main

purge = Scripts.purge

async def slow(*args):
    answer = await purge(*args)
    print("a step", file=sys.stderr, flush=True)
    await asyncio.sleep(0.3)
    return answer

Scripts.purge = slow
sys.exit(main(sys.argv[1:]))
"""
"""The command line, with time for a signal in the middle of a purge."""


@pytest.mark.usefixtures("children_heed_sigint")
def test_it_can_be_interrupted_and_repeated(redis_url: str, namespace: str, raw: redis.Redis) -> None:
    """Ctrl-C in the middle, with a real process.

    What was removed is told, and the rest is still whole.
    """
    sessions = 3000

    async def many(store: SessionStore) -> None:
        ctx = TenantCtx.new("dev", "acme", user="alice")
        other = TenantCtx.new("dev", "other", user="alice")
        await asyncio.gather(*(park(store, ctx, f"k{number}", f"c{number}") for number in range(sessions)))
        await park(store, other, "theirs")

    in_redis(redis_url, namespace, many)
    theirs = raw.dump(f"{namespace}:session:theirs")
    environment = {**os.environ, "PYTHONPATH": str(Path(greentic_session.__file__).parents[1])}
    store = ("--store", redis_url, "--namespace", namespace, "--yes")
    command = [sys.executable, "-c", SLOW, *ACME, *store]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "a step\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "not finished: removed" in err
    assert "Traceback" not in err
    left = sum(1 for _ in raw.scan_iter(f"{namespace}:session:k*"))
    assert 0 < left < sessions
    command = [sys.executable, "-m", "greentic_session", *ACME, *store, "--json"]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout) == {"sessions": left, "conversations": 0, "complete": True}
    assert not list(raw.scan_iter(f"{namespace}:*acme*"))
    assert raw.dump(f"{namespace}:session:theirs") == theirs


def test_in_memory(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    sessions, conversations = InMemorySessionStore(), InMemoryConversationStore()
    asyncio.run(fill_partitions(sessions))
    asyncio.run(fill_conversations(conversations))
    monkeypatch.setattr(opening, "create_session_store", lambda _url: sessions)
    monkeypatch.setattr(opening, "create_conversation_store", lambda _url, **_: conversations)
    told = Cli(capsys, "--store", "memory://").json(*ACME, "--yes")
    assert told == {"sessions": 13, "conversations": 6, "complete": True}


# -- backends without steps of their own


def test_a_backend_without_steps_purges_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    store = InMemorySessionStore()

    async def steps() -> list[Step]:
        await fill(store)
        backend = store.backend
        return [step async for step in SessionBackend.purging(backend, TenantCtx.new("dev", "acme"), None)]

    assert asyncio.run(steps()) == [Step(5, 5)]


def test_conversations_elsewhere_know_their_partitions_only() -> None:
    async def purge(team: str | None) -> list[Step]:
        async with create_conversation_store(Adapter()) as conversations:
            await fill_conversations(conversations)
            backend = conversations.backend
            return [step async for step in backend.purging("dev", "acme", team)]

    assert asyncio.run(purge("ops")) == [Step(3, 3)]
    with pytest.raises(InvalidInputError, match="cannot tell which teams"):
        asyncio.run(purge(None))
