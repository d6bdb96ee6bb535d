"""The conversation store in Redis: the contract, the state machine, ways to make it."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import redis
from conversation_keys import check
from hypothesis import settings
from hypothesis.stateful import invariant, run_state_machine_as_test
from redis.asyncio import Redis
from redis_server import Server
from time_passing import UNIT, OnTheSharedRedis, passing

import greentic_session.conversation
from greentic_session.conversation import ConversationStore, Message, RedisConversationStore, create_conversation_store
from greentic_session.errors import InvalidInputError, UnavailableError
from greentic_session.testing import ConversationStoreContract, conversation_store_machine
from greentic_session.testing._conversations.machine import ConversationStoreMachine
from greentic_session.testing._conversations.samples import OPS, said, texts


class TestContract(OnTheSharedRedis, ConversationStoreContract):
    make = RedisConversationStore.from_url


@pytest.mark.parametrize(
    ("examples", "steps"), [(20, 25), pytest.param(300, 50, marks=pytest.mark.slow)], ids=["some", "many"]
)
def test_state_machine(shared: Server, examples: int, steps: int) -> None:
    """Beside the model, what is stored is looked at after every step."""
    with shared.client() as raw:

        class Machine(ConversationStoreMachine):
            @invariant()
            def keys_belong_together(self) -> None:
                check(raw, "m")

        def make_store(**options: Any) -> RedisConversationStore[Message]:
            raw.flushall()
            return RedisConversationStore.from_url(shared.url, namespace="m", **options)

        machine = conversation_store_machine(make_store, passing([raw]), unit=UNIT, base=Machine)
        run_state_machine_as_test(machine, settings=settings(max_examples=examples, stateful_step_count=steps))
        raw.flushall()


# -- ways to make one


async def said_of(store: ConversationStore[Any]) -> list[str]:
    """Use a store, close it, and return what was said."""
    async with store:
        await store.create(OPS, id="c")
        await store.append(OPS, "c", *said("x"))
        return await texts(store)


@pytest.mark.asyncio
async def test_from_a_url_and_from_a_client(redis_url: str, raw: redis.Redis, namespaces: Callable[[], str]) -> None:
    for options in ({}, {"decode_responses": True}):
        client = Redis.from_url(redis_url, **options)
        assert await said_of(RedisConversationStore(client, namespace=(namespace := namespaces()))) == ["x"]
        assert await client.exists(f"{namespace}:conv:head:dev:acme:ops:c") == 1
        await client.aclose()
    assert await said_of(create_conversation_store(redis_url, namespace=(namespace := namespaces()), ttl=60)) == ["x"]
    assert raw.pttl(f"{namespace}:conv:messages:dev:acme:ops:c") > 0


@pytest.mark.asyncio
async def test_a_store_serves_one_loop(redis_url: str, namespaces: Callable[[], str]) -> None:
    async with RedisConversationStore.from_url(redis_url, namespace=namespaces()) as store:
        await store.health()
        elsewhere = asyncio.to_thread(asyncio.run, store.health())
        with pytest.raises(UnavailableError, match="serves the event loop"):
            await elsewhere


SECRET = "hunter2"


@pytest.mark.parametrize("scheme", ["redis", "rediss", "unix", "REDIS"])
def test_by_scheme(scheme: str) -> None:
    store = create_conversation_store(f"{scheme}://:{SECRET}@host/0", message_type=int, connect_timeout=1)
    assert type(store) is RedisConversationStore
    assert SECRET not in repr(store)


@pytest.mark.parametrize("url", ["redis://host/notadb", f"redis://:{SECRET}@host/?wrong_option=1", "unix://"])
def test_a_url_that_cannot_be_used(url: str) -> None:
    with pytest.raises(InvalidInputError, match=r"^the Redis URL ") as caught:
        create_conversation_store(url)
    assert SECRET not in str(caught.value)


def test_without_redis_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("redis", "redis.asyncio"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "greentic_session.conversation.backends.redis")
    extra = r"pip install 'greentic-session\[redis\]'$"
    with pytest.raises(UnavailableError, match=extra) as caught:
        create_conversation_store(f"redis://:{SECRET}@host")
    assert SECRET not in str(caught.value)
    with pytest.raises(AttributeError, match=extra):
        _ = greentic_session.conversation.RedisConversationStore


def test_conversations_do_without_redis_until_asked() -> None:
    code = "import sys, greentic_session.conversation; print(*sys.modules, sep='\\n')"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"redis", "hiredis"}.isdisjoint(loaded)


def test_public_names() -> None:
    for name in greentic_session.conversation.__all__:
        assert getattr(greentic_session.conversation, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = greentic_session.conversation.nonsense  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]  # that is what is refused
