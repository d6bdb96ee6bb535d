"""Time that passes when the test says so, on a Redis as well."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from time import time as from_epoch
from typing import Any

import anyio
import pytest
import redis
from cluster_servers import Cluster
from namespaces import Namespaces
from timers import Timer

from greentic_session._redis.lua_source import script_text
from greentic_session.testing import Time

__all__ = ["UNIT", "OnACluster", "OnATimer", "OnTheSharedRedis", "each_test_of", "pass_time", "passing", "run_on_trio"]

_PASS_TIME = script_text("greentic_session.backends.redis.lua", "pass_time")
UNIT = 10_000.0
"""Seconds: against lifetimes of hours, the time that an example takes is nothing."""


def pass_time(raw: redis.Redis | redis.RedisCluster, seconds: float, prefix: str = "") -> None:
    """Let time pass for the keys with a prefix, which holds no special character of a pattern."""
    nodes = [raw]
    if isinstance(raw, redis.RedisCluster):
        primaries = raw.get_primaries()  # type: ignore[no-untyped-call]  # redis-py says nothing of it
        nodes = [raw.get_redis_connection(node) for node in primaries]
    for node in nodes:
        node.eval(_PASS_TIME, 0, prefix, int(seconds * 1000))  # a key would be of one node only


def passing(clients: Iterable[redis.Redis], prefix: str = "") -> Callable[[float], None]:
    """Return a function that lets so many seconds pass on every one of these servers."""
    nodes = list(clients)

    def advance(seconds: float) -> None:
        for node in nodes:
            pass_time(node, seconds, prefix)

    return advance


class OnATimer:
    """Base of a contract suite whose stores take their time from the fixture `timer`.

    A suite whose stores need no other fixture names in `make` what makes one from options and a
    timer; others override `make_store`.
    """

    make: Callable[..., Any]

    @pytest.fixture
    def timer(self) -> Timer:
        """A timer that only the test moves. It begins now: some stores date replies by it."""
        return Timer(from_epoch())

    @pytest.fixture
    def make_store(self, timer: Timer) -> Callable[..., Any]:
        """Makes stores on that timer."""
        return partial(self.make, timer=timer)

    @pytest.fixture
    def time(self, timer: Timer) -> Time:
        """How the test moves it."""
        return Time.moved(timer.advance)


def run_on_trio(contract: OnATimer, name: str, make: Callable[..., Any]) -> None:
    """Run one test of a contract suite on trio, with stores that `make` makes from a timer."""

    async def run() -> None:
        test = getattr(contract, name)
        timer = Timer(from_epoch())
        make_store = partial(make, timer=timer)
        async with make_store() as store:
            given = {"store": store, "make_store": make_store, "time": Time.moved(timer.advance)}
            await test(**{argument: given[argument] for argument in inspect.signature(test).parameters})

    anyio.run(run, backend="trio")


def each_test_of(contract: type[OnATimer]) -> pytest.MarkDecorator:
    """Return the mark that gives a test the name of each test of a contract suite in turn."""
    return pytest.mark.parametrize("name", sorted(name for name in dir(contract) if name.startswith("test_")))


class OnTheSharedRedis:
    """Base of a contract suite whose stores are in the fixture `namespaces` of the shared Redis.

    A suite whose stores need no other fixture names in `make` what makes one from a URL, a
    namespace and options; others override `make_store`.
    """

    make: Callable[..., Any]

    @pytest.fixture
    def make_store(self, redis_url: str, namespaces: Namespaces) -> Callable[..., Any]:
        """Makes stores in a fresh namespace each."""
        return lambda **options: self.make(redis_url, namespace=namespaces(), **options)

    @pytest.fixture
    def time(self, raw: redis.Redis, namespaces: Namespaces) -> Time:
        """How the test lets time pass for these namespaces."""

        def advance(seconds: float) -> None:
            for namespace in namespaces.made:
                pass_time(raw, seconds, namespace)

        return Time.moved(advance)


class OnACluster:
    """Base of a contract suite whose stores alone use the servers of the fixture `cluster`."""

    @pytest.fixture
    def time(self, cluster: Cluster) -> Iterator[Time]:
        """How the test lets time pass on all of them."""
        with ExitStack() as stack:
            yield Time.moved(passing([stack.enter_context(client) for client in cluster.clients()]))
