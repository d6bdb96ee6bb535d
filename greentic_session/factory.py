"""From a configuration or a URL to a store. The only module that names all the backends."""

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from ._base.hiding import Secret
from ._redis.extra import needing_redis
from ._redis.scheme import check_scheme, scheme_of
from ._sqlite.extra import needing_sqlite
from ._sqlite.url import SQLITE_SCHEME, path_of
from .backends.memory import InMemorySessionStore
from .store import SessionStore

if TYPE_CHECKING:
    from .backends.redis import RedisSessionStore
    from .backends.sqlite import SQLiteSessionStore

__all__ = [
    "InMemory",
    "RedisUrl",
    "RedisUrlWithNamespace",
    "SessionBackendConfig",
    "create_session_store",
    "redis_store_class",
    "sqlite_store_class",
]


class InMemory(msgspec.Struct, frozen=True):
    """Keep sessions in this process's memory."""


class RedisUrl(Secret, msgspec.Struct, frozen=True):
    """Keep sessions in Redis, in the default namespace.

    It may hold a password, so it cannot be pickled, and copying it gives the same object; `msgspec`
    writes all of it.

    Attributes:
        url: ``redis://``, ``rediss://``, ``unix://``, ``redis+sentinel://``,
            ``rediss+sentinel://``, ``redis+cluster://`` or ``rediss+cluster://``; it may hold a
            password, so it is not part of the repr.

    >>> RedisUrl("redis://:secret@localhost")
    RedisUrl(url=<hidden>)
    """

    url: str

    def __repr__(self) -> str:
        return "RedisUrl(url=<hidden>)"


class RedisUrlWithNamespace(Secret, msgspec.Struct, frozen=True):
    """Keep sessions in Redis, in a namespace of your own. Not to be pickled, like `RedisUrl`.

    Attributes:
        url: As for `RedisUrl`.
        namespace: The front of every key.
    """

    url: str
    namespace: str

    def __repr__(self) -> str:
        return f"RedisUrlWithNamespace(url=<hidden>, namespace={getattr(self, 'namespace', None)!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("hidden", repr(self))]


_OTHER_SCHEMES: Final = ("memory", SQLITE_SCHEME)

SessionBackendConfig: TypeAlias = InMemory | RedisUrl | RedisUrlWithNamespace
"""Where sessions are to be kept."""


def create_session_store(config: SessionBackendConfig | str, **options: Any) -> SessionStore:
    """Return the store that `config` asks for. No I/O, and never another one than asked for.

    Args:
        config: `InMemory()`, `RedisUrl(url)`, `RedisUrlWithNamespace(url, namespace)`, or a URL:
            ``memory://``, ``sqlite:///relative.db``, ``sqlite:////absolute/path.db``, ``redis://``,
            ``rediss://``, ``unix://``, ``redis+sentinel://``, ``rediss+sentinel://``,
            ``redis+cluster://``, ``rediss+cluster://``.
        options: For the store's constructor: `default_wait_ttl`, `default_session_ttl`,
            `max_snapshot_bytes`, `max_waits_per_user`, ...

    Raises:
        InvalidInputError: The URL names no backend, or an option is out of range.
        TypeError: `config` is none of these, or the store has no such option.
        UnavailableError: What the backend needs is not installed.

    >>> import asyncio
    >>> from greentic_session import ReplyScope, TenantCtx
    >>> async def ask():
    ...     ctx, scope = TenantCtx.new("dev", "acme"), ReplyScope("telegram:chat-1")
    ...     async with create_session_store("memory://", default_wait_ttl=7 * 86_400) as store:
    ...         return await store.find_wait(ctx, "u1", scope)
    >>> asyncio.run(ask()) is None
    True
    """
    if isinstance(config, str):
        if scheme_of(config) == SQLITE_SCHEME:
            return sqlite_store_class().open(path_of(config), **options)
        config = _parse(config)
    if isinstance(config, InMemory):
        return InMemorySessionStore(**options)
    if isinstance(config, RedisUrl | RedisUrlWithNamespace):
        check_scheme(config.url, "the store's URL", *_OTHER_SCHEMES)
        if isinstance(config, RedisUrlWithNamespace):
            return redis_store_class().from_url(config.url, namespace=config.namespace, **options)
        return redis_store_class().from_url(config.url, **options)
    raise TypeError(f"config must be a SessionBackendConfig or a URL, not {type(config).__name__}")


def _parse(url: str) -> SessionBackendConfig:
    if url == "memory://":
        return InMemory()
    check_scheme(url, "the store's URL", *_OTHER_SCHEMES)
    return RedisUrl(url)


def redis_store_class() -> type["RedisSessionStore"]:
    """Return `RedisSessionStore`, imported now: the package itself does without redis-py.

    Raises:
        UnavailableError: redis-py is not installed, or too old.
    """
    with needing_redis():
        from .backends.redis import RedisSessionStore  # noqa: PLC0415  # optional
    return RedisSessionStore


def sqlite_store_class() -> type["SQLiteSessionStore"]:
    """Return `SQLiteSessionStore`, imported now: the package itself does without `sqlite3`.

    Raises:
        UnavailableError: This Python was built without SQLite.
    """
    with needing_sqlite():
        from .backends.sqlite import SQLiteSessionStore  # noqa: PLC0415  # optional
    return SQLiteSessionStore
