"""Operations on conversations in files, one blocking call each: for worker threads."""

import os
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from greentic_session._concurrency.workers import Steps
from greentic_session._expiry.expiring import Timer
from greentic_session.conversation.backends.file import file, framing
from greentic_session.conversation.backends.file.disk import open_file, read_at, remove, synced_entries
from greentic_session.conversation.backends.file.expiry_checks import ExpiryChecks
from greentic_session.conversation.backends.file.file import FileInfo
from greentic_session.conversation.backends.file.handles import Busy, Handle, Handles
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
from greentic_session.conversation.jsonl.names import LOG, TEMPORARY
from greentic_session.conversation.moments import later
from greentic_session.conversation.rules import absent, corrupt, corrupt_end
from greentic_session.errors import CorruptSessionError, GreenticError, SchemaVersionError
from greentic_session.tenancy import Partition

__all__ = ["Partitions"]

_MAX_WASTE_BYTES: Final = 256 * 1024
"""How many bytes of old headers a file may hold, whatever its length."""


class _LockedHandle:
    """Context manager for the locked files of a conversation.

    A generator would take long compared to a short write.
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
            self._handle.abandon()  # its state is unknown


class Partitions:
    """Operations on conversations in files. Thread-safe.

    Args:
        timer: Returns the time in seconds since the Unix epoch, by which lifetimes are measured.
        sync: Whether writes are on the disk when a call returns.
    """

    def __init__(self, timer: Timer, *, sync: bool) -> None:
        self._timer = timer
        self._sync = sync
        self.handles: Handles = Handles(sync=sync)
        self._expiry_checks = ExpiryChecks()

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
        """Do `ConversationBackend.put`; `base` is the path of the files without suffix."""
        with self._locked(base, create=not isinstance(expected, Revision)) as handle:
            info = stored = None
            if handle is not None:
                try:
                    info = self._examine(handle, partition, id)
                    stored = None if info is None else _header(handle, info, id)
                except (CorruptSessionError, SchemaVersionError):
                    if expected is not Stored.ANYTHING:
                        raise
                    info = None
            header = replacing(stored, header, expected, id)
            assert handle is not None  # without one `replacing` has raised: a revision was expected
            expiry = self._expiry(life.ttl_ms) if info is None else self._renewed_expiry(info.expiry, life)
            self._write_whole(handle, partition, id, header, messages, expiry)
        if info is None and life.ttl_ms is not None:
            self._erase_some_expired(os.path.dirname(base))  # noqa: PTH120
        return header

    def load(self, base: str, partition: Partition, id: str, life: Lifetime) -> tuple[Header, list[bytes]]:
        """Do `ConversationBackend.load`."""
        with self._locked(base) as locked:
            handle, info = self._find(locked, partition, id)
            found = _header(handle, info, id), _messages(handle, info, None)[1]
            self._renew(handle, info, life)
            return found

    def delete(self, base: str, partition: Partition, id: str) -> None:
        """Do `ConversationBackend.delete`."""
        with self._locked(base) as handle:
            if handle is None:
                raise absent(id)
            try:
                if self._examine(handle, partition, id) is None:
                    raise absent(id)
            except (CorruptSessionError, SchemaVersionError):
                pass
            self._erase(handle, sync=self._sync)

    def append(
        self, base: str, partition: Partition, id: str, messages: Sequence[bytes], now: int, life: Lifetime
    ) -> Steps[int]:
        """Do `ConversationBackend.append`."""
        with self._locked(base) as locked:
            handle, info = self._find_writable(locked, partition, id)
            state = info.state
            count = state.count + len(messages)
            if messages:
                lines = [framing.message_line(position, text) for position, text in enumerate(messages, state.count)]
                expiry = self._renewed_expiry(info.expiry, life)
                state = replace(state, count=count, updated_at=later(now, state.updated_at), expiry=expiry)
                yield from self._add(handle, state, lines)
            else:
                self._renew(handle, info, life)
            return count

    def messages(
        self, base: str, partition: Partition, id: str, last: int | None, life: Lifetime
    ) -> tuple[int, list[bytes]]:
        """Do `ConversationBackend.messages`."""
        with self._locked(base) as locked:
            handle, info = self._find(locked, partition, id)
            found = _messages(handle, info, last)
            self._renew(handle, info, life)
            return found

    def update(self, base: str, partition: Partition, id: str, change: Change, now: int, life: Lifetime) -> Steps[None]:
        """Do `ConversationBackend.update`."""
        with self._locked(base) as locked:
            handle, info = self._find_writable(locked, partition, id)
            header = changed_header(_header(handle, info, id), change, now)
            line = framing.header_line(write_envelope(header, (), id), header.schema_version)
            expiry = self._renewed_expiry(info.expiry, life)
            state = replace(info.state, updated_at=header.updated_at, expiry=expiry)
            state = yield from self._add(handle, state, [], line)
            if state.waste > max(_MAX_WASTE_BYTES, state.end // 2):
                messages = file.read_messages(_fd(handle), state, None)
                try:
                    self._write_whole(handle, partition, id, header, messages, expiry)
                except OSError:
                    handle.forget()  # the update itself is done; the next one tries to compact again
                    handle.exists = True

    def purge(self, bases: list[str], erased: list[bool]) -> None:
        """Remove conversations, readable or not, with all their files.

        Args:
            bases: Paths without suffix; each is removed from the list when its files are.
            erased: A list that gets an item for each conversation that existed.
        """
        while bases:
            with self._locked(bases[-1], create=True) as handle:
                assert handle is not None
                try:
                    there = handle.exists and self._examine(handle, None, "") is not None
                except (CorruptSessionError, SchemaVersionError):
                    there = True
                self._erase(handle, sync=self._sync and len(bases) == 1)  # one sync of the directory for all
            bases.pop()
            if there:
                erased.append(True)

    def examine(self, base: str) -> FileInfo | None:
        """Return the information on a conversation's file; None if it is absent or expired.

        A torn end is dropped.

        Raises:
            Busy: Another thread or process holds the lock.
        """
        with self._locked(base) as handle:
            return None if handle is None else self._examine(handle, None, "")

    def _erase_some_expired(self, directory: str) -> None:
        """Check some conversations of a partition and erase those that have expired."""
        try:
            for base in self._expiry_checks.next_bases(directory):
                try:
                    self.examine(base)
                except (Busy, CorruptSessionError, SchemaVersionError):
                    pass
        except OSError:
            pass  # the caller's own operation is done

    def expired(self, expiry: int) -> bool:
        """Return whether a conversation has expired."""
        return expiry != 0 and expiry <= round(self._timer() * 1000)

    # -- below: with the lock of a conversation held

    def _locked(self, base: str, *, create: bool = False) -> "_LockedHandle":
        return _LockedHandle(self.handles, base, create=create)

    def _find(self, handle: Handle | None, partition: Partition, id: str) -> tuple[Handle, FileInfo]:
        info = None if handle is None else self._examine(handle, partition, id)
        if handle is None or info is None:
            raise absent(id)
        return handle, info

    def _find_writable(self, handle: Handle | None, partition: Partition, id: str) -> tuple[Handle, FileInfo]:
        """As `_find`, for operations that append: behind a damaged end nothing can be added."""
        handle, info = self._find(handle, partition, id)
        if info.damaged:
            raise corrupt_end(id, info.state.count)
        return handle, info

    def _renew(self, handle: Handle, info: FileInfo, life: Lifetime) -> None:
        """Renew the lifetime, if it is sliding, after an operation that writes nothing else."""
        if life.again_ms is not None:
            file.set_expiry(_fd(handle), self._expiry(life.again_ms), info.state.end)

    def _examine(self, handle: Handle, partition: Partition | None, id: str) -> FileInfo | None:
        """Return the information on a file; None if it is absent or expired (then erased).

        Args:
            handle: The handle of the files.
            partition: The partition that the file must have; None for any partition and id.
            id: The id that the file must have, also for errors.
        """
        if not handle.exists:
            return None
        if handle.fd is None:
            raise corrupt(id)
        info = handle.info
        if info is None:
            info = file.examine(handle.fd, handle.size, id)
            if partition is not None and (info.partition, info.id) != (partition, id):
                raise corrupt(id)
        else:
            preamble = read_at(handle.fd, 0, framing.PREAMBLE_LENGTH)
            if preamble != info.preamble:
                expiry = file.expiry_of(preamble, info.state, id)
                info = replace(info, expiry=expiry, preamble=preamble)
        if self.expired(info.expiry):
            self._erase(handle, sync=False)  # it stays expired
            return None
        if handle.info is None:
            checked = file.check_header(handle.fd, info, id)
            if checked is not info:
                file.warn_of_foreign_lines()
                info = checked
            if info.torn and not info.damaged:
                file.repair(handle.fd, info)
                info = replace(info, torn=0)
        if partition is not None:
            handle.info = info
        return info

    def _add(
        self, handle: Handle, state: framing.State, lines: list[bytes], header: bytes | None = None
    ) -> Steps[framing.State]:
        assert handle.info is not None
        state = yield from file.append(_fd(handle), state, lines, header, sync=self._sync)
        info = handle.info
        handle.info = FileInfo(info.partition, info.id, state, state.expiry, info.preamble)
        return state

    def _write_whole(
        self, handle: Handle, partition: Partition, id: str, header: Header, messages: Sequence[bytes], expiry: int
    ) -> None:
        """Replace the file of a conversation.

        At any moment, also after a crash, a reader finds the old file or the new one.
        """
        temporary, path = handle.base + TEMPORARY, handle.base + LOG
        remove(temporary)  # of a process that was killed
        fd = open_file(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            try:
                file.write_new(fd, partition, id, header, messages, expiry, sync=self._sync)
            finally:
                os.close(fd)
            if handle.exists and handle.fd is None:
                remove(path)  # a file cannot replace a directory
            with synced_entries(os.path.dirname(path), sync=self._sync):  # noqa: PTH120
                handle.forget()  # Windows replaces no file that is open
                os.replace(temporary, path)  # noqa: PTH105
        except BaseException:
            remove(temporary)
            raise
        handle.exists = True

    def _erase(self, handle: Handle, *, sync: bool) -> None:
        with synced_entries(os.path.dirname(handle.base), sync=sync):  # noqa: PTH120
            handle.forget()
            remove(handle.base + TEMPORARY)
            remove(handle.base + LOG)

    def _expiry(self, ttl_ms: int | None) -> int:
        return 0 if ttl_ms is None else round(self._timer() * 1000) + ttl_ms

    def _renewed_expiry(self, expiry: int, life: Lifetime) -> int:
        return expiry if life.again_ms is None else self._expiry(life.again_ms)


def _fd(handle: Handle) -> int:
    assert handle.fd is not None
    return handle.fd


def _messages(handle: Handle, info: FileInfo, last: int | None) -> tuple[int, list[bytes]]:
    """Return the number of messages, and the last ones (None: all); a damaged end counts as one.

    For damaged messages and for a damaged end the text is empty, as in `file.read_messages`.
    """
    fd, state = _fd(handle), info.state
    if not info.damaged:
        return state.count, file.read_messages(fd, state, last)
    if last == 0:
        return state.count + 1, []
    return state.count + 1, [*file.read_messages(fd, state, None if last is None else last - 1), b""]


def _header(handle: Handle, info: FileInfo, id: str) -> Header:
    header, _ = read_envelope(file.read_header(_fd(handle), info.state, id), id)
    return replace(header, created_at=info.state.created_at, updated_at=info.state.updated_at)
