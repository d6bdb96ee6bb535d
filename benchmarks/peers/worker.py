"""Worker in a peer's environment: ``python -m benchmarks.peers.worker MODULE LOOP``.

Reads a request from each line of its input, as JSON, and writes the answer on a line of its output.
Requests are ``open``, ``fill`` and ``run``; the last one is measured by the code that measures all
contestants, with the cyclic garbage collector off.
"""

import asyncio
import gc
import importlib
import importlib.metadata
import json
import os
import sys
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TextIO

from benchmarks.harness.measuring import closed_loop, task_per_argument
from benchmarks.harness.server_time import watch

__all__ = ["FILLING_TASKS", "Adapter", "PeerCall"]

FILLING_TASKS = 50
"""Tasks that call at once where nothing is timed."""
_REPORTED_DISTRIBUTIONS = (
    "aiogram",
    "langgraph-checkpoint-aws",
    "langgraph-checkpoint-sqlite",
    "aiosqlite",
    "google-adk",
    "sqlalchemy",
    "openai-agents",
    "py-key-value-aio",
    "redis",
    "valkey",
    "hiredis",
    "libvalkey",
)

PeerCall = tuple[Callable[[int], Awaitable[object]], Callable[[int], Awaitable[object]] | None]
"""Call for a user, and a call that prepares it and is not timed, or None."""


class Adapter(Protocol):
    """Adapter of one peer: each module ``with_*`` has a class of this name.

    Its arguments are the settings that `PeerProcess.start` is given.
    """

    @abstractmethod
    async def fill(self, users: int, snapshot: str) -> None:
        """Store this snapshot for each user, in an empty server."""

    @abstractmethod
    def operations(self) -> Mapping[str, PeerCall]:
        """Return the peer's calls by the name of the operation of ours that they compare with."""


class Worker:
    """Worker with one adapter, which the request ``open`` makes."""

    def __init__(self, make: Callable[..., Adapter]) -> None:
        self._make = make
        self._adapter: Adapter | None = None

    async def answer(self, request: dict[str, Any]) -> Any:
        match request:
            case {"do": "open", "settings": settings}:
                self._adapter = self._make(**settings)
                watch(settings.get("port"))
                return {name: version for name in _REPORTED_DISTRIBUTIONS if (version := _version(name))}
            case {"do": "fill", "users": users, "snapshot": snapshot}:
                assert self._adapter is not None
                await self._adapter.fill(users, snapshot)
                gc.collect()
                gc.freeze()
                return None
            case {"do": "run", "operation": operation, "tasks": tasks, "users": users}:
                return await self._run(operation, tasks, users)
            case _:
                raise ValueError(request)

    async def _run(self, operation: str, tasks: int | None, users: Sequence[int]) -> dict[str, Any]:
        assert self._adapter is not None
        call, prepare = self._adapter.operations()[operation]
        if prepare is not None:
            await closed_loop(prepare, FILLING_TASKS)(users)
        gc.collect()
        gc.disable()
        try:
            sample = await (task_per_argument(call) if tasks is None else closed_loop(call, tasks))(users)
        finally:
            gc.enable()
        assert sample is not None
        times = {"wall_ns": sample.wall_ns, "cpu_ns": sample.cpu_ns, "server_ns": sample.server_ns}
        return {**times, "latencies_ns": list(sample.latencies_ns)}


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


async def _serve(module: str, answers: TextIO) -> None:
    worker: Worker | None = None
    for line in sys.stdin:  # blocks the event loop, which has nothing else to do between two requests
        try:
            if worker is None:
                worker = Worker(importlib.import_module(f"benchmarks.peers.{module}").Adapter)
            answer = {"answer": await worker.answer(json.loads(line))}
        except Exception as failure:  # noqa: BLE001  # the benchmark reports it, whatever it is
            error = failure
            while isinstance(error, ExceptionGroup):  # of several tasks: the first error is enough
                error = error.exceptions[0]
            answer = {"error": " ".join(f"{type(error).__name__}: {error}".split())}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main() -> None:
    _, module, loop = sys.argv
    # What a peer prints goes to stderr, so that it is not taken for an answer.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    factory = importlib.import_module("uvloop").new_event_loop if loop == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_serve(module, answers))


if __name__ == "__main__":
    main()
