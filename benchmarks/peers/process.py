"""A peer's process, as the benchmark sees it: it is told what to call, calls it, and says what that took."""

import asyncio
import json
import tempfile
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Self

from benchmarks.harness.measuring import Contestant, Spent

from .catalogue import Peer

__all__ = ["PeerFailedError", "PeerProcess"]

ROOT = Path(__file__).parent.parent.parent
LONGEST_LINE = 2**26
GOODBYE = 5.0
PATIENCE = 120.0
"""Seconds for an answer: no block takes nearly as long."""


class PeerFailedError(Exception):
    """A peer's process ended, or said that it cannot; the message says why, in one line.

    Attributes:
        peer: Which peer's.
    """

    def __init__(self, peer: Peer, why: str) -> None:
        super().__init__(why)
        self.peer = peer


class PeerProcess:
    """A process that works with one peer.

    Attributes:
        peer: Which one.
        versions: What is installed there, by distribution.
    """

    def __init__(self, peer: Peer, process: asyncio.subprocess.Process, errors: IO[bytes]) -> None:
        self.peer = peer
        self.versions: dict[str, str] = {}
        self._process = process
        self._errors = errors

    @classmethod
    async def start(cls, peer: Peer, python: Path, *, loop: str, **settings: Any) -> Self:
        """Start it, and let it connect.

        Args:
            peer: Which one.
            python: The interpreter of its environment.
            loop: The event loop that it runs.
            settings: What its adapter is made with.

        Raises:
            PeerFailedError: It does not come up.
        """
        errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed by stop(); a pipe that nobody reads would fill up
        process = await asyncio.create_subprocess_exec(
            str(python),
            *("-m", "benchmarks.peers.worker", peer.module, loop),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            limit=LONGEST_LINE,
        )
        started = cls(peer, process, errors)
        try:
            started.versions = await started._ask(do="open", settings=settings)
        except BaseException:
            await started.stop()
            raise
        return started

    async def fill(self, users: int, snapshot: str) -> None:
        await self._ask(do="fill", users=users, snapshot=snapshot)

    def contestants(self, operation: str, tasks: int | None) -> list[Contestant]:
        """Return its way of doing an operation, by so many tasks; None: one for each user, and for that one only."""

        async def run(users: Sequence[int]) -> Spent:
            took = await self._ask(do="run", operation=operation, tasks=tasks, users=users)
            return Spent(calls=len(users), wall=took["wall"], cpu=took["cpu"], latencies=array("q", took["latencies"]))

        name = self.peer.calls.get(operation)
        return [] if name is None else [Contestant(name=name, pick=lambda user, _: user, run=run)]

    async def stop(self) -> None:
        """End it: it does so by itself when nobody asks any more."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), GOODBYE)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        self._errors.close()

    async def _ask(self, **question: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            await self._process.stdin.drain()
            line = await asyncio.wait_for(self._process.stdout.readline(), PATIENCE)
        except TimeoutError:
            self._process.kill()
            raise PeerFailedError(self.peer, f"no answer within {PATIENCE:g} s") from None
        except ConnectionError:
            line = b""
        if not line:
            raise PeerFailedError(self.peer, self._last_words())
        answer = json.loads(line)
        if "error" in answer:
            raise PeerFailedError(self.peer, answer["error"])
        return answer["answer"]

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "its process ended"
