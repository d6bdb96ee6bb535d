"""Our store in Redis, called as a program would."""

from functools import partial

from greentic_session import RedisSessionStore

from ._measure import Contestant, closed_loop
from ._sides import Call, Parked, make_parked

__all__ = ["PLAIN_SET", "REGISTER_WITH_TTL", "UPDATE_WITH_TTL", "Ours", "open_store", "register"]

PLAIN_SET = "plain SET of the same bytes, same connection"
REGISTER_WITH_TTL = "register_wait, with a TTL"
UPDATE_WITH_TTL = "update_session, of one with a TTL"
TTL = 86_400.0
LIMITED = 1_000_000
"""From this number on, users have sessions with a TTL; so that all others have one session, for ever, as the peers' are."""
FILLING_TASKS = 50


def open_store(url: str, namespace: str = "ours") -> RedisSessionStore:
    """Return a store as measured: with its own settings, and time enough for a thousand tasks on a busy machine."""
    return RedisSessionStore.from_url(url, namespace=namespace, timeout=60.0)


async def register(store: RedisSessionStore, wait: Parked) -> None:
    await store.register_wait(*wait)


class Ours:
    """`RedisSessionStore`."""

    def __init__(self, store: RedisSessionStore) -> None:
        self._store = store
        self._snapshot = ""

    async def fill(self, users: int, snapshot: str) -> None:
        self._snapshot = snapshot
        waits = [self._parked(user) for user in range(users)]
        await closed_loop(partial(register, self._store), FILLING_TASKS)(waits)
        await closed_loop(self._register_with_ttl, FILLING_TASKS)([self._limited(user) for user in range(users)])
        found = await self._store.find_wait(*waits[-1][:3])
        assert found is not None
        assert found.data == waits[-1].data

    def contestants(self, operation: str, tasks: int) -> list[Contestant]:
        return [call.contestant(tasks) for call in self._calls(operation)]

    def _parked(self, user: int) -> Parked:
        return make_parked(user, self._snapshot)

    def _limited(self, user: int) -> Parked:
        return self._parked(LIMITED + user)

    def _calls(self, operation: str) -> list[Call]:
        store, parked, limited = self._store, self._parked, self._limited
        match operation:
            case "find_wait":
                find = store.find_wait
                return [Call(name=operation, pick=lambda user: parked(user)[:3], make=lambda place: find(*place))]
            case "get_session":
                return [Call(name=operation, pick=lambda user: parked(user).key, make=store.get_session)]
            case "register_wait":
                put = store.register_wait
                return [
                    Call(name=operation, pick=parked, make=lambda wait: put(*wait)),
                    Call(name=REGISTER_WITH_TTL, pick=limited, make=self._register_with_ttl),
                ]
            case "update_session":
                update, send = store.update_session, self._store._backend._link.call  # type: ignore[attr-defined]
                return [
                    Call(name=operation, pick=lambda user: parked(user)[3:], make=lambda change: update(*change)),
                    Call(name=UPDATE_WITH_TTL, pick=lambda user: limited(user)[3:], make=lambda change: update(*change)),
                    Call(
                        name=PLAIN_SET,
                        pick=lambda user: (f"plain:{user}", parked(user).data.to_json()),
                        make=lambda change: send("SET", *change),
                    ),
                ]
            case "claim_wait + complete":
                return [Call(name=operation, pick=parked, make=self._claim, prepare=partial(register, store))]
            case _:
                raise AssertionError(operation)

    async def _register_with_ttl(self, wait: Parked) -> None:
        await self._store.register_wait(*wait, TTL)

    async def _claim(self, wait: Parked) -> None:
        claim = await self._store.claim_wait(wait.ctx, wait.user, wait.scope)
        assert claim is not None
        await claim.complete()
