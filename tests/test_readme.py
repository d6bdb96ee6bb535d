"""What README shows is true: its code runs, its commands are the ones that CI runs, its table names what there is."""

import asyncio
import inspect
import re
import uuid
from pathlib import Path
from typing import Any

import pytest
import redis

from greentic_session import (
    Claim,
    ClaimedError,
    InMemorySessionStore,
    ReplyScope,
    SessionCursor,
    SessionData,
    SessionStore,
    TenantCtx,
)
from greentic_session.conversation import ConversationStore, Message
from greentic_session.encryption import EncryptionKey
from greentic_session.testing import SessionStoreContract

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
COMMANDS = re.findall(r"^```sh\n(.*?)\n```$", README, re.MULTILINE)


def run(block: str) -> dict[str, Any]:
    """Execute a block as a program of its own."""
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(block, "README.md", "exec"), names)
    return names


def test_there_is_a_test_for_every_block() -> None:
    assert len(BLOCKS) == 7


@pytest.mark.filterwarnings("ignore:use find_wait_by_scope:DeprecationWarning")
def test_the_shortest_useful_code_runs() -> None:
    run(BLOCKS[0])


def test_the_runner_that_claims() -> None:
    on_message = run(BLOCKS[1])["on_message"]
    ctx = TenantCtx.new("dev", "tenant-42", user="user-7")
    scope = ReplyScope("telegram:chat-1")
    data = SessionData(tenant_ctx=ctx, flow_id="f", cursor=SessionCursor("n"), context_json="{}")

    async def answer_twice() -> list[str]:
        async with InMemorySessionStore() as store:
            await store.register_wait(ctx, "user-7", scope, "k", data)
            said = [await on_message(store, ctx, "user-7", scope, "first")]
            async with await store.claim_wait(ctx, "user-7", scope) or pytest.fail("nothing waits"):
                said.append(await on_message(store, ctx, "user-7", scope, "too early"))
            said += [await on_message(store, ctx, "user-7", scope, text) for text in ("second", "third")]
            return said

    assert asyncio.run(answer_twice()) == [
        "parked again",
        "another runner is at it",
        "done",
        "nothing waits for this answer",
    ]
    assert issubclass(ClaimedError, Exception)


def test_the_store_of_a_fleet(monkeypatch: pytest.MonkeyPatch, redis_url: str) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    store = run(BLOCKS[2])["make_store"]()

    async def is_there() -> None:
        async with store:
            await store.health()

    asyncio.run(is_there())


def test_the_shortest_useful_conversation_runs() -> None:
    run(BLOCKS[3])


def test_the_adapter_of_ones_own() -> None:
    make_store = run(BLOCKS[4])["make_store"]
    ctx = TenantCtx.new("dev", "tenant-42")

    async def talk() -> list[str]:
        async with make_store() as conversations:
            await conversations.create(ctx, id="c")
            for word in ("a", "b"):
                await conversations.append(ctx, "c", Message.user(word))
            return [message.text for message in await conversations.messages(ctx, "c")]

    assert asyncio.run(talk()) == ["a", "b"]


def test_the_stores_that_encrypt(monkeypatch: pytest.MonkeyPatch, redis_url: str, raw: redis.Redis) -> None:
    keys = [EncryptionKey.generate("2026-02").to_text(), EncryptionKey.generate("2026-01").to_text()]
    monkeypatch.setenv("SNAPSHOT_KEYS", ",".join(keys))
    monkeypatch.setenv("REDIS_URL", redis_url)
    names = run(BLOCKS[5])
    ctx = TenantCtx.new("dev", f"tenant-{uuid.uuid4()}", user="user-7")
    data = SessionData(tenant_ctx=ctx, flow_id="f", cursor=SessionCursor("n"), context_json="hush")

    async def use() -> None:
        async with names["make_store"]() as store, names["make_conversations"]() as conversations:
            key = await store.create_session(ctx, data, ttl=60)
            assert await store.get_session(key) == data
            assert b"gse1:2026-02:" in raw.get(f"greentic:session:session:{key}")  # type: ignore[operator]
            await conversations.create(ctx, id="c", cwd="/hush")
            await conversations.append(ctx, "c", Message.user("hush"))
            assert [message.text for message in await conversations.messages(ctx, "c")] == ["hush"]
            assert (await store.purge(ctx), await conversations.purge(ctx)) == (1, 1)

    asyncio.run(use())


def test_the_suite_for_a_backend_of_ones_own() -> None:
    assert issubclass(run(BLOCKS[6])["TestMyStore"], SessionStoreContract)


def test_the_two_commands_do_all_of_their_own_set_up() -> None:
    assert COMMANDS[:2] == [
        "python3 -m venv .venv && . .venv/bin/activate && python -m pip install . && python -m greentic_session",
        "python3 -m venv .venv && . .venv/bin/activate && python -m pip install -e '.[test]' && python -m pytest",
    ]


def test_ci_runs_the_test_command_as_it_stands() -> None:
    assert "README.md" in (ROOT / ".ci/run").read_text()


def operations_of(owner: type) -> dict[str, str]:
    """Return the signatures of the public methods of a class, as README shows them."""
    found = {}
    for name, member in vars(owner).items():
        if inspect.isfunction(member) and name[0] != "_" and name != "aclose":
            parameters = list(inspect.signature(member).parameters.values())[1:]
            bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters]
            found[name] = str(inspect.Signature(bare)).replace("'", '"')
    return found


def test_the_table_of_operations_tells_the_signatures() -> None:
    shown = dict(re.findall(r"`(?:claim\.|\.)?(\w+)(\([^`]*\))`", README))
    operations = operations_of(SessionStore) | operations_of(Claim)
    del operations["find_by_user"]
    assert {name: shown.get(name) for name in operations} == operations


def test_the_table_of_conversations_tells_the_signatures() -> None:
    operations = operations_of(ConversationStore)
    del operations["health"]
    assert dict(re.findall(r"`conversations\.(\w+)(\([^`]*\))`", README)) == operations
