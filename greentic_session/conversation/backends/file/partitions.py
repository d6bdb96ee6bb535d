"""Operations on the files of partitions, one blocking call each.

All of it blocks: it is for worker threads.
"""

import os
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from greentic_session._concurrency.workers import Steps
from greentic_session._expiry.expiring import Timer
from greentic_session.conversation.backends.file import file, framing
from greentic_session.conversation.backends.file.disk import noted, open_file, read_at, remove
from greentic_session.conversation.backends.file.file import Seen
from greentic_session.conversation.backends.file.handles import Busy, Handle, Handles
from greentic_session.conversation.backends.file.names import LOG, TEMPORARY
from greentic_session.conversation.backends.file.neighbours import Neighbours
from greentic_session.conversation.envelope import read_envelope, write_envelope
from greentic_session.conversation.header import (
    Change,
    Expected,
    Header,
    Lifetime,
    Revision,
    Stored,
    changed_header,
    replacing,
)
from greentic_session.conversation.moments import later
from greentic_session.conversation.rules import absent, corrupt, corrupt_end
from greentic_session.errors import CorruptSessionError, GreenticError, SchemaVersionError
from greentic_session.tenancy import Partition

__all__ = ["Partitions"]

_WASTE: Final = 256 * 1024
"""How many bytes of old headers a file may always hold."""


class _Holding:
    """Holds the files of a conversation for a block.

    A generator would take long beside a short write.
    """

    __slots__ = ("_base", "_create", "_handle", "_handles")

    def __init__(self, handles: Handles, base: str, *, create: bool) -> None:
        self._handles = handles
        self._base = base
        self._create = create

    def __enter__(self) -> Handle | None:
        self._handle = self._handles.take(self._base, create=self._create)
        return self._handle

    def __exit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: object) -> None:
        if self._handle is None:
            return
        if exc_type is None or issubclass(exc_type, GreenticError):
            self._handles.give_back(self._handle)
        else:
            self._handle.abandon()  # who knows how it was left


class Partitions:
    """Conversations in files. For several threads.

    Args:
        timer: Tells the time in seconds since the Unix epoch: lifetimes are measured by it.
        sync: Whether the disk must have what is written before a call returns.
    """

    def __init__(self, timer: Timer, *, sync: bool) -> None:
        self._timer = timer
        self._sync = sync
        self.handles: Handles = Handles(sync=sync)
        self._neighbours = Neighbours()

    def put(
        self,
        base: str,
        partition: Partition,
        id: str,
        header: Header,
        messages: Sequence[bytes],
        expected: Expected,
        life: Lifetime,
    ) -> Header:
        """Do what `ConversationBackend.put` says; `base` is the path without suffix."""
        with self._held(base, create=not isinstance(expected, Revision)) as handle:
            seen = stored = None
            if handle is not None:
                try:
                    seen = self._look(handle, partition, id)
                    stored = None if seen is None else _header(handle, seen, id)
                except (CorruptSessionError, SchemaVersionError):
                    if expected is not Stored.ANYTHING:
                        raise
                    seen = None
            header = replacing(stored, header, expected, id)
            assert handle is not None  # or a revision was expected, and `replacing` has raised
            expiry = self._begin(life.ttl_ms) if seen is None else self._again(seen.expiry, life)
            self._write_whole(handle, partition, id, header, messages, expiry)
        if seen is None and life.ttl_ms is not None:
            self._free_some(os.path.dirname(base))  # noqa: PTH120
        return header

    def load(self, base: str, partition: Partition, id: str, life: Lifetime) -> tuple[Header, list[bytes]]:
        """Do what `ConversationBackend.load` says."""
        with self._held(base) as held:
            handle, seen = self._find(held, partition, id)
            found = _header(handle, seen, id), _messages(handle, seen, None)[1]
            self._slide(handle, seen, life)
            return found

    def delete(self, base: str, partition: Partition, id: str) -> None:
        """Do what `ConversationBackend.delete` says."""
        with self._held(base) as handle:
            if handle is None:
                raise absent(id)
            try:
                if self._look(handle, partition, id) is None:
                    raise absent(id)
            except (CorruptSessionError, SchemaVersionError):
                pass
            self._erase(handle, sync=self._sync)

    def append(
        self, base: str, partition: Partition, id: str, messages: Sequence[bytes], now: int, life: Lifetime
    ) -> Steps[int]:
        """Do what `ConversationBackend.append` says."""
        with self._held(base) as held:
            handle, seen = self._find_whole(held, partition, id)
            state = seen.state
            count = state.count + len(messages)
            if messages:
                lines = [framing.message_line(position, text) for position, text in enumerate(messages, state.count)]
                expiry = self._again(seen.expiry, life)
                state = replace(state, count=count, updated_at=later(now, state.updated_at), expiry=expiry)
                yield from self._add(handle, state, lines)
            else:
                self._slide(handle, seen, life)
            return count

    def messages(
        self, base: str, partition: Partition, id: str, last: int | None, life: Lifetime
    ) -> tuple[int, list[bytes]]:
        """Do what `ConversationBackend.messages` says."""
        with self._held(base) as held:
            handle, seen = self._find(held, partition, id)
            found = _messages(handle, seen, last)
            self._slide(handle, seen, life)
            return found

    def update(self, base: str, partition: Partition, id: str, change: Change, now: int, life: Lifetime) -> Steps[None]:
        """Do what `ConversationBackend.update` says."""
        with self._held(base) as held:
            handle, seen = self._find_whole(held, partition, id)
            header = changed_header(_header(handle, seen, id), change, now)
            line = framing.header_line(write_envelope(header, (), id), header.schema_version)
            expiry = self._again(seen.expiry, life)
            state = replace(seen.state, updated_at=header.updated_at, expiry=expiry)
            state = yield from self._add(handle, state, [], line)
            if state.waste > max(_WASTE, state.end // 2):
                messages = file.read_messages(_fd(handle), state, None)
                try:
                    self._write_whole(handle, partition, id, header, messages, expiry)
                except OSError:
                    handle.forget()  # the update itself is done; the next one tries again
                    handle.exists = True

    def purge(self, bases: list[str], erased: list[bool]) -> None:
        """Remove conversations, readable or not, and whatever else is left of them.

        Args:
            bases: Paths; each is taken out of the list when it is done.
            erased: One more in it for each conversation that was there.
        """
        while bases:
            with self._held(bases[-1], create=True) as handle:
                assert handle is not None
                try:
                    there = handle.exists and self._look(handle, None, "") is not None
                except (CorruptSessionError, SchemaVersionError):
                    there = True
                self._erase(handle, sync=self._sync and len(bases) == 1)  # the last speaks for all
            bases.pop()
            if there:
                erased.append(True)

    def look(self, base: str) -> Seen | None:
        """Return the state of a conversation's file, repaired; None if it expired or is absent.

        Raises:
            Busy: Somebody else holds it.
        """
        with self._held(base) as handle:
            return None if handle is None else self._look(handle, None, "")

    def _free_some(self, directory: str) -> None:
        """Check some conversations of a partition and erase those that have expired."""
        try:
            for base in self._neighbours.some(directory):
                try:
                    self.look(base)
                except (Busy, CorruptSessionError, SchemaVersionError):
                    pass
        except OSError:
            pass  # what the caller wanted is done

    def expired(self, expiry: int) -> bool:
        """Say whether a conversation has expired."""
        return expiry != 0 and expiry <= round(self._timer() * 1000)

    # -- below: with a conversation held

    def _held(self, base: str, *, create: bool = False) -> "_Holding":
        return _Holding(self.handles, base, create=create)

    def _find(self, handle: Handle | None, partition: Partition, id: str) -> tuple[Handle, Seen]:
        seen = None if handle is None else self._look(handle, partition, id)
        if handle is None or seen is None:
            raise absent(id)
        return handle, seen

    def _find_whole(self, handle: Handle | None, partition: Partition, id: str) -> tuple[Handle, Seen]:
        """As `_find`, for what adds to the file: behind a damaged end nothing can be added."""
        handle, seen = self._find(handle, partition, id)
        if seen.damaged:
            raise corrupt_end(id, seen.state.count)
        return handle, seen

    def _slide(self, handle: Handle, seen: Seen, life: Lifetime) -> None:
        """Let a use that writes nothing begin a lifetime anew, if it does."""
        if life.again_ms is not None:
            file.set_expiry(_fd(handle), self._begin(life.again_ms), seen.state.end)

    def _look(self, handle: Handle, partition: Partition | None, id: str) -> Seen | None:
        """Return the content of a file; None if it is absent or expired (then erased).

        Args:
            handle: Of the files.
            partition: Whose it must be; None if that does not matter.
            id: The id it must have, and for errors.
        """
        if not handle.exists:
            return None
        if handle.fd is None:
            raise corrupt(id)
        seen = handle.seen
        if seen is None:
            seen = file.examine(handle.fd, handle.size, id)
            if partition is not None and (seen.partition, seen.id) != (partition, id):
                raise corrupt(id)
        else:
            preamble = read_at(handle.fd, 0, framing.PREAMBLE_LENGTH)
            if preamble != seen.preamble:
                expiry = file.expiry_of(preamble, seen.state, id)
                seen = replace(seen, expiry=expiry, preamble=preamble)
        if self.expired(seen.expiry):
            self._erase(handle, sync=False)  # it stays expired
            return None
        if handle.seen is None:
            checked = file.check_header(handle.fd, seen, id)
            if checked is not seen:
                file.warn_of_foreign_lines()
                seen = checked
            if seen.torn and not seen.damaged:
                file.repair(handle.fd, seen)
                seen = replace(seen, torn=0)
        if partition is not None:
            handle.seen = seen
        return seen

    def _add(
        self, handle: Handle, state: framing.State, lines: list[bytes], header: bytes | None = None
    ) -> Steps[framing.State]:
        assert handle.seen is not None
        state = yield from file.append(_fd(handle), state, lines, header, sync=self._sync)
        seen = handle.seen
        handle.seen = Seen(seen.partition, seen.id, state, state.expiry, seen.preamble)
        return state

    def _write_whole(
        self, handle: Handle, partition: Partition, id: str, header: Header, messages: Sequence[bytes], expiry: int
    ) -> None:
        """Put a conversation in the place of whatever is there.

        A reader, or a crash, finds the one or the other.
        """
        temporary, path = handle.base + TEMPORARY, handle.base + LOG
        remove(temporary)  # of somebody who was killed; the lock is ours
        fd = open_file(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            try:
                file.write_new(fd, partition, id, header, messages, expiry, sync=self._sync)
            finally:
                os.close(fd)
            if handle.exists and handle.fd is None:
                remove(path)  # an (empty) directory cannot be replaced
            with noted(os.path.dirname(path), sync=self._sync):  # noqa: PTH120
                handle.forget()  # Windows replaces no file that is open
                os.replace(temporary, path)  # noqa: PTH105
        except BaseException:
            remove(temporary)
            raise
        handle.exists = True

    def _erase(self, handle: Handle, *, sync: bool) -> None:
        with noted(os.path.dirname(handle.base), sync=sync):  # noqa: PTH120
            handle.forget()
            remove(handle.base + TEMPORARY)
            remove(handle.base + LOG)

    def _begin(self, ttl_ms: int | None) -> int:
        return 0 if ttl_ms is None else round(self._timer() * 1000) + ttl_ms

    def _again(self, expiry: int, life: Lifetime) -> int:
        return expiry if life.again_ms is None else self._begin(life.again_ms)


def _fd(handle: Handle) -> int:
    assert handle.fd is not None
    return handle.fd


def _messages(handle: Handle, seen: Seen, last: int | None) -> tuple[int, list[bytes]]:
    """Return the number of messages, and the last ones (None: all); a damaged end counts as one.

    In the place of what is damaged comes an empty text, as in `file.read_messages`.
    """
    fd, state = _fd(handle), seen.state
    if not seen.damaged:
        return state.count, file.read_messages(fd, state, last)
    if last == 0:
        return state.count + 1, []
    return state.count + 1, [*file.read_messages(fd, state, None if last is None else last - 1), b""]


def _header(handle: Handle, seen: Seen, id: str) -> Header:
    header, _ = read_envelope(file.read_header(_fd(handle), seen.state, id), id)
    return replace(header, created_at=seen.state.created_at, updated_at=seen.state.updated_at)
