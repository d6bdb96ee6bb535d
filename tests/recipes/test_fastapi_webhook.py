"""Two processes that serve the webhook on one store.

A provider calls them over HTTP, and calls again until it gets a 2xx.
"""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from conftest import DURABLE
from fastapi_webhook import DAY, HOUR, MINUTE, place_of
from redis_server import Server
from turns import PATIENCE_S, until

from greentic_session import SessionStore, TenantCtx, create_session_store
from greentic_session.testing import later

pytestmark = pytest.mark.asyncio

PROCESS = Path(__file__).with_name("webhook_process.py")
ROOT = PROCESS.parent.parent.parent
CTX = TenantCtx.new("prod", "acme", user="ada")


class Process:
    """A process that serves the webhook."""

    def __init__(self, popen: "subprocess.Popen[str]") -> None:
        self.popen = popen
        assert popen.stdout is not None
        self.url = f"http://127.0.0.1:{int(popen.stdout.readline())}"

    async def post(self, path: str, **body: str) -> tuple[int, str]:
        """Call it; return the status and the outcome."""
        async with httpx.AsyncClient(base_url=self.url, timeout=PATIENCE_S) as client:
            response = await client.post(path, json=body)
        answer = response.json()
        return response.status_code, answer.get("outcome") or answer["detail"]

    async def checkout(self, order: str = "o1") -> tuple[int, str]:
        return await self.post("/acme/checkout", user="ada", order=order)

    async def callback(self, id: str = "c1", status: str = "paid", order: str = "o1") -> tuple[int, str]:
        return await self.post("/acme/webhook", id=id, user="ada", payment=f"p-{order}", status=status)

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait()


@contextmanager
def served(url: str, shop: Path) -> Iterator[Process]:
    """Start a process."""
    environment = os.environ | {"STORE_URL": url, "SHOP": str(shop), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, PROCESS], env=environment, stdout=subprocess.PIPE, text=True) as popen:
        try:
            yield Process(popen)
        finally:
            popen.terminate()


class Shop:
    """Notes of the shop on what the processes did."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self, name: str) -> list[list[str]]:
        """Return what was asked for (``calls``) or ``done``: what, which order, with which key."""
        file = self.path / name
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []

    def done(self) -> list[str]:
        return [what for what, _, _ in self.lines("done")]

    async def has_done(self, *what: str) -> None:
        """Wait until just this is done."""

        async def is_done() -> bool:
            return self.done() == list(what)

        await until(is_done)

    async def is_asked(self, count: int) -> None:
        """Wait until so much was asked for."""

        async def is_asked() -> bool:
            return len(self.lines("calls")) == count

        await until(is_asked)

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Let nothing be done within the block."""
        hold = self.path / "hold"
        hold.touch()
        yield
        hold.unlink()


@pytest.fixture(scope="module", params=DURABLE)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with ExitStack() as stack:
        if request.param == "sqlite":
            yield f"sqlite:///{tmp_path_factory.mktemp('store')}/shop.db"
        else:
            yield stack.enter_context(Server()).url


@pytest.fixture(scope="module")
def shop_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shop")


@pytest.fixture(scope="module")
def processes(url: str, shop_path: Path) -> Iterator[list[Process]]:
    with served(url, shop_path) as one, served(url, shop_path) as other:
        yield [one, other]


@pytest_asyncio.fixture
async def store(url: str) -> AsyncIterator[SessionStore]:
    """The store that the processes share, empty."""
    async with create_session_store(url) as store:
        yield store
        await store.purge(TenantCtx.new("prod", "acme"))


@pytest.fixture
def shop(shop_path: Path) -> Shop:
    for name in ("calls", "done", "hold"):
        (shop_path / name).unlink(missing_ok=True)
    return Shop(shop_path)


async def is_at(store: SessionStore, node: str | None) -> None:
    """Wait until the order waits for its callback at this node, or waits no more."""

    async def is_there() -> bool:
        wait = await store.find_wait(CTX, "ada", place_of("p-o1"))
        return node == (None if wait is None else wait.data.cursor.node_pointer)

    await until(is_there)


async def ordered(store: SessionStore, process: Process) -> None:
    """Check out, and wait until the order waits for its callback."""
    assert await process.checkout() == (202, "claimed")
    await is_at(store, "paid?")


async def test_what_is_paid_is_shipped_once(processes: list[Process], store: SessionStore, shop: Shop) -> None:
    one, other = processes
    await ordered(store, one)
    assert await other.callback("c0", "pending") == (202, "claimed")
    assert (await other.callback("c1"))[0] == 202
    await shop.has_done("charge", "ship")
    await is_at(store, None)
    for process in processes:  # after completion
        assert await process.callback("c1") == (202, "duplicate")
        assert await process.checkout() == (202, "duplicate")
    assert shop.done() == ["charge", "ship"]


async def test_a_callback_before_the_park(processes: list[Process], store: SessionStore, shop: Shop) -> None:
    one, other = processes
    with shop.holding():
        await one.checkout()
        await shop.is_asked(1)
        assert await other.callback() == (202, "kept")
        assert await one.callback() == (202, "kept")  # the same
        assert shop.done() == []
    await shop.has_done("charge", "ship")


async def test_while_another_worker_is_at_it(processes: list[Process], store: SessionStore, shop: Shop) -> None:
    one, other = processes
    await ordered(store, one)
    with shop.holding():
        assert await one.callback("c1") == (202, "claimed")
        await shop.is_asked(2)
        assert await other.callback("c1") == (202, "queued")  # the same one, not settled yet
        assert await other.callback("c2", "pending") == (202, "queued")
    await shop.has_done("charge", "ship")


async def test_too_late(processes: list[Process], store: SessionStore, shop: Shop) -> None:
    one, other = processes
    await ordered(store, one)
    await later(store, 15 * MINUTE)
    await is_at(store, "cancelled")
    await later(store, DAY)
    assert (await other.callback())[0] == 202
    await shop.has_done("charge", "refund")


async def test_what_nobody_waits_for_is_gone_after_an_hour(
    processes: list[Process], store: SessionStore, shop: Shop
) -> None:
    assert await processes[0].callback() == (202, "kept")
    await later(store, HOUR)
    assert await store.inbox(CTX, "ada", place_of("p-o1")) == []


async def test_a_process_that_is_killed(processes: list[Process], url: str, store: SessionStore, shop: Shop) -> None:
    """The provider gets no answer, or calls again all the same; the other process does the rest."""
    with served(url, shop.path) as mortal:
        await ordered(store, mortal)
        with shop.holding():
            assert await mortal.callback() == (202, "claimed")
            await shop.is_asked(2)
            mortal.kill()
            assert await processes[0].callback() == (202, "queued")  # a second try: nothing is added
            await later(store, 30)  # its lease
        await shop.has_done("charge", "ship")
    charge, *ships = shop.lines("calls")
    assert charge[0] == "charge"
    assert [what for what, _, _ in ships] == ["ship", "ship"]
    assert len({key for _, _, key in ships}) == 1  # so the shop knows that it is one and the same
    await is_at(store, None)
    assert await processes[1].callback() == (202, "duplicate")


async def test_an_id_that_is_none(processes: list[Process]) -> None:
    status, detail = await processes[0].post("/a tenant/checkout", user="ada", order="o1")
    assert status == 422
    assert "TenantId" in detail


async def test_without_a_store_the_provider_shall_come_again(tmp_path: Path) -> None:
    with Server() as gone, served(gone.url, tmp_path) as process:
        gone.kill()
        assert await process.callback() == (503, "come again")
