"""Runs in a peer's environment: ``python -m benchmarks.peers.worker MODULE LOOP``.

Reads a question from each line of its input, as JSON, and writes the answer on a line of its output: ``open``, ``fill`` and
``run``. What `run` took is measured here, by the code that measures the others, with the cyclic collector off meanwhile.
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

from benchmarks.harness.measuring import closed_loop, own_loops

__all__ = ["Adapter", "Doing"]

PREPARING_TASKS = 50
SHOWN = (
    "aiogram",
    "langgraph-checkpoint-aws",
    "openai-agents",
    "py-key-value-aio",
    "redis",
    "valkey",
    "hiredis",
    "libvalkey",
)

Doing = tuple[Callable[[int], Awaitable[object]], Callable[[int], Awaitable[object]] | None]
"""An operation for a user; and what brings about that it can be done once more, not timed."""


class Adapter(Protocol):
    """Calls one peer. The class `Adapter` of each module here is one, made with what `PeerProcess.start` is given for it."""

    @abstractmethod
    async def fill(self, users: int, snapshot: str) -> None:
        """Store this text for each user, in an empty server."""

    @abstractmethod
    def operations(self) -> Mapping[str, Doing]:
        """Return what stands beside our operations, by their names."""


class Worker:
    """Answers questions."""

    def __init__(self, make: Callable[..., Adapter]) -> None:
        self._make = make
        self._adapter: Adapter | None = None

    async def answer(self, question: dict[str, Any]) -> Any:
        match question:
            case {"do": "open", "settings": settings}:
                self._adapter = self._make(**settings)
                return {name: version for name in SHOWN if (version := _version(name))}
            case {"do": "fill", "users": users, "snapshot": snapshot}:
                assert self._adapter is not None
                await self._adapter.fill(users, snapshot)
                gc.collect()
                gc.freeze()
                return None
            case {"do": "run", "operation": operation, "tasks": tasks, "users": users}:
                return await self._run(operation, tasks, users)
            case _:
                raise ValueError(question)

    async def _run(self, operation: str, tasks: int | None, users: Sequence[int]) -> dict[str, Any]:
        assert self._adapter is not None
        call, prepare = self._adapter.operations()[operation]
        if prepare is not None:
            await closed_loop(prepare, PREPARING_TASKS)(users)
        gc.collect()
        gc.disable()
        try:
            spent = await (own_loops(call) if tasks is None else closed_loop(call, tasks))(users)
        finally:
            gc.enable()
        assert spent is not None
        return {"wall": spent.wall, "cpu": spent.cpu, "latencies": list(spent.latencies)}


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


async def _serve(module: str, answers: TextIO) -> None:
    worker: Worker | None = None
    for line in sys.stdin:  # nothing else runs in this loop between two questions, so it may wait here
        try:
            if worker is None:
                worker = Worker(importlib.import_module(f"benchmarks.peers.{module}").Adapter)
            answer = {"answer": await worker.answer(json.loads(line))}
        except Exception as failure:  # noqa: BLE001  # whatever it is, the peer cannot: the parent says so
            error = failure
            while isinstance(error, ExceptionGroup):  # of several tasks: the first one's tells enough
                error = error.exceptions[0]
            answer = {"error": " ".join(f"{type(error).__name__}: {error}".split())}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main() -> None:
    _, module, loop = sys.argv
    # What a peer prints is not to be taken for an answer.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    factory = importlib.import_module("uvloop").new_event_loop if loop == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_serve(module, answers))


if __name__ == "__main__":
    main()
