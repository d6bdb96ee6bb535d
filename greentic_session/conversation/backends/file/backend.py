"""Conversations in files, as a `ConversationBackend`: every operation one call in a worker thread."""

import os
import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeVar

import anyio
from anyio.lowlevel import RunVar

from greentic_session._shield import shielded
from greentic_session.conversation.backend import ConversationBackend
from greentic_session.conversation.backends.file import listing
from greentic_session.conversation.backends.file.crew import Crew
from greentic_session.conversation.backends.file.disk import check_usable, translated
from greentic_session.conversation.backends.file.handles import Busy
from greentic_session.conversation.backends.file.names import conversation_name, room_name
from greentic_session.conversation.backends.file.rooms import Rooms
from greentic_session.conversation.conversation import ConversationSummary
from greentic_session.conversation.header import Change, Expected, Header, Lifetime
from greentic_session.conversation.moments import Clock
from greentic_session.conversation.rules import Room
from greentic_session.errors import OperationTimeoutError

__all__ = ["FileConversationBackend"]

T = TypeVar("T")

_FIRST_PAUSE: Final = 0.0002
_LONGEST_PAUSE: Final = 0.02
_STEP: Final = 64
"""How many conversations a purge removes at a time."""
_FEW: Final = 1000
"""So many messages are read without others having to wait long for it."""


class FileConversationBackend(ConversationBackend):
    """Conversations in files.

    Args:
        directory: Where; an absolute path.
        timer: Tells the time in microseconds since the Unix epoch: lifetimes are measured by it.
        sync: Whether the disk must have what is written before a call returns.
        lock_timeout: How many seconds to wait for other processes that are at the same conversation.
    """

    def __init__(self, directory: str, timer: Clock, *, sync: bool, lock_timeout: float) -> None:
        self.directory = directory
        self._rooms = Rooms(timer, sync=sync)
        self._lock_timeout = lock_timeout
        self._crews: RunVar[Crew] = RunVar("greentic_session file conversations")

    async def put(
        self, room: Room, id: str, header: Header, messages: Sequence[bytes], expected: Expected, life: Lifetime
    ) -> Header:
        base = self._base(room, id)
        work = partial(self._rooms.put, base, room, id, header, messages, expected, life)
        return await self._run(base, work, alone=len(messages) > _FEW)

    async def load(self, room: Room, id: str, life: Lifetime) -> tuple[Header, list[bytes]]:
        base = self._base(room, id)
        return await self._run(base, partial(self._rooms.load, base, room, id, life), alone=True)

    async def delete(self, room: Room, id: str) -> None:
        base = self._base(room, id)
        await self._run(base, partial(self._rooms.delete, base, room, id))

    async def append(self, room: Room, id: str, messages: Sequence[bytes], now: int, life: Lifetime) -> int:
        base = self._base(room, id)
        work = partial(self._rooms.append, base, room, id, messages, now, life)
        return await self._run(base, work, alone=len(messages) > _FEW)

    async def messages(self, room: Room, id: str, last: int | None, life: Lifetime) -> tuple[int, list[bytes]]:
        base = self._base(room, id)
        work = partial(self._rooms.messages, base, room, id, last, life)
        return await self._run(base, work, alone=last is None or last > _FEW)

    async def update(self, room: Room, id: str, change: Change, now: int, life: Lifetime) -> None:
        base = self._base(room, id)
        await self._run(base, partial(self._rooms.update, base, room, id, change, now, life))

    async def recent(self, room: Room, limit: int | None, after: str | None, since: int | None) -> list[ConversationSummary]:
        work = partial(listing.recent, self._rooms, self._path(room), room, limit, after, since)
        return await self._run(object(), work, alone=True)

    async def purge(self, room: Room) -> int:
        directory = self._path(room)
        bases = await self._run(object(), partial(listing.bases, directory), alone=True)
        erased: list[bool] = []
        while bases:
            step = bases[-_STEP:]
            del bases[-_STEP:]
            while step:
                await self._run(object(), partial(self._rooms.purge, step, erased), alone=True)
        await self._run(object(), partial(_remove_directory, directory))
        return len(erased)

    async def health(self) -> None:
        await self._run(object(), partial(check_usable, self.directory))

    async def aclose(self) -> None:
        self.closed = True
        await shielded(partial(self._crew().run, object(), self._rooms.handles.close))

    def _path(self, room: Room) -> str:
        return os.path.join(self.directory, room_name(room))  # noqa: PTH118

    def _base(self, room: Room, id: str) -> str:
        return f"{self._path(room)}{os.sep}{conversation_name(id)}"

    def _crew(self) -> Crew:
        try:
            return self._crews.get()
        except LookupError:
            crew = Crew()
            self._crews.set(crew)
            return crew

    async def _run(self, key: object, work: Callable[[], T], *, alone: bool = False) -> T:
        """Do something in a thread; if another process has its files, wait for them here, where that blocks nobody."""
        crew = self._crew()
        pause, give_up = _FIRST_PAUSE, 0.0
        while True:
            try:
                return await crew.run(key, partial(self._guarded, work), alone=alone)
            except Busy as busy:
                now = time.monotonic()
                give_up = give_up or now + self._lock_timeout
                if now >= give_up:
                    raise OperationTimeoutError("others did not let go of the conversation in time") from busy
            await anyio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311  # no secret
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    def _guarded(self, work: Callable[[], T]) -> T:
        self.check_open()
        with translated():
            return work()


def _remove_directory(path: str) -> None:
    try:
        os.rmdir(path)  # noqa: PTH106
    except OSError:
        pass  # something came in meanwhile, or is somebody else's
