"""Runtimes of 0.1.0 and of this version by turns on one namespace, beside a model in memory."""

import random
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple

import pytest
import redis
from redis_invariants import State, check
from samples.first_release import FirstRelease

from greentic_session import InMemorySessionStore, RedisSessionStore, ReplyScope, SessionData, SessionStore, TenantCtx
from greentic_session.backends.redis.staging import STAGED_BYTES
from greentic_session.errors import GreenticError
from greentic_session.testing._sessions.samples import ctx, data

pytestmark = pytest.mark.asyncio

LEASE_S, LEASE_MS = 600.0, 600_000
LARGE = "x" * (2 * STAGED_BYTES)
SCOPES = [ReplyScope(f"chat-{number}") for number in range(3)]
TTLS = (3600.0, 3600.0, 60_000.0, None, 2 * 86_400.0)
OPERATIONS = (
    "create", "register", "register", "register", "register or fail", "update", "update", "touch", "remove", "find", "find",
    "find", "list", "clear", "get", "claim", "claim", "claim", "finish", "finish", "finish",
)  # fmt: skip
FINISHES = ("park", "park", "move", "complete", "release")


class Step(NamedTuple):
    """Step of a runtime."""

    operation: str
    who: TenantCtx
    scope: ReplyScope
    key: str
    data: SessionData
    ttl: float | None
    how: str

    @property
    def user(self) -> str:
        return self.who.effective_user or ""

    @property
    def ttl_ms(self) -> int:
        return -1 if self.ttl is None else round(self.ttl * 1000)


def steps(seed: int, number: int) -> Iterator[Step]:
    chance = random.Random(seed)
    for at in range(number):
        user = chance.choice(("alice", "bob"))
        key = f"k-{user if chance.random() < 0.97 else 'alice'}-{chance.randrange(4)}"
        snapshot = f"{at}:{chance.choice(('', LARGE))}"
        operation, how = chance.choice(OPERATIONS), chance.choice(FINISHES)
        yield Step(
            operation, ctx(user), chance.choice(SCOPES), key, data(ctx(user), snapshot=snapshot), chance.choice(TTLS), how
        )


class Runtime:
    """Somebody who does what a step says, and the claims that it holds."""

    def __init__(self) -> None:
        self._claims: dict[tuple[str, str], Any] = {}

    async def take(self, step: Step) -> Any:
        """Return what comes of a step: an answer, or the name of the error."""
        try:
            if step.operation not in ("claim", "finish"):
                return await self.do(step)
            place = (step.user, step.scope.conversation)
            if step.operation == "claim":
                claim = await self.claim(step)
                if claim is None:
                    return None
                self._claims[place], answer = claim
                return answer
            claim = self._claims.pop(place, None)
            return "none held" if claim is None else await self.finish(claim, step)
        except (GreenticError, LookupError) as error:
            return type(error).__name__

    async def do(self, step: Step) -> Any:
        raise NotImplementedError

    async def claim(self, step: Step) -> tuple[Any, Any] | None:
        raise NotImplementedError

    async def finish(self, claim: Any, step: Step) -> Any:
        raise NotImplementedError


class Newer(Runtime):
    """A store of this version."""

    def __init__(self, store: SessionStore) -> None:
        super().__init__()
        self._store = store

    async def do(self, step: Step) -> Any:
        store, (operation, who, scope, key, data, ttl, _), user = self._store, step, step.user
        actions: dict[str, Callable[[], Awaitable[Any]]] = {
            "create": lambda: store.create_session(who, data, key=key, ttl=ttl),
            "register": lambda: store.register_wait(who, user, scope, key, data, ttl),
            "register or fail": lambda: store.register_wait(who, user, scope, key, data, ttl, on_conflict="fail"),
            "update": lambda: store.update_session(key, data),
            "touch": lambda: store.touch(key, ttl),
            "remove": lambda: store.remove_session(key),
            "find": lambda: store.find_wait(who, user, scope),
            "list": lambda: store.list_waits_for_user(who, user),
            "clear": lambda: store.clear_wait(who, user, scope),
            "get": lambda: store.get_session(key),
        }
        answer = await actions[operation]()
        if operation == "find":
            return answer and (answer.key, answer.data.context_json)
        return answer.context_json if operation == "get" and answer else None if operation == "update" else answer

    async def claim(self, step: Step) -> tuple[Any, Any] | None:
        claim = await self._store.claim_wait(step.who, step.user, step.scope, lease=LEASE_S)
        return None if claim is None else (claim, (claim.key, claim.data.context_json))

    async def finish(self, claim: Any, step: Step) -> Any:
        if step.how in ("park", "move"):
            await claim.park(step.scope if step.how == "park" else SCOPES[0], step.data, step.ttl)
        else:
            await (claim.complete() if step.how == "complete" else claim.release())


class Older(Runtime):
    """A runtime of 0.1.0."""

    def __init__(self, release: FirstRelease, raw: redis.Redis, namespace: str) -> None:
        super().__init__()
        self._release = release
        self._raw = raw
        self._namespace = namespace
        self._tokens = iter(range(10_000))

    async def do(self, step: Step) -> Any:
        release, (operation, who, scope, key, data, _, _) = self._release, step
        match operation:
            case "create":
                return release.create(who, data, key, step.ttl_ms)
            case "register" | "register or fail":
                return release.register(who, scope, key, data, step.ttl_ms, replace=operation == "register")
            case "update":
                return release.update(data, key)
            case "touch":
                return release.touch(key, step.ttl_ms)
            case "remove":
                return release.remove(key)
            case "find":
                return _told(release.find(who, scope))
            case "list":
                return release.list_waits(who)
            case "clear":
                return release.clear(who, scope)
            case _:
                text = self._raw.get(f"{self._namespace}:session:{key}")
                return text and SessionData.from_json(text).context_json

    async def claim(self, step: Step) -> tuple[Any, Any] | None:
        token = f"{next(self._tokens):032x}"
        found = self._release.claim(step.who, step.scope, token, LEASE_MS)
        return found and ((found[0], token), _told(found))

    async def finish(self, claim: tuple[str, str], step: Step) -> Any:
        key, token = claim
        match step.how:
            case "park" | "move":
                scope = step.scope if step.how == "park" else SCOPES[0]
                self._release.register(step.who, scope, key, step.data, step.ttl_ms, replace=True, token=token)
            case "complete":
                self._release.complete(key, token)
            case _:
                self._release.release(key, token)


def _told(found: tuple[str, bytes] | None) -> tuple[str, str] | None:
    return found and (found[0], SessionData.from_json(found[1]).context_json)


@pytest.mark.parametrize(
    ("seed", "number"), [(0, 150), *(pytest.param(seed, 1500, marks=pytest.mark.slow) for seed in range(1, 5))]
)
async def test_a_fleet_of_both_versions_answers_as_one_store(
    raw: redis.Redis, redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch, seed: int, number: int
) -> None:
    # 0.1.0 notes no lasting sessions, and its index of one wait is left to what comes next.
    monkeypatch.setattr(State, "check_lasting", lambda self: None)
    for kind in ("set", "index"):
        monkeypatch.setattr(State, f"check_{kind}", lambda self, *_: None)
    chance = random.Random(seed)
    async with (
        RedisSessionStore.from_url(redis_url, namespace=namespace) as one,
        RedisSessionStore.from_url(redis_url, namespace=namespace) as other,
        InMemorySessionStore() as model,
    ):
        fleet = [Older(FirstRelease(raw, namespace), raw, namespace), Newer(one), Newer(other)]
        told = [Newer(model) for _ in fleet]  # the claims of each, in the model
        for at, step in enumerate(steps(seed, number)):
            number_of = chance.randrange(len(fleet))
            got, wanted = await fleet[number_of].take(step), await told[number_of].take(step)
            assert got == wanted, (at, type(fleet[number_of]).__name__, step.operation, step.how, step.user, step.key)
            if at % 10 == 0:
                check(raw, namespace)
        check(raw, namespace)
