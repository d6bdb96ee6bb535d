"""What answers like Redis, but with something else than what was asked for.

An error of ours, and the loop goes on.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import conversation_operations
import pytest
import redis_operations
from impostor import Impostor, impostor

from greentic_session import RedisSessionStore
from greentic_session.conversation import Conversation, Message, RedisConversationStore
from greentic_session.errors import GreenticError, UnavailableError
from greentic_session.testing._sessions.samples import data

NUMBER, TEXT, NOTHING, EMPTY, FLAT, NESTED = (
    b":7\r\n",
    b"$5\r\nhello\r\n",
    b"$-1\r\n",
    b"*0\r\n",
    b"*3\r\n:1\r\n$1\r\nx\r\n$-1\r\n",
    b"*2\r\n*1\r\n:1\r\n*2\r\n$2\r\nok\r\n*0\r\n",
)
ANSWERS = {
    "a number": NUMBER,
    "a status": b"+OK\r\n",
    "a text": TEXT,
    "no text": NOTHING,
    "no list": b"*-1\r\n",
    "an empty list": EMPTY,
    "a list": FLAT,
    "nested lists": NESTED,
    "numbers": b"*4\r\n:2\r\n:3\r\n:4\r\n:5\r\n",
    "a good outcome of numbers": b"*3\r\n$2\r\nok\r\n:3\r\n:4\r\n",
    "a good outcome of texts": b"*3\r\n$2\r\nok\r\n$1\r\nx\r\n$1\r\n\xff\r\n",
    "a good outcome alone": b"*1\r\n$2\r\nok\r\n",
    "parking's outcome and a number": b"*2\r\n$6\r\nparked\r\n:5\r\n",
    "parking's outcome and a text": b"*2\r\n$6\r\nparked\r\n$1\r\nx\r\n",
    "a map": b"%1\r\n$1\r\na\r\n:1\r\n",
    "a double": b",1.5\r\n",
    "a boolean": b"#t\r\n",
}
WANTED: dict[str, set[str]] = {
    "a number": {"create_session", "update_session", "remove_session", "touch", "register_wait", "conversation delete"}
    | {"claim.park", "claim.complete", "claim.release", "claim.renew"},
    "a status": {"create_session", "remove_session", "touch", "register_wait", "find_wait_by_scope"}
    | {"claim.park", "claim.complete", "claim.renew"},
    "no text": {
        "get_session",
        "get_versioned",
        "find_wait",
        "find_wait_by_scope",
        "find_by_user",
        "claim_wait",
        "clear_wait",
    },
    "a boolean": set(),
    "parking's outcome and a number": {"register_wait", "claim.park"},
    "parking's outcome and a text": {"register_wait", "claim.park"},
    "numbers": {"clear_wait"},  # what it removed is of no interest here
}
"""Operations that accept an answer of this kind.

"a text" is accepted like "a status", and "no list" like "no text".
"""
WANTED["a text"], WANTED["no list"] = WANTED["a status"], WANTED["no text"]

Call = Callable[[], Awaitable[object]]


async def ends_well(call: Call) -> bool:
    """Say whether a call returns, and not with an error of ours; any other error fails the test."""
    try:
        async with asyncio.timeout(10):
            await call()
    except GreenticError:
        return False
    return True


@asynccontextmanager
async def cut_in() -> AsyncIterator[tuple[Impostor, dict[str, Call]]]:
    """Return a server that answers what a test wants, and all operations of both stores."""
    async with (
        impostor() as (server, url),
        RedisSessionStore.from_url(url) as store,
        RedisConversationStore.from_url(url) as conversations,
    ):
        yield server, await all_calls(server.answers, (store, conversations))


async def all_calls(answers: list[bytes], stores: tuple[Any, Any]) -> dict[str, Call]:
    text = data().to_json()
    calls: dict[str, Call] = {}
    for operation in redis_operations.OPERATIONS:
        if operation.name == "health":
            continue
        if operation.name.startswith("claim."):
            answers.append(b"*5\r\n$5\r\nfound\r\n:0\r\n$1\r\nk\r\n$%d\r\n%s\r\n$3\r\ninf\r\n" % (len(text), text))
        calls[operation.name] = await operation.ready(stores[0])
    held = Conversation[Message].new("c")
    for each in conversation_operations.OPERATIONS:
        if each.name != "health":
            calls[f"conversation {each.name}"] = partial(each.call, stores[1], held)
    return calls


@pytest.mark.parametrize(
    "answer", [answer for answer in ANSWERS if not answer.startswith("a good") and "list" not in answer]
)
@pytest.mark.asyncio
async def test_an_answer_of_another_type_is_an_error_of_ours(answer: str) -> None:
    async with cut_in() as (server, calls):
        server.otherwise = ANSWERS[answer]
        well = {name for name, call in calls.items() if await ends_well(call)}
        assert well <= WANTED.get(answer, set())


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.asyncio
async def test_whatever_is_answered_no_other_error_comes(answer: str) -> None:
    async with cut_in() as (server, calls):
        server.otherwise = ANSWERS[answer]
        for call in calls.values():
            await ends_well(call)


@pytest.mark.parametrize("memory", [False, True])
@pytest.mark.asyncio
async def test_a_list_that_no_memory_holds_is_no_end(monkeypatch: pytest.MonkeyPatch, *, memory: bool) -> None:
    """Whether 2^31 elements are refused depends on the machine; a refusal must not end the loop."""
    from greentic_session._redis.connection import SharedConnection

    async with impostor() as (server, url), RedisSessionStore.from_url(url) as store:
        await store.health()
        backend: Any = store.backend
        [connection] = backend._client._connections.current
        assert isinstance(connection, SharedConnection)
        if memory:

            class Full:
                def feed(self, *_: object) -> None:
                    raise MemoryError

            monkeypatch.setattr(connection, "_reader", Full())
        else:
            server.otherwise = b"*4294967296\r\n"
        with pytest.raises(UnavailableError, match="Redis's protocol"):
            await store.create_session(data().tenant_ctx, data())
        server.otherwise = b"+PONG\r\n"
        await store.health()


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
@pytest.mark.asyncio
async def test_a_list_that_no_memory_holds_may_come_in_a_handshake(scheme: str) -> None:
    async with impostor() as (server, url):
        server.admission = b"*4294967295\r\n"
        async with RedisSessionStore.from_url(url.replace("redis://", f"{scheme}://")) as store:
            for call in (store.get_session("k"), store.health()):
                with pytest.raises(UnavailableError, match="Redis's protocol"):
                    await call


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.asyncio
async def test_whatever_is_answered_to_a_handshake_no_other_error_comes(answer: str) -> None:
    async with impostor() as (server, url):
        server.admission = server.otherwise = ANSWERS[answer]
        async with RedisSessionStore.from_url(url, timeout=1.0) as store:
            await ends_well(store.health)
