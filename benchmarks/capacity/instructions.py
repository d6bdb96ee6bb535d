"""Instructions of client and server for a call, counted by callgrind.

The same number on a busy machine as on a quiet one. A process that runs under callgrind is counted
as a whole, so each count is the difference of two runs, divided by the difference of their calls:
start-up, connecting and filling cancel out.
"""

import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import redis

from benchmarks.harness.report import Row
from benchmarks.harness.results import size_text
from greentic_session._servers.server import Server, free_port

from .calls import USERS

__all__ = ["HOW_TO_GET_VALGRIND", "count_instructions", "has_valgrind"]

HOW_TO_GET_VALGRIND = "instructions are counted where valgrind is installed: apt install valgrind"
_ROOT = Path(__file__).parent.parent.parent
_SERVER_TIMEOUT_S = 60.0
_SIZE_BYTES = 4096
_SILENT: Final = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
_TOTAL = re.compile(r"^(?:totals|summary): (\d+)", re.MULTILINE)


def has_valgrind() -> bool:
    return shutil.which("valgrind") is not None


def count_instructions(binary: str, operations: Sequence[str], calls: int, tick: Callable[[], object]) -> list[Row]:
    """Return thousands of instructions for a call of each operation, of server and client.

    Args:
        binary: The redis-server to be run.
        operations: Some of `OPERATIONS`.
        calls: Calls of the longer run; the shorter one makes half of them.
        tick: Called after each run.
    """
    rows: list[Row] = []
    most, few = max(calls // USERS, 2) * USERS, max(calls // USERS // 2, 1) * USERS
    for operation in operations:
        for name, count in (("server", _of_server), ("client", _of_client)):
            counts = []
            for made in (few, most):
                counts.append(count(binary, operation, made))
                tick()
            value = (counts[1] - counts[0]) / (most - few) / 1000
            rows.append(
                Row(
                    measurement=f"{operation}, {USERS} tasks, {size_text(_SIZE_BYTES)}",
                    contestant=name,
                    value=value,
                    unit="k instructions",
                )
            )
    return rows


def _arguments(port: int, operation: str, calls: int) -> list[str]:
    url = f"redis://127.0.0.1:{port}"
    return [sys.executable, "-m", "benchmarks.capacity.calls", url, operation, str(_SIZE_BYTES), str(calls)]


def _of_server(binary: str, operation: str, calls: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        options = ["--port", str(port), "--save", "", "--hz", "1", "--dir", folder]
        process = subprocess.Popen(
            [*_callgrind(folder), binary, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            _wait_until_up(port)
            subprocess.run(_arguments(port, operation, calls), cwd=_ROOT, check=True)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(_SERVER_TIMEOUT_S)
        return _counted(folder)


def _of_client(binary: str, operation: str, calls: int) -> int:
    with tempfile.TemporaryDirectory() as folder, Server(binary) as server:
        command = [*_callgrind(folder), *_arguments(server.port, operation, calls)]
        subprocess.run(
            command, cwd=_ROOT, check=True, stderr=subprocess.DEVNULL, env={"PYTHONHASHSEED": "0", "PATH": "/usr/bin:/bin"}
        )
        return _counted(folder)


def _callgrind(folder: str) -> Sequence[str]:
    return ("valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/counts")


def _wait_until_up(port: int) -> None:
    give_up = time.monotonic() + _SERVER_TIMEOUT_S
    with redis.Redis(port=port) as client:
        while True:
            try:
                client.ping()
            except redis.ConnectionError:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.05)
            else:
                return


def _counted(folder: str) -> int:
    found = _TOTAL.search((Path(folder) / "counts").read_text(encoding="utf-8"))
    assert found is not None
    return int(found[1])
