"""Factory of conversation stores, for URLs and adapters. Only this module names all stores."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from greentic_session._json.fields import check_text
from greentic_session._redis.extra import needing_redis
from greentic_session._redis.scheme import REDIS_SCHEMES, scheme_of
from greentic_session._sqlite.extra import needing_sqlite
from greentic_session._sqlite.url import path_of
from greentic_session.conversation.backends.adapter import AdapterConversationStore, PersistenceAdapter
from greentic_session.conversation.backends.memory import InMemoryConversationStore
from greentic_session.conversation.message import Message
from greentic_session.conversation.store import ConversationStore
from greentic_session.errors import InvalidInputError
from greentic_session.expiry import Ttl

if TYPE_CHECKING:
    from greentic_session.conversation.backends.redis import RedisConversationStore
    from greentic_session.conversation.backends.sqlite import SQLiteConversationStore

__all__ = ["create_conversation_store", "redis_conversation_store_class", "sqlite_conversation_store_class"]

M = TypeVar("M")

_Options = dict[str, Any]


@overload
def create_conversation_store(
    config: str | PersistenceAdapter,
    *,
    message_type: type[Message] = ...,
    namespace: str | None = ...,
    ttl: Ttl = ...,
    sliding: bool = ...,
    **options: Any,
) -> ConversationStore[Message]: ...


@overload
def create_conversation_store(
    config: str | PersistenceAdapter,
    *,
    message_type: type[M],
    namespace: str | None = ...,
    ttl: Ttl = ...,
    sliding: bool = ...,
    **options: Any,
) -> ConversationStore[M]: ...


@overload
def create_conversation_store(
    config: str | PersistenceAdapter,
    *,
    message_type: Any,
    namespace: str | None = ...,
    ttl: Ttl = ...,
    sliding: bool = ...,
    **options: Any,
) -> ConversationStore[Any]: ...


def create_conversation_store(
    config: str | PersistenceAdapter,
    *,
    message_type: Any = Message,
    namespace: str | None = None,
    ttl: Ttl = None,
    sliding: bool = False,
    **options: Any,
) -> ConversationStore[Any]:
    """Return the store for a URL or an adapter, without I/O and without a fallback.

    Args:
        config: A URL, or a `PersistenceAdapter`: a storage of your own. ``memory://``: the memory
            of this process. ``sqlite:///path``: a file of this machine; special characters are
            escaped, as ``%20`` for a space. ``redis://``, ``rediss://``, ``unix://``: a Redis;
            ``redis+sentinel://``, ``rediss+sentinel://``: a Redis with sentinels;
            ``redis+cluster://``, ``rediss+cluster://``: a cluster.
        message_type: The type of messages: `Message`, any type that msgspec writes and reads, or a
            `TypeAdapter` of pydantic.
        namespace: Separates this store's data from that of others in the same storage; by default
            the backend's own namespace. Stores in memory and adapters ignore it.
        ttl: The lifetime of a conversation, in seconds or as a timedelta; None and NEVER are for
            ever.
        sliding: Whether every operation renews the lifetime.
        options: More options of the store's constructor: `max_message_bytes`, `clock`, ...

    Raises:
        InvalidInputError: The URL is not valid, or an option is out of range.
        TypeError: `config` is neither a URL nor an adapter, an option has a wrong type, or the
            store has no such option.
        UnavailableError: The extra for this store is not installed, or Python has no SQLite.

    >>> import asyncio
    >>> from greentic_session import TenantCtx
    >>> async def talk():
    ...     ctx = TenantCtx.new("dev", "acme")
    ...     async with create_conversation_store("memory://", ttl=86_400, sliding=True) as store:
    ...         id = (await store.create(ctx)).id
    ...         await store.append(ctx, id, Message.user("hello"), Message.assistant("good day"))
    ...         return [message.text for message in await store.messages(ctx, id, last=1)]
    >>> asyncio.run(talk())
    ['good day']
    """
    check_text("namespace", namespace)
    options |= {"message_type": message_type, "ttl": ttl, "sliding": sliding}
    if not isinstance(config, str):
        return AdapterConversationStore(config, **options)
    scheme = scheme_of(config)
    if scheme == "file":
        raise InvalidInputError(
            "conversations are not kept in files any more: "
            "`greentic-session import-conversations DIRECTORY --store sqlite:///bot.db` copies them into a database"
        )
    if scheme not in _STORES:
        raise InvalidInputError(f"the store's URL must begin with one of: {', '.join(f'{name}://' for name in _STORES)}")
    return _STORES[scheme](config, namespace, options)


def _memory(url: str, _namespace: str | None, options: _Options) -> ConversationStore[Any]:
    if url != "memory://":
        raise InvalidInputError("the URL of a store in memory is memory://, and nothing follows")
    return InMemoryConversationStore(**options)


def _sqlite(url: str, namespace: str | None, options: _Options) -> ConversationStore[Any]:
    path = path_of(url)
    return sqlite_conversation_store_class()(path, namespace=namespace, **options)


def _redis(url: str, namespace: str | None, options: _Options) -> ConversationStore[Any]:
    if namespace is not None:
        options["namespace"] = namespace
    return redis_conversation_store_class().from_url(url, **options)


def redis_conversation_store_class() -> "type[RedisConversationStore[Any]]":
    """Return `RedisConversationStore`; it is imported now, because redis-py is optional.

    Raises:
        UnavailableError: redis-py is not installed, or too old.
    """
    with needing_redis():
        from greentic_session.conversation.backends.redis import RedisConversationStore  # noqa: PLC0415  # optional
    return RedisConversationStore


def sqlite_conversation_store_class() -> "type[SQLiteConversationStore[Any]]":
    """Return `SQLiteConversationStore`; it is imported now: the package does without `sqlite3`.

    Raises:
        UnavailableError: This Python was built without SQLite.
    """
    with needing_sqlite():
        from greentic_session.conversation.backends.sqlite import SQLiteConversationStore  # noqa: PLC0415  # optional
    return SQLiteConversationStore


_STORES: Final[dict[str, Callable[[str, str | None, _Options], ConversationStore[Any]]]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    **dict.fromkeys(REDIS_SCHEMES, _redis),
}
"""By the scheme of the URL: makes a store from URL, namespace and options of the constructor."""
