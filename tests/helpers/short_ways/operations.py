"""Random operations that are told to two worlds alike, and what they answer as plain values."""

import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest import mock

from greentic_session import Claim, Delivery, Reply, ReplyScope, SessionData, SessionStore, Start, TenantCtx, Wait
from greentic_session import claim as claim_module
from greentic_session._operations import claims as claim_operations
from greentic_session._operations import replies as reply_operations
from greentic_session.errors import GreenticError
from greentic_session.testing._sessions.samples import ctx, data

__all__ = ["KEYS", "OPTIONS", "PEOPLE", "SCOPES", "Operation", "World", "brief", "draw", "same_ids", "text", "told"]

PEOPLE = [ctx("alice"), ctx("alice", team=None), ctx("bob")]
RUNNER = ctx(None)
SCOPES = [ReplyScope("c1"), ReplyScope("c1", correlation="q"), ReplyScope("c2", thread="\u00fc\U0001f600")]
KEYS = ["k1", "k2", "k3", "session:\u00fc"]
TTLS = [None, 5, 700, 3_000, 100_000, 3_000_000]
LEASES = [2.0, 300.0, 300.0, 2_000.0, 200_000.0]
OPTIONS: list[dict[str, Any]] = [
    {"max_replies": 3, "max_inbox_bytes": 40, "reply_grace": 1_500.0, "timeout_grace": 5_000.0, "dedupe_window": 4_000.0},
    {"reply_grace": 90_000.0, "timeout_grace": 2_000.0, "dedupe_window": 1_000.0, "max_waits_per_user": 2},
]
"""Of the stores of a world, which share what is stored."""
BODIES = ["yes", "n\u00f6" * 12, "", {"a": [1, None]}, "x" * 3_000]

Call = Callable[["World"], Awaitable[object]]
_Maker = Callable[[Random, list[int], int], "Operation"]


@dataclass
class World:
    """Stores that share what is stored, and the claims that were made there, by their numbers."""

    stores: list[SessionStore]
    claims: dict[int, Claim] = field(default_factory=dict)

    def keep(self, number: int, result: object) -> object:
        """Note the claim that an operation has made under its number."""
        made = [result.claim] if isinstance(result, Delivery) else result if isinstance(result, list) else [result]
        for claim in made:
            if isinstance(claim, Claim):
                self.claims[number] = claim
        return result


@dataclass(frozen=True)
class Operation:
    """One operation.

    Attributes:
        name: What it does, for whoever reads a failure.
        call: Does it in a world.
    """

    name: str
    call: Call

    async def outcome(self, world: World) -> object:
        """Return what it answers or raises."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                return told(await self.call(world))
        except GreenticError as error:
            return type(error).__name__, str(error)


def text(random: Random, who: TenantCtx) -> SessionData:
    """Return a session: short, long enough to pass by Lua, or with odd characters."""
    session = data(who, random.choice(["n1", "n2"]))
    kind = random.randrange(6)
    if kind == 0:
        return session.new_context({"long": "l" * random.choice([2_000, 5_000])})
    if kind == 1:
        return session.new_context({'"},"flow_id":': "\u00fc\u2028\U0001f600"})
    return session


def told(result: object) -> object:
    """Return an answer as plain values; a float is a moment."""
    match result:
        case Claim():
            return (
                "claim",
                *(result.key, result.data.to_json(), result.scope, result.version, result.attempt, result.timed_out),
                *(result.is_new, None if result.deadline is None else result.deadline.timestamp() * 1000),
                told(list(result.replies)),
            )
        case Delivery():
            return result.outcome.value, told(result.reply), told(result.claim)
        case Reply():
            what = (result.id, result.body, result.scope, result.delivery_id, result.sender)
            return (*what, result.accepted_at.timestamp() * 1000)
        case Wait():
            return result.key, result.data.to_json(), result.scope, result.version
        case SessionData():
            return result.to_json()
        case list() | tuple():
            return [told(one) for one in result]
        case _:
            return result


def brief(about: tuple[object, ...]) -> str:
    """Return arguments as text that can be read."""

    def word(one: object) -> str:
        match one:
            case TenantCtx():
                return f"{one.user_id}/{one.team_id or '-'}"
            case ReplyScope():
                return ".".join(filter(None, (one.conversation, one.thread, one.correlation)))
            case SessionData():
                return f"{one.cursor.node_pointer}:{len(one.context_json)}"
            case Start():
                return f"Start{brief((one.key, one.data, one.ttl, one.on_timeout))}"
            case dict():
                return " ".join(f"{key}={word(value)}" for key, value in one.items())
            case _:
                return repr(one)

    return f"({', '.join(map(word, about))})"


class _Ids:
    def __init__(self) -> None:
        self.begin(0)

    def begin(self, step: int) -> None:
        self.step, self.number = step, 0

    def token(self, *_: object) -> str:
        self.number += 1
        return f"{self.step:08x}{self.number:04x}".ljust(32, "0")

    def urandom(self, count: int) -> bytes:
        return self.token().encode()[-count:]

    def tokens(self) -> tuple[str, str, str]:
        return self.token(), self.token(), self.token()


@contextmanager
def same_ids() -> Iterator[Callable[[int], None]]:
    """Let the ids and tokens of a step be the same in both worlds; yield what begins a step."""
    ids = _Ids()
    with (
        mock.patch.object(claim_operations, "claim_token", ids.token),
        mock.patch.object(claim_module, "os", SimpleNamespace(urandom=ids.urandom)),
        mock.patch.object(reply_operations, "claim_token", ids.token),
        mock.patch.object(reply_operations, "new_token", ids.token),
        mock.patch.object(reply_operations, "delivery_tokens", ids.tokens),
    ):
        yield ids.begin


def draw(random: Random, claimed: list[int], number: int) -> Operation:
    """Return an operation of ours.

    Args:
        random: What it is drawn by.
        claimed: The numbers of the claims that there are.
        number: That of the operation.
    """
    makers: list[_Maker] = [_by_key, _by_key, _wait, _wait, _claim, _deliver, _deliver, _deliver, _ready]
    if claimed:
        makers += [_of_claim] * 6
    return random.choice(makers)(random, claimed, number)


def _usual(choices: list[Any], random: Random) -> Any:
    """Choose one: mostly the first."""
    return choices[0] if random.random() < 0.6 else random.choice(choices)


def _who(random: Random) -> TenantCtx:
    return _usual(PEOPLE, random)  # type: ignore[no-any-return]


def _of(name: str, store: int, call: Callable[[SessionStore], Awaitable[object]], *about: object) -> Operation:
    return Operation(f"store {store}: {name}{brief(about)}", lambda world: call(world.stores[store]))


def _by_key(random: Random, _: list[int], __: int) -> Operation:
    store, key, who, ttl = random.randrange(2), _usual(KEYS, random), _who(random), random.choice(TTLS)
    session = text(random, who)
    caller = random.choice([None, None, who, RUNNER])
    match random.randrange(8):
        case 0 | 7:
            return _of("create", store, lambda on: on.create_session(who, session, key=key, ttl=ttl), key, who, ttl)
        case 1 | 2:
            return _of("update", store, lambda on: on.update_session(key, session, ctx=caller), key, session, caller)
        case 3:

            async def right_version(on: SessionStore) -> str | None:
                wait = await on.get_versioned(key)
                return await on.update_session(key, session, if_version=wait.version) if wait else None

            return _of("update of the right version", store, right_version, key, session)
        case 4:
            return _of("remove", store, lambda on: on.remove_session(key, ctx=caller), key, caller)
        case 5:
            return _of("touch", store, lambda on: on.touch(key, ttl, ctx=caller), key, ttl, caller)
        case _:
            return _of("get", store, lambda on: on.get_versioned(key, ctx=caller), key, caller)


def _wait(random: Random, _: list[int], __: int) -> Operation:
    store, key, who, scope = random.randrange(2), _usual(KEYS, random), _who(random), _usual(SCOPES, random)
    user, ttl, falls_back = str(who.user_id), random.choice(TTLS), random.random() < 0.3
    session, caller = text(random, who), random.choice([who, RUNNER if who.team_id else who])
    match random.randrange(9):
        case 0 | 1 | 2:
            on_timeout: Any = "resume" if random.random() < 0.25 and ttl is not None else "forget"
            on_conflict: Any = "fail" if random.random() < 0.2 else "replace"
            return _of(
                "register",
                store,
                lambda on: on.register_wait(
                    who, user, scope, key, session, ttl, on_conflict=on_conflict, on_timeout=on_timeout
                ),
                *(key, who, scope, ttl, on_timeout, on_conflict),
            )
        case 3 | 4:
            find: Callable[[SessionStore], Awaitable[object]] = lambda on: on.find_wait(
                caller, user, scope, fallback=falls_back
            )
            return _of("find", store, find, who, scope, falls_back)
        case 5:
            return _of("find the key", store, lambda on: on.find_wait_by_scope(who, user, scope), who, scope)
        case 6:
            return _of("list", store, lambda on: on.list_waits_for_user(who, user), who)
        case 7:
            return _of("clear", store, lambda on: on.clear_wait(who, user, scope), who, scope)
        case _:
            return _of("find by user", store, lambda on: on.find_by_user(who, user), who)


def _claim(random: Random, _: list[int], number: int) -> Operation:
    store, who, scope, lease = random.randrange(2), _who(random), _usual(SCOPES, random), random.choice(LEASES[1:])
    falls_back = random.random() < 0.3

    async def claim(world: World) -> object:
        user = str(who.user_id)
        return world.keep(number, await world.stores[store].claim_wait(who, user, scope, lease=lease, fallback=falls_back))

    return Operation(f"store {store}: claim{brief((who, scope, lease, falls_back))}", claim)


def _deliver(random: Random, _: list[int], number: int) -> Operation:
    store, who, scope, lease = random.randrange(2), _who(random), _usual(SCOPES, random), random.choice(LEASES)
    options: dict[str, Any] = {"lease": lease, "fallback": random.random() < 0.3, "claim": random.random() < 0.85}
    if random.random() < 0.6:
        options["delivery_id"] = random.choice(["d1", "d2", "d3", "\u00fc", f"d{number}"])
    if random.random() < 0.2:
        options["sender"] = "s\u00fc"
    if random.random() < 0.3:
        options["keep_for"] = random.choice([5, 3_000, 100_000])
    if random.random() < 0.3:
        ttl = random.choice(TTLS)
        resumes: Any = "resume" if random.random() < 0.3 and ttl is not None else "forget"
        options["start"] = Start(text(random, who), _usual(KEYS, random), ttl, resumes)
    body = random.choice(BODIES)

    async def deliver(world: World) -> object:
        user = str(who.user_id)
        return world.keep(number, await world.stores[store].deliver(who, user, scope, body, **options))

    return Operation(f"store {store}: deliver{brief((who, scope, str(body)[:20], options))}", deliver)


def _ready(random: Random, _: list[int], number: int) -> Operation:
    store, lease, who = random.randrange(2), random.choice(LEASES), _who(random)
    kind = random.randrange(4)
    if kind == 0:
        scope = random.choice(SCOPES)
        return _of("inbox", store, lambda on: on.inbox(who, str(who.user_id), scope), who, scope)

    async def claim_ready(world: World) -> object:
        return world.keep(number, await world.stores[store].claim_ready(lease=lease))

    return Operation(f"store {store}: claim_ready({lease})", claim_ready)


def _of_claim(random: Random, claimed: list[int], _: int) -> Operation:
    which = claimed[-1] if random.random() < 0.7 else random.choice(claimed)
    seed, kind = random.randrange(2**32), random.randrange(10)
    scope, ttl, lease = _usual(SCOPES, random), random.choice(TTLS), random.choice(LEASES)
    delay = random.choice([0, 3, 400, 100_000])

    def parks(claim: Claim) -> Awaitable[object]:
        chance = Random(seed)
        options: dict[str, Any] = {}
        if chance.random() < 0.3:
            options["on_conflict"] = "fail"
        if ttl is not None and chance.random() < 0.3:
            options["on_timeout"] = chance.choice(["forget", "resume"])
        where = claim.scope if chance.random() < 0.6 else scope
        return claim.park(where, text(chance, claim.data.tenant_ctx), ttl, **options)

    calls: dict[int, tuple[str, Callable[[Claim], Awaitable[object]]]] = {
        3: ("complete", lambda claim: claim.complete()),
        4: ("complete", lambda claim: claim.complete()),
        5: ("stay", lambda claim: claim.stay()),
        6: ("stay with data", lambda claim: claim.stay(text(Random(seed), claim.data.tenant_ctx))),
        7: (f"release({delay})", lambda claim: claim.release(delay)),
        8: (f"renew({lease})", lambda claim: claim.renew(lease)),
        9: ("take", lambda claim: claim.take()),
    }
    name, call = calls.get(kind, (f"park{brief((scope, ttl))}", parks))

    async def act(world: World) -> object:
        claim = world.claims[which]
        return [await call(claim), list(claim.leftovers)]

    return Operation(f"claim {which}: {name}", act)
