"""From a configuration to a store: the one asked for or an error, and never a password in sight."""

import sys
from typing import Any

import pytest

import greentic_session
from greentic_session import (
    InMemory,
    InMemorySessionStore,
    InvalidInputError,
    RedisUrl,
    RedisUrlWithNamespace,
    SessionBackendConfig,
    SessionCursor,
    SessionData,
    TenantCtx,
    UnavailableError,
    create_session_store,
)

SECRET = "s3cr3t-w0rd"
CTX = TenantCtx.new("dev", "acme")
DATA = SessionData(tenant_ctx=CTX, flow_id="f", cursor=SessionCursor("n"), context_json="{}")


@pytest.mark.asyncio
@pytest.mark.parametrize("config", [InMemory(), "memory://"])
async def test_memory(config: SessionBackendConfig | str) -> None:
    async with create_session_store(config) as store, create_session_store(config) as other:
        assert type(store) is InMemorySessionStore
        key = await store.create_session(CTX, DATA)
        assert await store.get_session(key) == DATA
        assert await other.get_session(key) is None


@pytest.mark.asyncio
async def test_options_are_handed_on() -> None:
    now = 1000.0
    async with create_session_store("memory://", default_session_ttl=5, max_snapshot_bytes=500, timer=lambda: now) as store:
        key = await store.create_session(CTX, DATA)
        now += 4.999
        assert await store.get_session(key) == DATA
        now += 0.001
        assert await store.get_session(key) is None
        with pytest.raises(InvalidInputError, match="the limit is 500"):
            await store.create_session(CTX, DATA.new_context("x" * 500))


@pytest.mark.parametrize(
    "options", [{"default_wait_ttl": -1}, {"default_session_ttl": 0}, {"max_snapshot_bytes": 0}, {"max_waits_per_user": 0}]
)
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match=f"^{next(iter(options))} must be "):
        create_session_store(InMemory(), **options)


def test_an_option_that_the_store_does_not_have() -> None:
    with pytest.raises(TypeError, match="no_such_option"):
        create_session_store(InMemory(), no_such_option=1)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "memory",
        "memory:",
        "memory://x",
        f"http://user:{SECRET}@host",
        f"postgres://user:{SECRET}@host/0",
        f"user:{SECRET}@host:6379",
        SECRET,
        f"://{SECRET}",
        f"redis://:{SECRET}@[host",
        f"redis://:{SECRET}\u2100@host",
        f"{SECRET}://host",
        f"re\ndis//{SECRET}",
    ],
)
@pytest.mark.parametrize("wrap", [str, RedisUrl, lambda url: RedisUrlWithNamespace(url, "ns")])
def test_no_url_of_ours(url: str, wrap: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"^the store's URL ") as caught:
        create_session_store(wrap(url))
    said = [str(each) for each in causes(caught.value)]
    assert not [text for text in said if SECRET in text]


def causes(error: BaseException | None) -> list[BaseException]:
    """Return an error with all that a traceback would print before it."""
    if error is None:
        return []
    return [error, *causes(error.__cause__ or (None if error.__suppress_context__ else error.__context__))]


def test_memory_is_no_redis_url() -> None:
    with pytest.raises(InvalidInputError, match=r"^the store's URL "):
        create_session_store(RedisUrl("memory://"))


@pytest.mark.parametrize("wrong", [None, 5, b"memory://", {"url": "memory://"}, InMemory, RedisUrl])
def test_no_configuration(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"^config must be a SessionBackendConfig or a URL, not "):
        create_session_store(wrong)


@pytest.mark.parametrize("wrong", [None, 5, b"redis://host"])
def test_no_url(wrong: Any) -> None:
    for config in (RedisUrl(wrong), RedisUrlWithNamespace(wrong, "ns")):
        with pytest.raises(TypeError, match=f"^url must be a str, not {type(wrong).__name__}$"):
            create_session_store(config)


def test_a_configuration_hides_its_url_and_is_a_value() -> None:
    url = f"redis://:{SECRET}@host"
    assert repr(RedisUrl(url)) == str(RedisUrl(url)) == "RedisUrl(url=<hidden>)"
    assert repr(RedisUrlWithNamespace(url, "ns")) == "RedisUrlWithNamespace(url=<hidden>, namespace='ns')"
    for config in (RedisUrl(url), RedisUrlWithNamespace(url, "ns")):
        rich: Any = config
        assert SECRET not in str(rich.__rich_repr__())
    assert InMemory() == InMemory()
    assert RedisUrl(url) == RedisUrl(url) != RedisUrl("redis://other")
    assert len({RedisUrl(url), RedisUrl(url), RedisUrlWithNamespace(url, "a"), RedisUrlWithNamespace(url, "b")}) == 3
    frozen: Any = RedisUrl(url)
    with pytest.raises(AttributeError):
        frozen.url = "redis://other"


def redis_configs() -> list[SessionBackendConfig | str]:
    urls = [f"{scheme}://:{SECRET}@host/0" for scheme in ("redis", "rediss", "unix", "REDIS")]
    return [*urls, *map(RedisUrl, urls), *(RedisUrlWithNamespace(url, "ns") for url in urls)]


@pytest.mark.parametrize("config", redis_configs())
def test_without_redis_the_extra_is_named(config: SessionBackendConfig | str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("redis", "redis.asyncio"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "greentic_session.backends.redis", raising=False)
    with pytest.raises(UnavailableError, match=r"pip install 'greentic-session\[redis\]'$") as caught:
        create_session_store(config)
    assert SECRET not in "".join(str(each) for each in causes(caught.value))


@pytest.mark.parametrize("config", redis_configs())
def test_with_redis_installed_it_serves(config: SessionBackendConfig | str) -> None:
    assert type(create_session_store(config, default_wait_ttl=60)) is greentic_session.RedisSessionStore


def test_a_namespace_may_be_an_option_of_a_redis_url() -> None:
    for config in ("redis://host", RedisUrl("redis://host")):
        assert type(create_session_store(config, namespace="ns")) is greentic_session.RedisSessionStore


@pytest.mark.parametrize("url", ["redis://host/notadb?nonsense=1", f"redis://:{SECRET}@host/?wrong_option=1", "unix://"])
def test_a_redis_url_that_cannot_be_used(url: str) -> None:
    with pytest.raises(InvalidInputError, match=r"^the Redis URL ") as caught:
        create_session_store(url)
    assert SECRET not in "".join(str(each) for each in causes(caught.value))


def test_every_public_name_is_there() -> None:
    assert sorted(greentic_session.__all__) == sorted(set(greentic_session.__all__))
    assert [name for name in greentic_session.__all__ if not hasattr(greentic_session, name)] == []
