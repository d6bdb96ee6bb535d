"""Two processes that serve the webhook on one Redis.

A provider calls them over HTTP, and calls again until it gets a 2xx.
"""

import asyncio
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from redis_server import Server

from greentic_session import RedisSessionStore, ReplyScope, TenantCtx

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROCESS = Path(__file__).with_name("webhook_process.py")
ROOT = PROCESS.parent.parent.parent
COUNTER = "how-often-the-flow-ran"
SECONDS = 30


@contextmanager
def served(redis_url: str) -> Iterator[str]:
    """Start a process that serves the webhook; yield its URL."""
    environment = os.environ | {"STORE_URL": redis_url, "COUNTER": COUNTER, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, PROCESS], env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture(scope="module")
def urls(server: Server) -> Iterator[list[str]]:
    with ExitStack() as stack:
        yield [stack.enter_context(served(server.url)) for _ in range(2)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clients(urls: list[str]) -> AsyncIterator[list[httpx.AsyncClient]]:
    async with (
        httpx.AsyncClient(base_url=urls[0], timeout=SECONDS) as one,
        httpx.AsyncClient(base_url=urls[1], timeout=SECONDS) as other,
    ):
        yield [one, other]


@pytest.fixture
def runs(server: Server) -> Iterator[Any]:
    """Tells how often the flow has run in this test."""
    with server.client() as client:
        client.delete(COUNTER)
        yield lambda: int(client.get(COUNTER) or 0)


@pytest.fixture
def tenant() -> str:
    return f"t{uuid.uuid4().hex}"


async def start(client: httpx.AsyncClient, tenant: str) -> None:
    response = await client.post(f"/{tenant}/start", json={"user": "ada", "chat": "c"})
    assert response.json() == {"answer": "A table for how many?"}


async def deliver_once(client: httpx.AsyncClient, tenant: str, id: str, text: str = "4") -> httpx.Response:
    return await client.post(f"/{tenant}/webhook", json={"user": "ada", "chat": "c", "id": id, "text": text})


async def deliver(client: httpx.AsyncClient, tenant: str, id: str, text: str = "4") -> str | None:
    """Deliver as a provider does; return the answer."""
    for _ in range(100):
        response = await deliver_once(client, tenant, id, text)
        if response.status_code != 503:
            answer: str | None = response.raise_for_status().json()["answer"]
            return answer
        await asyncio.sleep(int(response.headers["Retry-After"]) / 10)  # we are in a hurry
    pytest.fail("the provider has given up")


async def test_a_flow_is_started_and_resumed(clients: list[httpx.AsyncClient], tenant: str, runs: Any) -> None:
    await start(clients[0], tenant)
    answer = await deliver(clients[1], tenant, "d1")
    assert (answer or "").startswith("A table for 4, booked as ")
    assert runs() == 1


async def test_a_delivery_that_comes_again_gets_the_same_answer(
    clients: list[httpx.AsyncClient], tenant: str, runs: Any
) -> None:
    await start(clients[0], tenant)
    answer = await deliver(clients[0], tenant, "d1")
    for client in clients:
        again = await deliver_once(client, tenant, "d1")
        assert (again.status_code, again.json()) == (200, {"answer": answer})
    assert runs() == 1


async def test_of_deliveries_that_come_at_once_one_is_run(clients: list[httpx.AsyncClient], tenant: str, runs: Any) -> None:
    await start(clients[0], tenant)
    answers = await asyncio.gather(*(deliver(clients[number % 2], tenant, "d1") for number in range(10)))
    assert len(set(answers)) == 1
    assert answers[0] is not None
    assert runs() == 1


async def test_while_it_is_at_work_the_provider_shall_come_again(
    clients: list[httpx.AsyncClient], tenant: str, server: Server
) -> None:
    await start(clients[0], tenant)
    ctx = TenantCtx.new("prod", tenant)
    async with RedisSessionStore.from_url(server.url) as store:
        async with await store.claim_wait(ctx, "ada", ReplyScope("c")) or pytest.fail("nothing waits"):
            response = await deliver_once(clients[0], tenant, "d1")
        assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert await deliver(clients[0], tenant, "d1") is not None


async def test_a_delivery_that_comes_again_leaves_the_next_flow_alone(
    clients: list[httpx.AsyncClient], tenant: str, runs: Any
) -> None:
    await start(clients[0], tenant)
    first = await deliver(clients[0], tenant, "d1")
    await start(clients[0], tenant)
    assert await deliver(clients[1], tenant, "d1") == first
    assert runs() == 1
    second = await deliver(clients[1], tenant, "d2", "2")
    assert (second or "").startswith("A table for 2, booked as ")
    assert runs() == 2


async def test_a_process_that_died_before_its_verdict(
    clients: list[httpx.AsyncClient], tenant: str, server: Server, runs: Any
) -> None:
    await start(clients[0], tenant)
    ctx, scope = TenantCtx.new("prod", tenant, user="ada"), ReplyScope("c")
    async with RedisSessionStore.from_url(server.url) as store:
        wait = await store.find_wait(ctx, "ada", scope) or pytest.fail("nothing waits")
        answer = await deliver(clients[0], tenant, "d1")
        await store.register_wait(ctx, "ada", scope, wait.key, wait.data)  # as if it had never been completed
        assert await deliver(clients[1], tenant, "d1") == answer
        assert await store.find_wait(ctx, "ada", scope) is None
    assert runs() == 1


async def test_nothing_waits(clients: list[httpx.AsyncClient], tenant: str, runs: Any) -> None:
    assert await deliver(clients[0], tenant, "d1") is None
    await start(clients[0], tenant)
    assert await deliver(clients[0], f"{tenant}x", "d1") is None  # another tenant's
    assert runs() == 0


async def test_an_id_that_is_none(clients: list[httpx.AsyncClient]) -> None:
    response = await deliver_once(clients[0], "a tenant", "d1")
    assert response.status_code == 422
    assert "TenantId" in response.json()["detail"]


async def test_without_redis_the_provider_shall_come_again() -> None:
    with Server() as gone, served(gone.url) as url:
        gone.kill()
        async with httpx.AsyncClient(base_url=url, timeout=SECONDS) as client:
            assert (await deliver_once(client, "t", "d1")).status_code == 503
