"""What a claim does when its store fails it; all the rest is in the contract."""

import asyncio
import logging
from typing import Any

import anyio
import pytest

from greentic_session import Claim, SessionStore, UnavailableError
from greentic_session.backends.memory.backend import MemoryBackend
from greentic_session.testing._sessions.samples import ALICE, CHAT, data


class Failing(MemoryBackend):
    """A backend that is away when a claim is released."""

    async def release(self, key: str, token: str) -> bool:
        raise UnavailableError("away")


@pytest.fixture
def store() -> SessionStore:
    return SessionStore(Failing(lambda: 0.0))


async def claim(store: SessionStore) -> Claim:
    await store.register_wait(ALICE, "alice", CHAT, "hidden-key", data(snapshot="hush-hush"))
    claim = await store.claim_wait(ALICE, "alice", CHAT)
    assert claim is not None
    return claim


@pytest.mark.asyncio
async def test_a_release_that_fails_is_told(store: SessionStore) -> None:
    with pytest.raises(UnavailableError, match="away"):
        async with await claim(store):
            pass


@pytest.mark.asyncio
async def test_what_the_block_raises_goes_before_a_release_that_fails(
    store: SessionStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "greentic_session")
    with pytest.raises(KeyError):
        async with await claim(store):
            raise KeyError
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "unavailable" in caplog.text
    assert "hidden-key" not in caplog.text


@pytest.mark.asyncio
async def test_a_cancellation_goes_before_a_release_that_fails(store: SessionStore) -> None:
    with anyio.CancelScope() as scope:
        async with await claim(store):
            scope.cancel()
            await anyio.sleep(60)
    assert scope.cancelled_caught


class Slow(MemoryBackend):
    """A backend that takes its time to release a claim, as one across a network does."""

    released = 0

    def __init__(self) -> None:
        super().__init__(lambda: 0.0)
        self.releasing = anyio.Event()

    async def release(self, key: str, token: str) -> bool:
        self.releasing.set()
        await anyio.sleep(0.05)
        self.released += 1
        return await super().release(key, token)


@pytest.mark.asyncio
@pytest.mark.parametrize("where", ["in the block", "while it is released", "twice"])
async def test_a_release_is_shielded_from_plain_asyncio_too(where: str) -> None:
    backend = Slow()
    store = SessionStore(backend)
    held = asyncio.Event()

    async def hold() -> None:
        async with await claim(store):
            held.set()
            await asyncio.sleep(0 if where == "while it is released" else 60)

    task = asyncio.ensure_future(hold())
    if where == "while it is released":
        await backend.releasing.wait()
    else:
        await held.wait()
    task.cancel()
    if where == "twice":
        await backend.releasing.wait()
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert backend.released == 1
    assert await store.claim_wait(ALICE, "alice", CHAT) is not None


@pytest.mark.asyncio
async def test_a_deadline_over_the_block_releases_it() -> None:
    backend = Slow()
    store = SessionStore(backend)
    held = await claim(store)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02), held:
            await asyncio.sleep(60)
    assert backend.released == 1


def test_a_release_is_shielded_on_trio() -> None:
    async def hold() -> int:
        backend = Slow()
        held = await claim(SessionStore(backend))
        with anyio.move_on_after(0.02):
            async with held:
                await anyio.sleep(60)
        return backend.released

    assert anyio.run(hold, backend="trio") == 1


@pytest.mark.asyncio
async def test_closing_the_store_in_the_block_is_no_error(store: SessionStore) -> None:
    async with await claim(store):
        await store.aclose()


@pytest.mark.asyncio
async def test_a_repr_hides_what_opens_the_session(store: SessionStore) -> None:
    held = await claim(store)
    found = await store.find_wait(ALICE, "alice", CHAT)
    rich: Any = found
    for shown in (repr(held), repr(found), str(rich.__rich_repr__()), str(rich.data.__rich_repr__())):
        assert "order.flow" in shown
        assert "hidden-key" not in shown
        assert "hush-hush" not in shown
