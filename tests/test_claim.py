"""What a claim does when its store fails it; all the rest is in the contract."""

import logging

import anyio
import pytest

from greentic_session import Claim, SessionStore, UnavailableError
from greentic_session._contract.samples import ALICE, CHAT, data
from greentic_session.backends.memory.backend import MemoryBackend

pytestmark = pytest.mark.asyncio


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


async def test_a_release_that_fails_is_told(store: SessionStore) -> None:
    with pytest.raises(UnavailableError, match="away"):
        async with await claim(store):
            pass


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


async def test_a_cancellation_goes_before_a_release_that_fails(store: SessionStore) -> None:
    with anyio.CancelScope() as scope:
        async with await claim(store):
            scope.cancel()
            await anyio.sleep(60)
    assert scope.cancelled_caught


async def test_a_repr_hides_what_opens_the_session(store: SessionStore) -> None:
    held = await claim(store)
    found = await store.find_wait(ALICE, "alice", CHAT)
    for shown in (repr(held), repr(found)):
        assert "order.flow" in shown
        assert "hidden-key" not in shown
        assert "hush-hush" not in shown
