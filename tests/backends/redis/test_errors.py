"""One error for one cause, whatever the operation, of both stores."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeAlias

import conversation_operations
import pytest
import redis
import redis_operations
from impostor import Impostor, impostor
from patience import until
from redis_server import Server

from greentic_session import RedisSessionStore, create_session_store, errors
from greentic_session.conversation import Conversation, Message, RedisConversationStore, create_conversation_store
from greentic_session.testing._sessions.samples import ALICE, data

Kind: TypeAlias = type[errors.GreenticError]
Calls: TypeAlias = dict[str, Callable[[], Awaitable[object]]]

READ_ONLY = "You can't write against a read only replica."
ANSWERS: dict[str, Kind] = {
    "NOAUTH Authentication required.": errors.UnauthenticatedError,
    "ERR Protocol error: unauthenticated multibulk length": errors.UnauthenticatedError,
    "ERR Protocol error: unauthenticated bulk length": errors.UnauthenticatedError,
    "WRONGPASS invalid username-password pair or user is disabled.": errors.UnauthenticatedError,
    "NOPERM this user has no permissions to run the 'evalsha' command": errors.PermissionDeniedError,
    "NOPERM this user has no permissions to access one of the keys used as arguments": errors.PermissionDeniedError,
    "ERR The user executing the script can't run this command or subcommand script: 0": errors.PermissionDeniedError,
    "LOADING Redis is loading the dataset in memory": errors.UnavailableError,
    f"READONLY {READ_ONLY}": errors.UnavailableError,
    f"ERR Error running script: @user_script:7: -READONLY {READ_ONLY}": errors.UnavailableError,
    "OOM command not allowed when used memory > 'maxmemory'.": errors.UnavailableError,
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.": errors.UnavailableError,
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.": errors.UnavailableError,
    "MISCONF Redis is configured to save RDB snapshots, but it is unable to persist to disk.": errors.UnavailableError,
    "NOREPLICAS Not enough good replicas to write.": errors.UnavailableError,
    "CLUSTERDOWN The cluster is down": errors.UnavailableError,
    "TRYAGAIN Multiple keys request during rehashing of slot": errors.UnavailableError,
    "MOVED 3999 127.0.0.1:6381": errors.UnavailableError,
    "ASK 3999 127.0.0.1:6381": errors.UnavailableError,
    "CROSSSLOT Keys in request don't hash to the same slot": errors.UnavailableError,
    "UNBLOCKED force unblock from blocking operation, instance state changed": errors.UnavailableError,
    "WRONGTYPE Operation against a key holding the wrong kind of value": errors.InternalError,
    "NOSCRIPT No matching script. Please use EVAL.": errors.InternalError,
    "ERR unknown command": errors.InternalError,
}


async def outcome(call: Callable[[], Awaitable[object]]) -> tuple[type, str]:
    """Return the type of the error that a call ends in, and its message."""
    try:
        await call()
    except Exception as error:  # noqa: BLE001  # each is to be told by its type
        return type(error), str(error)
    return type(None), "no error"


async def outcomes(calls: Calls) -> dict[str, tuple[type, str]]:
    """Make calls at once, and return what becomes of them.

    One after the other would wait to connect again.
    """
    return dict(zip(calls, await asyncio.gather(*(outcome(call) for call in calls.values())), strict=True))


def one_and_the_same(found: dict[str, tuple[type, str]], kind: Kind) -> None:
    assert {name: kind for name, (kind, _) in found.items()} == dict.fromkeys(found, kind)
    assert len({message for _, message in found.values()}) == 1, found


async def calls_of(store: RedisSessionStore, claimed: Callable[[], None] = lambda: None) -> Calls:
    """Return a session store's operations; `claimed` is called before an operation of a claim."""
    calls: Calls = {}
    for operation in redis_operations.OPERATIONS:
        if operation.name.startswith("claim."):
            claimed()
        calls[operation.name] = await operation.ready(store)
    return calls


def calls_of_conversations(store: RedisConversationStore[Message], held: Conversation[Message]) -> Calls:
    return {operation.name: partial(operation.call, store, held) for operation in conversation_operations.OPERATIONS}


def claimable(server: Impostor) -> Callable[[], None]:
    text = data().to_json()
    answer = b"*5\r\n$5\r\nfound\r\n:0\r\n$1\r\nk\r\n$%d\r\n%s\r\n$3\r\ninf\r\n" % (len(text), text)
    return lambda: server.answers.append(answer)


@asynccontextmanager
async def cut_in(seconds: float = 5.0) -> AsyncIterator[tuple[Impostor, Calls]]:
    """Return a server that answers what a test wants, and all operations of both stores."""
    async with (
        impostor() as (server, url),
        RedisSessionStore.from_url(url, timeout=seconds) as store,
        RedisConversationStore.from_url(url, timeout=seconds) as conversations,
    ):
        calls = await calls_of(store, claimable(server))
        held = Conversation[Message].new("c")
        calls |= {f"conversation {name}": call for name, call in calls_of_conversations(conversations, held).items()}
        yield server, calls


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.asyncio
async def test_an_answer_means_the_same_to_every_operation(answer: str) -> None:
    async with cut_in() as (server, calls):
        server.otherwise = f"-{answer}\r\n".encode()
        one_and_the_same(await outcomes(calls), ANSWERS[answer])


@pytest.mark.asyncio
async def test_a_server_that_is_none_and_a_closed_store_mean_the_same_to_every_operation() -> None:
    async with cut_in() as (server, calls):
        server.otherwise = b"?\r\n"
        one_and_the_same(await outcomes(calls), errors.UnavailableError)
    one_and_the_same(await outcomes(calls), errors.UnavailableError)


@pytest.mark.asyncio
async def test_silence_means_the_same_to_every_operation() -> None:
    async with cut_in(seconds=0.3) as (server, calls):
        server.otherwise = b""
        found = await outcomes(calls)
        assert {found.pop(name)[0] for name in ("health", "conversation health")} == {errors.UnavailableError}
        one_and_the_same(found, errors.OperationTimeoutError)


@pytest.mark.asyncio
async def test_a_missing_password_means_the_same_to_every_operation(server: Server) -> None:
    namespace = f"test-{uuid.uuid4().hex}"
    options: Any = {"namespace": namespace}
    async with (
        RedisSessionStore.from_url(server.url, **options) as store,
        RedisConversationStore.from_url(server.url, **options) as conversations,
    ):
        held = await conversation_operations.prepare(conversations)
        calls: Calls = {}
        for operation in redis_operations.OPERATIONS:
            await store.purge(ALICE)  # and with it a claim
            await redis_operations.prepare(store)
            calls[operation.name] = await operation.ready(store)
        calls |= {f"conversation {name}": call for name, call in calls_of_conversations(conversations, held).items()}
        with server.client() as raw:
            raw.config_set("requirepass", "hunter2")
            raw.client_kill_filter(_type="normal", skipme=False)
        clients: list[Any] = [store.backend, conversations.backend]
        await until(lambda: not any(each._client._connections.current for each in clients), "the connections stay")
        try:
            one_and_the_same(await outcomes(calls), errors.UnauthenticatedError)
        finally:
            with server.client(password="hunter2") as raw:
                raw.config_set("requirepass", "")


# -- messages that lead to the mend


async def message_of(url: str, **options: Any) -> errors.GreenticError:
    async with RedisSessionStore.from_url(url, **options) as store:
        with pytest.raises(errors.GreenticError) as caught:
            await store.get_session("k")
        return caught.value


@pytest.mark.parametrize("host", ["no-such-host.invalid", f"{'a' * 64}.invalid"])
@pytest.mark.asyncio
async def test_a_host_that_does_not_resolve_reads_like_none_that_refuses(host: str) -> None:
    error = await message_of(f"redis://{host}:6379")
    assert (error.code, error.message) == (
        errors.ErrorCode.UNAVAILABLE,
        f"the name of the Redis host cannot be resolved ({host}:6379)",
    )


@pytest.mark.asyncio
async def test_sentinels_whose_hosts_do_not_resolve() -> None:
    error = await message_of("redis+sentinel://no-such-host.invalid,nor-this.invalid/primary", timeout=20)
    assert isinstance(error, errors.UnavailableError)
    assert error.message == "the name of the Redis host cannot be resolved (sentinel service 'primary')"


@pytest.mark.asyncio
async def test_a_server_that_takes_no_more_clients() -> None:
    async with impostor() as (one, url):
        one.admission = b"-ERR max number of clients reached\r\n"
        error = await message_of(url)
    assert isinstance(error, errors.UnavailableError)
    assert error.message.startswith("Redis has as many connections as its setting maxclients allows (")


@pytest.mark.asyncio
async def test_tls_to_a_server_without_it() -> None:
    async with impostor() as (_, url):
        error = await message_of(url.replace("redis://", "rediss://"), timeout=0.3)
    assert isinstance(error, errors.OperationTimeoutError)
    assert "where it speaks none, the URL begins with redis://" in error.message


@pytest.mark.asyncio
async def test_a_socket_that_is_not_there() -> None:
    error = await message_of("unix:///no/such.sock")
    assert isinstance(error, errors.UnavailableError)
    assert error.message == "the connection to Redis failed: a file is missing, its socket or a certificate (/no/such.sock)"


@pytest.mark.asyncio
async def test_a_server_that_is_no_node_of_a_cluster(server: Server) -> None:
    error = await message_of(server.url.replace("redis://", "redis+cluster://"))
    assert isinstance(error, errors.UnavailableError)
    assert "is no node of a cluster: connect with redis://" in error.message


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (b"-NOAUTH Authentication required.", errors.UnauthenticatedError),
        (b"-NOPERM this user has no permissions to run the 'cluster|slots' command", errors.PermissionDeniedError),
    ],
    ids=["no password", "no permission"],
)
@pytest.mark.asyncio
async def test_a_cluster_that_refuses_its_map_says_why(refusal: bytes, kind: Kind) -> None:
    async with impostor() as (server, url):
        server.otherwise = refusal + b"\r\n"
        async with RedisSessionStore.from_url(url.replace("redis://", "redis+cluster://")) as store:
            reads = [store.get_session(f"k{number}") for number in range(3)]  # they share one look at the map
            failures = await asyncio.gather(*reads, store.health(), return_exceptions=True)
    assert {type(failure) for failure in failures} == {kind}


MAKERS: list[Callable[..., object]] = [
    RedisSessionStore.from_url,
    RedisConversationStore.from_url,
    create_session_store,
    create_conversation_store,
]


@pytest.mark.parametrize("make", MAKERS)
def test_a_wrong_scheme_is_answered_with_the_right_ones(make: Callable[..., object]) -> None:
    with pytest.raises(errors.InvalidInputError, match=r"must begin with one of: .*redis://, rediss://, unix://") as caught:
        make("http://:hunter2@localhost")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["redis", "rediss", "redis+sentinel", "redis+cluster"])
@pytest.mark.parametrize("make", MAKERS)
def test_an_unknown_option_is_named_as_one_of_ours(make: Callable[..., object], scheme: str) -> None:
    with pytest.raises(TypeError, match=r"^no_such is no option of the store") as caught:
        make(f"{scheme}://localhost/service" if "sentinel" in scheme else f"{scheme}://localhost", no_such=7)
    assert "AbstractConnection" not in str(caught.value)


@pytest.mark.parametrize("kind", [redis.Redis, redis.RedisCluster])
@pytest.mark.parametrize("store", [RedisSessionStore, RedisConversationStore])
def test_a_synchronous_client_is_called_that(store: Callable[..., object], kind: Any) -> None:
    client = kind.__new__(kind)  # a cluster's would connect
    with pytest.raises(TypeError, match=rf"must be a redis\.asyncio\.Redis.*, not the synchronous redis\.{kind.__name__}$"):
        store(client)
