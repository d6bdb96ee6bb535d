"""The copy as a whole: who is walked, in which order."""

import asyncio
from collections.abc import Awaitable, Callable

from greentic_session._redis.namespace import DEFAULT_NAMESPACE
from greentic_session._redis.scanning import together
from greentic_session.backends.redis.keys import COPIED_KIND, SCOPE_KIND, SESSION_KIND
from greentic_session.errors import InvalidInputError

from .conversation_copy import Conversations
from .report import OnProgress, Progress, Report
from .session_copy import Source, Target
from .side import ClusterSide, Group, ServerSide, each, side_of

__all__ = ["migrate"]


async def migrate(
    source: str,
    target: str,
    *,
    namespace: str = DEFAULT_NAMESPACE,
    to_namespace: str | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Copy all sessions and conversations of a namespace to another Redis.

    Both sides may be in use meanwhile. Cancel it whenever you like, and call it again.

    Args:
        source: The URL of the Redis to copy from: ``redis://``, ``rediss://``, ``unix://``,
            ``redis+sentinel://`` or ``redis+cluster://``. It is read only. Name it the same way
            each time: copies remember where they came from.
        target: The same of the Redis to copy to.
        namespace: Which namespace to copy.
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
    origin = side_of(source, namespace)
    goal = side_of(target, namespace if to_namespace is None else to_namespace)
    if origin.name == goal.name:
        raise InvalidInputError("a namespace cannot be copied to itself")
    try:
        return await _copy(origin, goal, on_progress)
    finally:
        await asyncio.gather(origin.aclose(), goal.aclose())


async def _copy(origin: ServerSide | ClusterSide, goal: ServerSide | ClusterSide, on_progress: OnProgress | None) -> Report:
    report = Report()
    source, target = Source(origin, report), Target(goal, origin.id, report)
    conversations = Conversations(origin, goal, report)
    of_source, of_target = await asyncio.gather(origin.size(), goal.size())
    progress = Progress(on_progress, 3 * of_source + max(of_source, of_target))
    found = 0

    async def write(group: Group, *, believed: bool = False) -> None:
        sessions = await source.read(group, believed=believed)
        await together(*(target.write(session) for session in sessions))

    async def write_sessions(group: Group) -> None:
        nonlocal found
        found += len(group[1])
        await write(group)

    async def write_waits(group: Group) -> None:
        await write(group, believed=True)

    async def remove(group: Group) -> None:
        keys, names = group
        lacks = await together(*(source.lacks(name) for name in names))
        if gone := [name for name, is_gone in zip(names, lacks, strict=True) if is_gone]:
            await target.remove(keys, gone)

    async def write_conversations(group: Group) -> None:
        for name in group[1]:  # one by one: they may be long
            await conversations.copy(name)

    passes: list[tuple[ServerSide | ClusterSide, str, str, Callable[[Group], Awaitable[None]]]] = [
        (origin, SESSION_KIND, "string", write_sessions),
        (origin, SCOPE_KIND, "string", write_waits),
        (origin, "conv:head:", "hash", write_conversations),
        (goal, COPIED_KIND, "string", remove),
    ]
    for side, kind, redis_type, do in passes:
        if do is remove and not found:
            continue
        await each(side.walk(kind, progress.advance, redis_type), do)
    progress.finish()
    return report
