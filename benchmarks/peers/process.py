"""Process of a peer, as the benchmark sees it: it makes the calls and returns their samples."""

import asyncio
import json
import os
import tempfile
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

from benchmarks.harness.measuring import Contestant
from benchmarks.harness.samples import Sample

from .catalogue import Peer

__all__ = ["PeerFailedError", "PeerProcess"]

_ROOT = Path(__file__).parent.parent.parent
_MAX_LINE_BYTES = 2**26
_STOP_TIMEOUT_S = 5.0
_ANSWER_TIMEOUT_S = 120.0
"""No block takes nearly as long."""


class PeerFailedError(Exception):
    """A peer's process ended or reported an error; the message gives the cause in one line.

    Attributes:
        peer: Peer that failed.
    """

    def __init__(self, peer: Peer, cause: str) -> None:
        super().__init__(cause)
        self.peer = peer


class PeerProcess:
    """Process that calls one peer.

    Attributes:
        peer: Peer that it calls.
        versions: Installed versions by distribution.
    """

    def __init__(self, peer: Peer, process: asyncio.subprocess.Process, errors: IO[bytes]) -> None:
        self.peer = peer
        self.versions: dict[str, str] = {}
        self._process = process
        self._errors = errors

    @classmethod
    async def start(
        cls, peer: Peer, python: Path, *, loop: str, environment: Mapping[str, str] | None = None, **settings: Any
    ) -> Self:
        """Start a process, and let its adapter connect to the server or open its file.

        Args:
            peer: Peer that it calls.
            python: Interpreter of the peer's environment.
            loop: Event loop of the process, ``asyncio`` or ``uvloop``.
            environment: Environment variables, besides those of this process.
            settings: Arguments of the peer's adapter.

        Raises:
            PeerFailedError: The process does not start.
        """
        errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed by stop(); a pipe that is not read would fill up
        process = await asyncio.create_subprocess_exec(
            str(python),
            *("-m", "benchmarks.peers.worker", peer.module, loop),
            cwd=_ROOT,
            env={**os.environ, **(environment or {})},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            limit=_MAX_LINE_BYTES,
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
        """Return the peer's way of doing an operation; none where nothing of it compares.

        Args:
            operation: Operation of our store.
            tasks: Number of tasks that share the users; None for one task for each user.
        """

        async def run(users: Sequence[int]) -> Sample:
            answer = await self._ask(do="run", operation=operation, tasks=tasks, users=users)
            latencies = array("q", answer["latencies_ns"])
            times = {name: answer[name] for name in ("wall_ns", "cpu_ns", "server_ns")}
            return Sample(calls=len(users), **times, latencies_ns=latencies)

        name = self.peer.calls.get(operation)
        return [] if name is None else [Contestant(name=name, pick=lambda user, _: user, run=run)]

    async def stop(self) -> None:
        """Stop the process: it ends when its input is closed, and is killed after a timeout."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), _STOP_TIMEOUT_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        self._errors.close()

    async def _ask(self, **request: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            await self._process.stdin.drain()
            line = await asyncio.wait_for(self._process.stdout.readline(), _ANSWER_TIMEOUT_S)
        except TimeoutError:
            self._process.kill()
            raise PeerFailedError(self.peer, f"no answer within {_ANSWER_TIMEOUT_S:g} s") from None
        except ConnectionError:
            line = b""
        if not line:
            raise PeerFailedError(self.peer, self._last_error())
        answer = json.loads(line)
        if "error" in answer:
            raise PeerFailedError(self.peer, answer["error"])
        return answer["answer"]

    def _last_error(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "its process ended"
