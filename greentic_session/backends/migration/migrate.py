"""The copy as a whole: who is walked, in which order."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Final, TypeVar

from greentic_session._redis.extra import needing_redis
from greentic_session._redis.namespace import DEFAULT_NAMESPACE
from greentic_session._redis.scanning import together
from greentic_session._redis.scheme import scheme_of
from greentic_session._sqlite.url import SQLITE_SCHEME, path_of
from greentic_session.errors import InvalidInputError

from .conversations import Conversations
from .replies import copy_replies, remove_settled
from .report import OnProgress, Progress, Report
from .sides import Endpoint, Group, unheard

__all__ = ["migrate"]

T = TypeVar("T")

_AT_ONCE: Final = 32
"""How many groups are under way at once."""


async def migrate(
    source: str,
    target: str,
    *,
    namespace: str = DEFAULT_NAMESPACE,
    to_namespace: str | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Copy all sessions and conversations of a namespace, or of a SQLite file, to another store.

    Both sides may be in use meanwhile. Cancel it whenever you like, and call it again.

    Args:
        source: The URL of the store to copy from: ``sqlite://``, ``redis://``, ``rediss://``,
            ``unix://``, ``redis+sentinel://`` or ``redis+cluster://``. It is read only. Name it the
            same way each time: copies remember where they came from.
        target: The same of the store to copy to.
        namespace: Which namespace to copy. A file has none: there it is the target's.
        to_namespace: How it is called in the target; by default the same.
        on_progress: Told from time to time how far it is.

    Returns:
        What was done.

    Raises:
        GreenticError: A side failed. What was copied until then is; call it again.
        InvalidInputError: A URL cannot be read, a namespace cannot be one there, or both sides are
            the same.
        TypeError: An argument has a wrong type.
    """
    if to_namespace is not None and isinstance(target, str) and scheme_of(target) == SQLITE_SCHEME:
        raise InvalidInputError("a SQLite file has no namespaces")
    origin = _endpoint_of(source, namespace)
    goal = _endpoint_of(target, namespace if to_namespace is None else to_namespace)
    if origin.side.name == goal.side.name:
        raise InvalidInputError("a namespace cannot be copied to itself")
    try:
        return await _copy(origin, goal, on_progress)
    finally:
        await asyncio.gather(origin.side.aclose(), goal.side.aclose())


async def _copy(origin: Endpoint, goal: Endpoint, on_progress: OnProgress | None) -> Report:
    report = Report()
    source, target = origin.source(report), goal.target(origin.side.id, report)
    conversations = Conversations(origin.side, goal.side, report)
    await source.check()
    of_source, of_target = await asyncio.gather(origin.side.size(), goal.side.size())
    progress = Progress(on_progress, 3 * of_source + max(of_source, of_target))
    is_any = await _is_any(source.sessions(unheard)) or await _is_any(source.replies.inboxes())

    async def write(group: Group, *, believed: bool = False) -> None:
        sessions = await source.read(group, believed=believed)
        await together(*(target.write(session) for session in sessions))

    async def write_waits(group: Group) -> None:
        await write(group, believed=True)

    async def write_conversations(group: Group) -> None:
        for name in group[1]:  # one by one: they may be long
            await conversations.copy(name)

    async def remove(group: Group) -> None:
        where, names = group
        lacks = await together(*(source.lacks(name) for name in names))
        if gone := [name for name, is_gone in zip(names, lacks, strict=True) if is_gone]:
            await target.remove((where, gone))

    if is_any:
        await remove_settled(source.replies, target.replies)
    await _each(source.sessions(progress.advance), write)
    await _each(source.waits(progress.advance), write_waits)
    if is_any:
        await _each(target.copies(progress.advance), remove)
    await copy_replies(source.replies, target.replies, report)
    await _each(origin.side.walk_conversations(progress.advance), write_conversations)
    progress.finish()
    return report


def _endpoint_of(url: str, namespace: str) -> Endpoint:
    if isinstance(url, str) and scheme_of(url) == SQLITE_SCHEME:
        from .sqlite_side import sqlite_endpoint  # noqa: PLC0415  # needs Python's own sqlite3

        return sqlite_endpoint(path_of(url))
    with needing_redis():
        from .redis_sessions import redis_endpoint  # noqa: PLC0415  # optional
    return redis_endpoint(url, namespace)


async def _is_any(found: AsyncGenerator[object, None]) -> bool:
    async with aclosing(found) as items:
        return await anext(items, None) is not None


async def _each(found: AsyncIterator[T], do: Callable[[T], Awaitable[None]]) -> None:
    """Do something with each, some at once; what fails ends all.

    Raises:
        GreenticError: What the first that failed raised.
    """

    async def one(item: T) -> None:
        await do(item)

    under_way: set[asyncio.Task[None]] = set()
    try:
        async for item in found:
            if len(under_way) == _AT_ONCE:
                done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            under_way.add(asyncio.create_task(one(item)))
        await asyncio.gather(*under_way)
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
