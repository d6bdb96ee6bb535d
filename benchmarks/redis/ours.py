"""Our side: the Redis store, called as a program calls it."""

from functools import partial
from typing import Any

from benchmarks.harness.measuring import Contestant, closed_loop
from benchmarks.harness.population import PreparedWait, prepare_wait
from benchmarks.harness.store import TTL_S, register
from greentic_session import RedisSessionStore

from .sides import PREPARING_TASKS, Call

__all__ = ["PLAIN_SET", "REGISTER_WITHOUT_TTL", "UPDATE_WITHOUT_TTL", "Ours"]

PLAIN_SET = "plain SET of the same bytes, same connection"
REGISTER_WITHOUT_TTL = "register_wait, without a TTL"
UPDATE_WITHOUT_TTL = "update_session, of one without a TTL"
_FIRST_USER_WITHOUT_TTL = 1_000_000
"""Users from this number on have sessions without a lifetime."""


class Ours:
    """`RedisSessionStore`, with a wait of each user with a lifetime, and one without."""

    def __init__(self, store: RedisSessionStore) -> None:
        self._store = store
        self._snapshot = ""

    async def fill(self, users: int, snapshot: str) -> None:
        self._snapshot = snapshot
        waits = [self._wait(user) for user in range(users)]
        permanent = [self._permanent_wait(user) for user in range(users)]
        await closed_loop(partial(register, self._store), PREPARING_TASKS)(waits)
        await closed_loop(partial(register, self._store, ttl=None), PREPARING_TASKS)(permanent)
        found = await self._store.find_wait(*waits[-1][:3])
        assert found is not None
        assert found.data == waits[-1].data

    def contestants(self, operation: str, tasks: int) -> list[Contestant]:
        return [call.contestant(tasks) for call in self._calls(operation)]

    def _wait(self, user: int) -> PreparedWait:
        return prepare_wait(user, self._snapshot)

    def _permanent_wait(self, user: int) -> PreparedWait:
        return self._wait(_FIRST_USER_WITHOUT_TTL + user)

    def _calls(self, operation: str) -> list[Call]:
        store, wait, permanent = self._store, self._wait, self._permanent_wait
        match operation:
            case "find_wait":
                find = store.find_wait
                return [Call(name=operation, pick=lambda user: wait(user)[:3], make=lambda args: find(*args))]
            case "get_session":
                return [Call(name=operation, pick=lambda user: wait(user).key, make=store.get_session)]
            case "register_wait":
                return [
                    Call(name=operation, pick=wait, make=partial(register, store)),
                    Call(name=REGISTER_WITHOUT_TTL, pick=permanent, make=partial(register, store, ttl=None)),
                ]
            case "update_session":
                backend: Any = store.backend  # of its type, a backend, not each has a client
                update, send = store.update_session, backend._client.call
                return [
                    Call(name=operation, pick=lambda user: wait(user)[3:], make=lambda change: update(*change)),
                    Call(
                        name=UPDATE_WITHOUT_TTL, pick=lambda user: permanent(user)[3:], make=lambda change: update(*change)
                    ),
                    Call(
                        name=PLAIN_SET,
                        pick=lambda user: (f"plain:{user}", wait(user).data.to_json()),
                        make=lambda change: send(("SET", *change)),
                    ),
                ]
            case "claim_wait + complete":
                return [Call(name=operation, pick=wait, make=self._claim, prepare=partial(register, store))]
            case "claim_wait + park":
                return [Call(name=operation, pick=wait, make=self._turn, prepare=partial(register, store))]
            case _:
                raise AssertionError(operation)

    async def _turn(self, wait: PreparedWait) -> None:
        claim = await self._store.claim_wait(*wait[:3])
        assert claim is not None
        await claim.park(wait.scope, wait.data, TTL_S)

    async def _claim(self, wait: PreparedWait) -> None:
        claim = await self._store.claim_wait(*wait[:3])
        assert claim is not None
        await claim.complete()
