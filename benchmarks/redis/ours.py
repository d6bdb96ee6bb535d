"""Our store in Redis, called as a program would."""

from functools import partial

from benchmarks.harness.measuring import Contestant, closed_loop
from greentic_session import RedisSessionStore

from .sides import Call, Parked, make_parked

__all__ = ["PLAIN_SET", "REGISTER_FOR_EVER", "TTL", "UPDATE_FOR_EVER", "Ours", "open_store", "register"]

PLAIN_SET = "plain SET of the same bytes, same connection"
REGISTER_FOR_EVER = "register_wait, without a TTL"
UPDATE_FOR_EVER = "update_session, of one without a TTL"
TTL = 86_400.0
"""How long sessions are kept, in seconds: README advises to set a lifetime."""
FOR_EVER = 1_000_000
"""From this number on, users have sessions without a TTL."""
FILLING_TASKS = 50


def open_store(url: str, namespace: str = "ours") -> RedisSessionStore:
    """Return a store as measured: with its own settings, and time enough for a thousand tasks on a busy machine."""
    return RedisSessionStore.from_url(url, namespace=namespace, timeout=60.0)


async def register(store: RedisSessionStore, wait: Parked, ttl: float | None = TTL) -> None:
    ctx, user, scope, key, data = wait
    await store.register_wait(ctx, user, scope, key, data, ttl)


class Ours:
    """`RedisSessionStore`."""

    def __init__(self, store: RedisSessionStore) -> None:
        self._store = store
        self._snapshot = ""

    async def fill(self, users: int, snapshot: str) -> None:
        self._snapshot = snapshot
        waits = [self._parked(user) for user in range(users)]
        await closed_loop(partial(register, self._store), FILLING_TASKS)(waits)
        await closed_loop(partial(register, self._store, ttl=None), FILLING_TASKS)(
            [self._kept(user) for user in range(users)]
        )
        found = await self._store.find_wait(*waits[-1][:3])
        assert found is not None
        assert found.data == waits[-1].data

    def contestants(self, operation: str, tasks: int) -> list[Contestant]:
        return [call.contestant(tasks) for call in self._calls(operation)]

    def _parked(self, user: int) -> Parked:
        return make_parked(user, self._snapshot)

    def _kept(self, user: int) -> Parked:
        return self._parked(FOR_EVER + user)

    def _calls(self, operation: str) -> list[Call]:
        store, parked, kept = self._store, self._parked, self._kept
        match operation:
            case "find_wait":
                find = store.find_wait
                return [Call(name=operation, pick=lambda user: parked(user)[:3], make=lambda place: find(*place))]
            case "get_session":
                return [Call(name=operation, pick=lambda user: parked(user).key, make=store.get_session)]
            case "register_wait":
                return [
                    Call(name=operation, pick=parked, make=partial(register, store)),
                    Call(name=REGISTER_FOR_EVER, pick=kept, make=partial(register, store, ttl=None)),
                ]
            case "update_session":
                # Only a backend in Redis has a link; the store says no more than that it has a backend.
                update, send = store.update_session, self._store._backend._client.call  # type: ignore[attr-defined]
                return [
                    Call(name=operation, pick=lambda user: parked(user)[3:], make=lambda change: update(*change)),
                    Call(name=UPDATE_FOR_EVER, pick=lambda user: kept(user)[3:], make=lambda change: update(*change)),
                    Call(
                        name=PLAIN_SET,
                        pick=lambda user: (f"plain:{user}", parked(user).data.to_json()),
                        make=lambda change: send(("SET", *change)),
                    ),
                ]
            case "claim_wait + complete":
                return [Call(name=operation, pick=parked, make=self._claim, prepare=partial(register, store))]
            case _:
                raise AssertionError(operation)

    async def _claim(self, wait: Parked) -> None:
        claim = await self._store.claim_wait(wait.ctx, wait.user, wait.scope)
        assert claim is not None
        await claim.complete()
