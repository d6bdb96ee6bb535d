"""The commands of our store sent through redis.asyncio's pool, prepared, and what comes back decoded as the store does.

What each call sends is noted on the wire (see `_wire`). A write encodes the session anew and computes its version, as the
store must.
"""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from benchmarks.harness.measuring import Contestant
from greentic_session import RedisSessionStore, SessionData
from greentic_session.models import version_of

from .ours import open_store, register
from .sides import Call, Parked, make_parked
from .wire import Command, Wire

__all__ = ["BARE_GET", "GET_DECODE", "SAME_COMMANDS", "TWO_GETS", "Pool", "Replay", "pooled_client"]

SAME_COMMANDS = "redis.asyncio's pool, same commands + decode"
TWO_GETS = "redis.asyncio's pool, two GETs + decode"
GET_DECODE = "redis.asyncio's pool, GET + decode"
BARE_GET = "redis.asyncio, bare GET + decode"
NAMESPACE = "pool"


def pooled_client(port: int, connections: int) -> Redis:
    """Return a client with a connection for every task, and without retries."""
    return Redis(
        connection_pool=ConnectionPool(host="127.0.0.1", port=port, max_connections=connections, retry=Retry(NoBackoff(), 0))
    )


class Replay:
    """Sends what a store sent, through a client's pool; in one piece what was a transaction.

    Args:
        client: The client.
        commands: What to send.
        encoded: The session's text as sent, if it is to be encoded anew at every call.
    """

    def __init__(self, client: Redis, commands: list[Command], encoded: bytes | None = None) -> None:
        self._client = client
        self._transaction = [command[0].upper() for command in (commands[0], commands[-1])] == [b"MULTI", b"EXEC"]
        self._commands: list[list[Any]] = [
            [command[0].decode(), *command[1:]] for command in (commands[1:-1] if self._transaction else commands)
        ]
        version = b"" if encoded is None else version_of(encoded).encode()
        places = [(command, at) for command in self._commands for at in range(len(command))]
        self._texts = [(command, at) for command, at in places if encoded and command[at] == encoded]
        self._versions = [(command, at) for command, at in places if encoded and command[at] == version]

    def send(self, data: SessionData | None = None) -> Awaitable[Any]:
        """Send it, with this session's text; return the answer, or the answers of several commands."""
        if data is not None and self._texts:
            text = data.to_json()
            for command, at in self._texts:
                command[at] = text
            version = version_of(text)
            for command, at in self._versions:
                command[at] = version
        if len(self._commands) == 1:
            # redis-py leaves this method without types.
            answer: Awaitable[Any] = self._client.execute_command(*self._commands[0])  # type: ignore[no-untyped-call]
            return answer
        pipeline = self._client.pipeline(transaction=self._transaction)
        for command in self._commands:
            pipeline.execute_command(*command)
        return pipeline.execute()


def _whole(answer: Any) -> bytes:
    assert isinstance(answer, bytes)
    return answer


def text_in(answer: Any) -> Callable[[Any], bytes]:
    """Return what takes the session's text out of answers like this one."""
    if isinstance(answer, bytes) and answer.startswith(b'{"tenant_ctx"'):
        return _whole
    for at, part in enumerate(answer if isinstance(answer, list) else ()):
        try:
            inner = text_in(part)
        except LookupError:
            continue
        return lambda answer: inner(answer[at])
    raise LookupError("no session's text in this answer")


class Pool:
    """`redis.asyncio.Redis`, with what our store sends."""

    def __init__(self, client: Redis, port: int) -> None:
        self._client = client
        self._port = port
        self._snapshot = ""
        self._sent: dict[str, list[Replay]] = {}
        self._keys: list[tuple[str, str]] = []
        self._found: Callable[[Any], bytes] = _whole
        self._claimed: Callable[[Any], bytes] = _whole

    async def fill(self, users: int, snapshot: str) -> None:
        self._snapshot = snapshot
        self._sent = {name: [] for name in ("register", "find", "update", "claim", "complete")}
        self._keys = []
        async with AsyncExitStack() as stack:
            wire = await stack.enter_async_context(Wire(self._port))
            store = await stack.enter_async_context(open_store(f"redis://127.0.0.1:{wire.port}", NAMESPACE))
            await self._note(wire, store, self._parked(0))  # scripts and connection are there from now on
            for replays in self._sent.values():
                replays.clear()
            self._keys.clear()
            for user in range(users):
                await self._note(wire, store, self._parked(user))
        for user in range(users):
            await self._sent["register"][user].send(self._parked(user).data)
        last = self._parked(users - 1).data
        self._found = text_in(answer := await self._sent["find"][-1].send())
        assert SessionData.from_json(self._found(answer)) == last
        self._claimed = text_in(await self._sent["claim"][-1].send())
        await self._sent["complete"][-1].send()
        await self._sent["register"][-1].send(last)

    def contestants(self, operation: str, tasks: int) -> list[Contestant]:
        return [call.contestant(tasks) for call in self._calls(operation, tasks)]

    def _parked(self, user: int) -> Parked:
        return make_parked(user, self._snapshot)

    async def _note(self, wire: Wire, store: RedisSessionStore, wait: Parked) -> None:
        encoded = wait.data.to_json()

        async def note(name: str, call: Awaitable[Any]) -> None:
            self._sent[name].append(Replay(self._client, await wire.commands_of(call), encoded))

        await register(store, wait)  # what is noted of a registering is one over what is there
        await note("register", register(store, wait))
        await note("find", store.find_wait(*wait[:3]))
        await note("update", store.update_session(wait.key, wait.data))
        claims: list[Any] = []

        async def claim() -> None:
            claims.append(await store.claim_wait(*wait[:3]))

        await note("claim", claim())
        await note("complete", claims[0].complete())
        ctx = wait.ctx
        owner = f"{ctx.env}:{ctx.tenant_id}:{ctx.effective_team or '-'}:{wait.user}"
        self._keys.append((f"{NAMESPACE}:waits:scope:{owner}:{wait.scope.scope_hash()}", f"{NAMESPACE}:session:{wait.key}"))

    def _calls(self, operation: str, tasks: int) -> list[Call]:
        sent, parked, session_of = self._sent, self._parked, lambda user: self._keys[user][1]
        match operation:
            case "find_wait":
                calls = [
                    Call(name=SAME_COMMANDS, pick=sent["find"].__getitem__, make=self._find),
                    Call(name=TWO_GETS, pick=self._keys.__getitem__, make=self._get_twice),
                ]
                return calls if tasks > 1 else [*calls, Call(name=BARE_GET, pick=session_of, make=self._get)]
            case "get_session":
                return [Call(name=GET_DECODE, pick=session_of, make=self._get)]
            case "register_wait":
                pick = lambda user: (sent["register"][user], parked(user).data)
                return [Call(name=SAME_COMMANDS, pick=pick, make=self._write)]
            case "update_session":
                pick = lambda user: (sent["update"][user], parked(user).data)
                return [Call(name=SAME_COMMANDS, pick=pick, make=self._write)]
            case "claim_wait + complete":
                steps = (sent["claim"], sent["complete"], sent["register"])
                claim = lambda user: (*(step[user] for step in steps), parked(user).data)
                return [Call(name=SAME_COMMANDS, pick=claim, make=self._claim, prepare=self._park)]
            case _:
                raise AssertionError(operation)

    async def _find(self, find: Replay) -> SessionData:
        return SessionData.from_json(self._found(await find.send()))

    async def _get_twice(self, keys: tuple[str, str]) -> SessionData:
        key = await self._client.get(keys[0])
        assert isinstance(key, bytes)
        return await self._get(f"{NAMESPACE}:session:{key.decode()}")

    async def _get(self, key: str) -> SessionData:
        text = await self._client.get(key)
        assert isinstance(text, bytes)
        return SessionData.from_json(text)

    async def _write(self, write: tuple[Replay, SessionData]) -> None:
        replay, data = write
        await replay.send(data)

    async def _park(self, calls: tuple[Replay, Replay, Replay, SessionData]) -> None:
        await calls[2].send(calls[3])

    async def _claim(self, calls: tuple[Replay, Replay, Replay, SessionData]) -> None:
        claim, complete, *_ = calls
        SessionData.from_json(self._claimed(await claim.send()))
        await complete.send()
