"""Every operation of the store as a value, for tests that break or cancel each of them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from greentic_session import Claim, SessionStore
from greentic_session.models import ReplyScope
from greentic_session.testing._sessions.calls import by_user
from greentic_session.testing._sessions.samples import ALICE, CHAT, MINUTE, data

__all__ = ["OPERATIONS", "OTHER", "READS", "WRITES", "Operation", "prepare"]

OTHER = ReplyScope("telegram:chat-2")

Call = Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class Operation:
    """One operation.

    Attributes:
        name: Its name.
        ready: Does what must come before, and returns the operation itself, to be called once.
        writes: Whether it changes what is stored.
        calls: How many commands it sends; a fault of its last one is the interesting one.
    """

    name: str
    ready: Callable[[SessionStore], Awaitable[Call]]
    writes: bool
    calls: int = 1


def _plain(
    name: str, call: Callable[[SessionStore], Awaitable[object]], *, writes: bool = False, calls: int = 1
) -> Operation:
    async def ready(store: SessionStore) -> Call:
        return lambda: call(store)

    return Operation(name, ready, writes, calls)


def _of_claim(name: str, call: Callable[[Claim], Awaitable[object]], *, writes: bool = True) -> Operation:
    async def ready(store: SessionStore) -> Call:
        claim = await store.claim_wait(ALICE, "alice", CHAT)
        assert claim is not None
        return lambda: call(claim)

    return Operation(f"claim.{name}", ready, writes)


async def _walk(store: SessionStore) -> list[str]:
    return [wait.key async for wait in store.iter_sessions(ALICE)]


async def prepare(store: SessionStore) -> None:
    """Park one flow of alice's, with the key ``k``, at `CHAT`."""
    await store.register_wait(ALICE, "alice", CHAT, "k", data(), MINUTE)


READS = [
    _plain("get_session", lambda store: store.get_session("k")),
    _plain("get_versioned", lambda store: store.get_versioned("k")),
    _plain("find_wait", lambda store: store.find_wait(ALICE, "alice", CHAT)),
    _plain("find_wait_by_scope", lambda store: store.find_wait_by_scope(ALICE, "alice", CHAT)),
    _plain("list_waits_for_user", lambda store: store.list_waits_for_user(ALICE, "alice")),
    _plain("find_by_user", lambda store: by_user(store, ALICE, "alice")),
    _plain("health", lambda store: store.health()),
    _plain("inbox", lambda store: store.inbox(ALICE, "alice", CHAT)),
    _plain("iter_sessions", _walk, calls=2),
]
WRITES = [
    _plain("create_session", lambda store: store.create_session(ALICE, data(), key="new", ttl=MINUTE), writes=True),
    _plain("update_session", lambda store: store.update_session("k", data(node="b")), writes=True),
    _plain("remove_session", lambda store: store.remove_session("k"), writes=True),
    _plain("touch", lambda store: store.touch("k", MINUTE), writes=True),
    _plain("register_wait", lambda store: store.register_wait(ALICE, "alice", OTHER, "new", data(), MINUTE), writes=True),
    _plain("clear_wait", lambda store: store.clear_wait(ALICE, "alice", CHAT), writes=True),
    _plain("claim_wait", lambda store: store.claim_wait(ALICE, "alice", CHAT), writes=True),
    _plain("purge", lambda store: store.purge(ALICE), writes=True, calls=2),
    _plain("deliver", lambda store: store.deliver(ALICE, "alice", CHAT, "yes", delivery_id="d"), writes=True),
    _plain("claim_ready", lambda store: store.claim_ready()),  # nothing is
    _of_claim("park", lambda claim: claim.park(OTHER, data(node="b"), MINUTE)),
    _of_claim("complete", lambda claim: claim.complete()),
    _of_claim("release", lambda claim: claim.release()),
    _of_claim("renew", lambda claim: claim.renew(MINUTE)),
    _of_claim("stay", lambda claim: claim.stay(data(node="b"))),
    _of_claim("take", lambda claim: claim.take(), writes=False),  # nothing is there
    _of_claim("put off", lambda claim: claim.release(MINUTE)),
]
OPERATIONS = READS + WRITES
