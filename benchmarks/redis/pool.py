"""Side of redis.asyncio: its pool sends the commands of our store, and decodes the same session."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

from redis.asyncio import Redis

from benchmarks.harness.measuring import Contestant
from benchmarks.harness.population import PreparedWait, prepare_wait
from benchmarks.harness.store import open_store, register
from greentic_session import RedisSessionStore, SessionData

from .replay import Replay, as_text, text_getter
from .sides import Call
from .wire import Wire

__all__ = ["BARE_GET", "GET_DECODE", "SAME_COMMANDS", "TWO_GETS", "Pool"]

SAME_COMMANDS = "redis.asyncio's pool, same commands + decode"
TWO_GETS = "redis.asyncio's pool, two GETs + decode"
GET_DECODE = "redis.asyncio's pool, GET + decode"
BARE_GET = "redis.asyncio, bare GET + decode"
_NAMESPACE = "pool"
_RECORDED = ("register", "find", "update", "claim", "complete")


class Pool:
    """`redis.asyncio.Redis`, with commands that are recorded for each user beforehand."""

    def __init__(self, client: Redis, port: int) -> None:
        self._client = client
        self._port = port
        self._snapshot = ""
        self._replays: dict[str, list[Replay]] = {}
        self._keys: list[tuple[str, str]] = []
        self._found_text: Callable[[Any], bytes] = as_text
        self._claimed_text: Callable[[Any], bytes] = as_text

    async def fill(self, users: int, snapshot: str) -> None:
        self._snapshot = snapshot
        self._replays = {name: [] for name in _RECORDED}
        self._keys = []
        async with AsyncExitStack() as stack:
            wire = await stack.enter_async_context(Wire(self._port))
            store = await stack.enter_async_context(open_store(f"redis://127.0.0.1:{wire.port}", _NAMESPACE))
            await self._record(wire, store, self._wait(0))  # loads scripts and connects: not to be replayed
            for replays in self._replays.values():
                replays.clear()
            self._keys.clear()
            for user in range(users):
                await self._record(wire, store, self._wait(user))
        for user in range(users):
            await self._replays["register"][user].send(self._wait(user).data)
        last = self._wait(users - 1).data
        self._found_text = text_getter(answer := await self._replays["find"][-1].send())
        assert SessionData.from_json(self._found_text(answer)) == last
        self._claimed_text = text_getter(await self._replays["claim"][-1].send())
        await self._replays["complete"][-1].send()
        await self._replays["register"][-1].send(last)

    def contestants(self, operation: str, tasks: int) -> list[Contestant]:
        return [call.contestant(tasks) for call in self._calls(operation, tasks)]

    def _wait(self, user: int) -> PreparedWait:
        return prepare_wait(user, self._snapshot)

    async def _record(self, wire: Wire, store: RedisSessionStore, wait: PreparedWait) -> None:
        encoded = wait.data.to_json()

        async def record(name: str, call: Awaitable[Any]) -> None:
            self._replays[name].append(Replay(self._client, await wire.commands_of(call), encoded, token=name == "claim"))

        await register(store, wait)  # so that the recorded one replaces a wait, as those of the run do
        await record("register", register(store, wait))
        await record("find", store.find_wait(*wait[:3]))
        await record("update", store.update_session(wait.key, wait.data))
        claims: list[Any] = []

        async def claim() -> None:
            claims.append(await store.claim_wait(*wait[:3]))

        await record("claim", claim())
        await record("complete", claims[0].complete())
        ctx = wait.ctx
        owner = f"{ctx.env}:{ctx.tenant_id}:{ctx.effective_team or '-'}:{wait.user}"
        self._keys.append(
            (f"{_NAMESPACE}:waits:scope:{owner}:{wait.scope.scope_hash()}", f"{_NAMESPACE}:session:{wait.key}")
        )

    def _calls(self, operation: str, tasks: int) -> list[Call]:
        replays, session_key = self._replays, lambda user: self._keys[user][1]
        match operation:
            case "find_wait":
                calls = [
                    Call(name=SAME_COMMANDS, pick=replays["find"].__getitem__, make=self._find),
                    Call(name=TWO_GETS, pick=self._keys.__getitem__, make=self._get_twice),
                ]
                return calls if tasks > 1 else [*calls, Call(name=BARE_GET, pick=session_key, make=self._get)]
            case "get_session":
                return [Call(name=GET_DECODE, pick=session_key, make=self._get)]
            case "register_wait" | "update_session":
                of = replays[operation.partition("_")[0]]
                return [Call(name=SAME_COMMANDS, pick=lambda user: (of[user], self._wait(user).data), make=self._write)]
            case "claim_wait + park":
                return []  # a claim is parked by its token, which a recording does not know
            case "claim_wait + complete":
                steps = [replays[name] for name in ("claim", "complete", "register")]
                pick = lambda user: (*(step[user] for step in steps), self._wait(user).data)
                return [Call(name=SAME_COMMANDS, pick=pick, make=self._claim, prepare=self._register)]
            case _:
                raise AssertionError(operation)

    async def _find(self, find: Replay) -> SessionData:
        return SessionData.from_json(self._found_text(await find.send()))

    async def _get_twice(self, keys: tuple[str, str]) -> SessionData:
        key = await self._client.get(keys[0])
        assert isinstance(key, bytes)
        return await self._get(f"{_NAMESPACE}:session:{key.decode()}")

    async def _get(self, key: str) -> SessionData:
        text = await self._client.get(key)
        assert isinstance(text, bytes)
        return SessionData.from_json(text)

    async def _write(self, write: tuple[Replay, SessionData]) -> None:
        replay, data = write
        await replay.send(data)

    async def _register(self, args: tuple[Replay, Replay, Replay, SessionData]) -> None:
        await args[2].send(args[3])

    async def _claim(self, args: tuple[Replay, Replay, Replay, SessionData]) -> None:
        claim, complete, *_ = args
        SessionData.from_json(self._claimed_text(await claim.send()))
        await complete.send()
