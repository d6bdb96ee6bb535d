"""A worker in a process: ``python -m greentic_session.demo.process NAME PATH LEASE PATIENCE``.

It writes what it does to its standard output, as JSON, a line each, and works until its standard
input ends.
"""

import sys

import anyio
import msgspec
from anyio import to_thread

from greentic_session import Runner, create_session_store
from greentic_session.conversation import create_conversation_store

from .worker import Report, Worker

__all__: list[str] = []


def _report(report: Report) -> None:
    # One write: lines of workers who share a pipe do not mix.
    sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    sys.stdout.buffer.flush()


async def _pay(attempt: int) -> None:
    """Wait for the bank, which takes its time today: somebody kills the worker meanwhile."""
    if attempt == 1:
        await anyio.sleep_forever()


async def _serve(name: str, path: str, lease: float, patience: float) -> None:
    url = f"sqlite:///{path}"
    async with create_session_store(url) as store, create_conversation_store(url) as conversations:
        worker = Worker(name=name, conversations=conversations, report=_report, pay=_pay, patience=patience)
        async with Runner(store, worker, lease=lease, shutdown_timeout=0.001):
            await to_thread.run_sync(sys.stdin.buffer.read)


if __name__ == "__main__":
    _name, _path, _lease, _patience = sys.argv[1:]
    anyio.run(_serve, _name, _path, float(_lease), float(_patience))
