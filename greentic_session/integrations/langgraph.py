"""Checkpoints of langgraph on sessions: ``graph.compile(checkpointer=SessionSaver(store, ctx))``.

It needs the framework: ``python -m pip install 'greentic-session[langgraph]'``.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from greentic_session.errors import InvalidInputError
from greentic_session.expiry import Ttl
from greentic_session.factory import SessionBackendConfig, create_session_store
from greentic_session.models import TenantCtx
from greentic_session.store import SessionStore

from ._graphs.home import Home
from ._graphs.models import Entry, Place, Write
from ._graphs.runs import TOKEN, begin, go_on, hold, token_of
from ._graphs.threads import Threads
from ._graphs.turns import Answer, GraphTurns, Input, Question, Say

__all__ = ["Answer", "GraphTurns", "Input", "Question", "Say", "SessionSaver"]


class SessionSaver(BaseCheckpointSaver[int]):  # type: ignore[misc]  # untyped where it is not installed
    """Checkpoints of one tenant, over any store.

    A run that was taken over cannot write on: once another run has written anything to a thread
    since the first one has read, all that the first one writes there is a ConflictError, also in
    subgraphs, whether the other run was there or not. The subgraphs of a run are part of it. It
    needs no lease: the first of two runs that writes wins, and a caller that has read nothing is
    never refused. The latest checkpoint is the one that was accepted last, whatever the clocks of
    machines say.

    Both kinds of methods may be used, from any thread; but of one Redis store only those of the
    event loop in which it was used first, or which the saver began: where a graph is invoked
    without an event loop, the saver has one of its own in a thread, and `close` ends that.

    Besides what is said below, the methods raise the errors of a `SessionStore`.

    Args:
        store: Where checkpoints are kept; without `max_waits_per_user`. A serialized checkpoint may
            have a third of its `max_snapshot_bytes`. The caller closes it.
        ctx: The tenant: env, tenant and team. Threads of others are absent.
        history: Whether checkpoints stay when a newer one of their namespace comes. If not, those
            stay that the values of the newer one are made of (`DeltaChannel`).
        ttl: How long a thread is kept after its last checkpoint, to a tenth of that; None for ever.
        serde: What serializes checkpoints.

    Raises:
        InvalidInputError: `ttl` is out of range, or the team of `ctx` is ``-``.
        TypeError: An argument has a wrong type.
    """

    def __init__(
        self,
        store: SessionStore,
        ctx: TenantCtx,
        *,
        history: bool = True,
        ttl: Ttl = None,
        serde: SerializerProtocol | None = None,
    ) -> None:
        super().__init__(serde=serde)
        given: object = store
        if not isinstance(given, SessionStore):
            raise TypeError(f"store must be a SessionStore, not {type(given).__name__}")
        self._threads = Threads(store, ctx, ttl, history=history)
        self._home = Home()
        self._own: SessionStore | None = None

    @classmethod
    def open(cls, config: SessionBackendConfig | str, ctx: TenantCtx, **options: Any) -> Self:
        """Return a saver with a store of its own, which `close` and `aclose` close.

        Args:
            config: As for `create_session_store`: a URL.
            ctx: The tenant.
            options: `history`, `ttl` and `serde`; all others are for the store.
        """
        own = {name: options.pop(name) for name in ("history", "ttl", "serde") if name in options}
        store = create_session_store(config, **options)
        saver = cls(store, ctx, **own)
        saver._own = store
        return saver

    # -- reading

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return a checkpoint, by default the latest of its namespace; None without one."""
        found = await self._home.run(lambda: self._get(config))
        go_on(_values(config))
        return found

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Do as `aget_tuple`."""
        found = self._home.wait(lambda: self._get(config))
        go_on(_values(config))
        return found

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Yield checkpoints, the highest id first.

        Args:
            config: Of which thread, and of which namespace and id if it names them. None for all
                threads of the tenant, one after the other: the cost grows with the tenant.
            filter: Values of the metadata.
            before: Only with an id that is lower than this one's.
            limit: How many, at most.
        """
        found = self._list(config, filter, before, limit)
        while (one := await self._home.run(lambda: _next(found))) is not None:
            yield one

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Do as `alist`."""
        found = self._list(config, filter, before, limit)
        while (one := self._home.wait(lambda: _next(found))) is not None:
            yield one

    async def aget_delta_channel_history(self, *, config: RunnableConfig, channels: Sequence[str]) -> Any:
        """Return what values of channels are made of; newer versions of langgraph ask for it."""
        with hold():
            return await super().aget_delta_channel_history(config=_copied(config), channels=channels)

    def get_delta_channel_history(self, *, config: RunnableConfig, channels: Sequence[str]) -> Any:
        """Do as `aget_delta_channel_history`."""
        with hold():
            return super().get_delta_channel_history(config=_copied(config), channels=channels)

    # -- writing

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,  # noqa: ARG002  # a checkpoint is stored whole
    ) -> RunnableConfig:
        """Store a checkpoint, the latest one from now on.

        Raises:
            ConflictError: Another run has written since this one has read.
        """
        return await self._home.run(lambda: self._put(config, checkpoint, metadata))

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,  # noqa: ARG002  # a checkpoint is stored whole
    ) -> RunnableConfig:
        """Do as `aput`."""
        return self._home.wait(lambda: self._put(config, checkpoint, metadata))

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store what a task has written after a checkpoint; the same again changes nothing.

        Raises:
            ConflictError: Another run has written since this one has read.
        """
        await self._home.run(lambda: self._put_writes(config, writes, task_id, task_path))

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Do as `aput_writes`."""
        self._home.wait(lambda: self._put_writes(config, writes, task_id, task_path))

    # -- administration

    async def adelete_thread(self, thread_id: str) -> None:
        """Remove a thread; a run that is at it is refused."""
        await self._home.run(lambda: self._threads.delete(str(thread_id)))

    def delete_thread(self, thread_id: str) -> None:
        """Do as `adelete_thread`."""
        self._home.wait(lambda: self._threads.delete(str(thread_id)))

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Remove the checkpoints that these runs have made, by ``run_id`` of their metadata."""
        await self._home.run(lambda: self._threads.delete_runs([str(id) for id in run_ids]))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Do as `adelete_for_runs`."""
        self._home.wait(lambda: self._threads.delete_runs([str(id) for id in run_ids]))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy a thread to a new one, with its history and all writes.

        Raises:
            ConflictError: There is a thread `target_thread_id`.
        """
        await self._home.run(lambda: self._threads.copy(str(source_thread_id), str(target_thread_id)))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Do as `acopy_thread`."""
        self._home.wait(lambda: self._threads.copy(str(source_thread_id), str(target_thread_id)))

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Remove all checkpoints of threads, or all but the latest of each namespace.

        Those stay that the values of the latest are made of (`DeltaChannel`).

        Raises:
            InvalidInputError: `strategy` is neither ``"keep_latest"`` nor ``"delete"``.
        """
        await self._home.run(lambda: self._prune(thread_ids, strategy))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Do as `aprune`."""
        self._home.wait(lambda: self._prune(thread_ids, strategy))

    # -- the end

    async def aclose(self) -> None:
        """Close the store that `open` has made, and end the thread of the saver."""
        if self._own is not None:
            await self._home.run(self._own.aclose)
        await asyncio.get_running_loop().run_in_executor(None, self._home.end)

    def close(self) -> None:
        """Do as `aclose`."""
        if self._own is not None:
            self._home.wait(self._own.aclose)
        self._home.end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # -- below: from and to what is stored

    async def _get(self, config: RunnableConfig) -> CheckpointTuple | None:
        place, values = _place(config), _values(config)
        tag = self._threads.tag(place.thread)
        entry, token = await self._threads.find(place, _id(config))
        token = token_of(values, tag) or token
        begin(values, token, is_new=entry is None)
        return None if entry is None else self._tuple(place, entry, token)

    async def _list(
        self,
        config: RunnableConfig | None,
        filter: Mapping[str, Any] | None,
        before: RunnableConfig | None,
        limit: int | None,
    ) -> AsyncIterator[CheckpointTuple]:
        values = {} if config is None else _values(config)
        ns, id = values.get("checkpoint_ns"), values.get("checkpoint_id")
        threads = await self._threads.threads() if config is None else [str(values["thread_id"])]
        left = limit
        for thread in threads:
            async for name, entry in self._threads.entries(thread, ns, None if before is None else _id(before)):
                if left is not None and left <= 0:
                    return
                if id and entry.id != id:
                    continue
                metadata = self.serde.loads_typed((entry.metadata_kind, entry.metadata))
                if any(metadata.get(key) != value for key, value in (filter or {}).items()):
                    continue
                left = None if left is None else left - 1
                yield self._tuple(Place(thread, name), entry, None)

    async def _put(self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata) -> RunnableConfig:
        place, values = _place(config), _values(config)
        kept: dict[str, Any] = dict(get_checkpoint_metadata(config, metadata))
        run = kept.get("run_id")
        kind, text = self.serde.dumps_typed(checkpoint)
        metadata_kind, metadata_text = self.serde.dumps_typed(kept)
        entry = Entry(
            checkpoint["id"],
            _id(config),
            kind,
            text,
            metadata_kind,
            metadata_text,
            _list_of(checkpoint["channel_values"]),
            _list_of(kept.get("counters_since_delta_snapshot") or ()),
            None if run is None else str(run),
        )
        token = self._token(place, values)
        await self._threads.put(place, token, entry)
        return _config(place, entry.id, token)

    async def _put_writes(self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task: str, path: str) -> None:
        packed = [
            Write(task, WRITES_IDX_MAP.get(channel, index), path, channel, *self.serde.dumps_typed(value))
            for index, (channel, value) in enumerate(writes)
        ]
        place, values = _place(config), _values(config)
        await self._threads.put_writes(place, self._token(place, values), values["checkpoint_id"], packed)

    def _token(self, place: Place, values: Mapping[str, Any]) -> str | None:
        tag, token = self._threads.tag(place.thread), values.get(TOKEN)
        return token_of(values, tag) if token is None or not token.endswith(tag) else token

    async def _prune(self, threads: Sequence[str], strategy: str) -> None:
        if strategy not in ("keep_latest", "delete"):
            raise InvalidInputError("strategy must be 'keep_latest' or 'delete'")
        for thread in threads:
            await (self._threads.prune(str(thread)) if strategy == "keep_latest" else self._threads.delete(str(thread)))

    def _tuple(self, place: Place, entry: Entry, token: str | None) -> CheckpointTuple:
        load = self.serde.loads_typed
        return CheckpointTuple(
            config=_config(place, entry.id, token),
            checkpoint=load((entry.kind, entry.checkpoint)),
            metadata=load((entry.metadata_kind, entry.metadata)),
            parent_config=None if entry.parent is None else _config(place, entry.parent, None),
            pending_writes=[(write.task, write.channel, load((write.kind, write.data))) for write in entry.writes],
        )


async def _next(found: AsyncIterator[CheckpointTuple]) -> CheckpointTuple | None:
    return await anext(found, None)


def _values(config: Any) -> dict[str, Any]:
    """Return the configurable values, which every config of a saver has."""
    values: dict[str, Any] = config["configurable"]
    return values


def _copied(config: Any) -> Any:
    return {**config, "configurable": dict(_values(config))}


def _place(config: RunnableConfig) -> Place:
    values = _values(config)
    return Place(str(values["thread_id"]), values.get("checkpoint_ns") or "")


def _id(config: RunnableConfig) -> str | None:
    id: str | None = _values(config).get("checkpoint_id")
    return id or None


def _config(place: Place, id: str, token: str | None) -> RunnableConfig:
    values = {"thread_id": place.thread, "checkpoint_ns": place.ns, "checkpoint_id": id}
    return {"configurable": values if token is None else {**values, TOKEN: token}}


def _list_of(names: Any) -> "list[str]":
    """Return names as a list; within the class `list` is a method."""
    return [*names]
