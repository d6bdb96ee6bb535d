"""Processes of Runners on one store, some killed and some stopped, and the history of all."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio

from greentic_session import create_session_store
from greentic_session.store import SessionStore

from .recording import History, RecordingBackend
from .workers import LEASE_S, PROCESSES, begun_at, name, owner_of, park_all, scope_of

__all__ = ["Fleet", "outlive"]

_GIVE_UP_S = 300.0
_HELPERS = Path(__file__).parent.parent


class Fleet:
    """Four processes of Runners, as a context manager.

    Args:
        url: Of the store.
        folder: For their records.
        places: How many places there are.
        each: How many replies each of them gets.

    Attributes:
        deliveries: Number of replies to all places.
    """

    def __init__(self, url: str, folder: Path, *, places: int, each: int) -> None:
        self._url = url
        self._records = [str(folder / f"record-{number}") for number in range(PROCESSES)]
        self._last = str(folder / "record-last")
        self.deliveries = places * each
        self._places = places
        self._each = each
        self._processes: list[subprocess.Popen[bytes]] = []
        self._history = History()
        self._read: dict[str, int] = {}

    def __enter__(self) -> Self:
        anyio.run(self._park)
        for path in self._records:
            Path(path).touch()
        self._processes = [self._start(number) for number in range(PROCESSES)]
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.kill()
            process.wait()

    def kill_one(self, chance: random.Random) -> None:
        """End a process as a power cut would, and start another one."""
        number = chance.randrange(PROCESSES)
        self._processes[number].kill()
        assert self._processes[number].wait() == -signal.SIGKILL, "it had ended by itself"
        self._processes[number] = self._start(number)

    def stop_one(self, chance: random.Random) -> None:
        """Stop a process for longer than its leases, and let it go on."""
        process = self._processes[chance.randrange(PROCESSES)]
        process.send_signal(signal.SIGSTOP)
        time.sleep(1.5 * LEASE_S)
        process.send_signal(signal.SIGCONT)

    def wait_for(self, share: float) -> None:
        """Return when such a share of all deliveries was accepted."""
        give_up = time.monotonic() + _GIVE_UP_S
        while len(self._history.accepted) < share * self.deliveries:
            assert time.monotonic() < give_up, "it goes on for too long"
            time.sleep(0.1)
            self._read_all()

    def _read_all(self) -> None:
        for path in self._records:
            self._read_on(path)

    def is_done(self) -> bool:
        """Say whether everything was accepted and nothing is left, and all processes have begun.

        One that was started last may have had nothing to do.
        """
        assert all(process.poll() is None for process in self._processes), "a process ended by itself"
        self._read_all()
        begun = [begun_at(record, each.pid).exists() for record, each in zip(self._records, self._processes, strict=True)]
        return all(begun) and len(self._history.accepted) == self._places * self._each and anyio.run(self._is_empty)

    def finish(self) -> History:
        """Wait until all is done; end the processes, and return the history."""
        give_up = time.monotonic() + _GIVE_UP_S
        while not self.is_done():
            assert time.monotonic() < give_up, "it goes on for too long"
            time.sleep(2)
        for process in self._processes:
            process.terminate()
        codes = [process.wait(30) for process in self._processes]
        assert codes == [0] * PROCESSES, codes
        anyio.run(self._look, self._last)
        for path in [*self._records, self._last]:
            self._read_on(path)
        return self._history

    def _read_on(self, path: str) -> None:
        """Add to the history what a record has told since it was read."""
        with Path(path).open("rb") as file:
            file.seek(self._read.get(path, 0))
            *lines, _ = file.read().split(b"\n")
        self._read[path] = self._read.get(path, 0) + sum(len(line) + 1 for line in lines)
        self._history.add(line.decode() for line in lines)

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        arguments = [self._url, str(number), self._records[number], str(self._places), str(self._each)]
        paths = os.pathsep.join([str(_HELPERS), *filter(None, [os.environ.get("PYTHONPATH")])])
        return subprocess.Popen(  # our own program
            [sys.executable, "-m", "histories.workers", *arguments], env={**os.environ, "PYTHONPATH": paths}
        )

    async def _park(self) -> None:
        async with create_session_store(self._url) as store:
            await park_all(store, self._places)

    async def _is_empty(self) -> bool:
        async with create_session_store(self._url) as store:
            for place in range(self._places):
                owner = owner_of(place)
                if await store.inbox(owner, owner.user_id or "", scope_of(place)):
                    return False
        return True

    async def _look(self, path: str) -> None:
        """Read all inboxes for the record."""
        with Path(path).open("a", encoding="utf-8") as file:  # noqa: ASYNC230  # short lines
            async with create_session_store(self._url) as inner:
                store = SessionStore(RecordingBackend(inner.backend, file.write, "last"))
                for place in range(self._places):
                    owner = owner_of(place)
                    await store.inbox(owner, owner.user_id or "", scope_of(place))
                    assert await store.find_wait_by_scope(owner, owner.user_id or "", scope_of(place)) == name(place)


def outlive(fleet: Fleet, incidents: Sequence[Callable[[], None]]) -> None:
    """Cause incidents one after the other, spread over the deliveries, and check the history.

    Each accepted reply has one verdict or lies there still.
    """
    for number, incident in enumerate(incidents, start=1):
        fleet.wait_for(number / (len(incidents) + 1))
        incident()
    history = fleet.finish()
    assert len(history.accepted) == fleet.deliveries >= history.verdicts()
    history.check()
