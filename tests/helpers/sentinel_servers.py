"""Three sentinels that watch a primary and two replicas, all real, on free loopback ports."""

import secrets
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Self, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis_server import Server, free_port

from greentic_session._servers.server import Throwaway

__all__ = ["NAME", "Fleet", "start_sentinel"]

NAME = "flows"
"""What the sentinels call the service."""
_CONF = """
port {port}
bind 127.0.0.1
dir {folder}
sentinel monitor {name} 127.0.0.1 {primary} 2
sentinel down-after-milliseconds {name} {down_after}
sentinel failover-timeout {name} {failover}
sentinel parallel-syncs {name} 2
"""


class Fleet(Throwaway):
    """A service with its sentinels; its servers can be killed, and started again.

    Args:
        password: What the servers want.
        sentinel_password: What the sentinels want.
        down_after_ms: When a server that does not answer is taken for dead, and in eight times that
            a switch is given up. With a minute they switch only when they are asked to.
    """

    def __init__(
        self, *, password: str | None = None, sentinel_password: str | None = None, down_after_ms: int = 500
    ) -> None:
        self.password = password
        self.sentinel_password = sentinel_password
        self._times_ms = {"down_after": down_after_ms, "failover": 8 * down_after_ms}
        secret = [] if password is None else ["--requirepass", password, "--masterauth", password]
        quick = ["--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"]
        self.servers = [Server(*secret, *quick) for _ in range(3)]
        self.sentinels: list[int] = []
        self._processes: list[subprocess.Popen[bytes]] = []

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        for server in self.servers:
            server.close()

    def start(self) -> Self:
        first = self.servers[0].start()
        for server in self.servers[1:]:
            server.options = (*server.options, "--replicaof", "127.0.0.1", str(first.port))
            server.start()
        for server in self.servers[1:]:
            self.until(partial(self._follows, server))
        self.catch_up(first)
        self.sentinels = [free_port() for _ in range(3)]
        ids = [secrets.token_hex(20) for _ in range(3)]
        for number, port in enumerate(self.sentinels):
            conf = Path(first.folder) / f"sentinel-{number}.conf"
            text = _CONF.format(port=port, folder=first.folder, name=NAME, primary=first.port, **self._times_ms)
            # What they would find out within two seconds.
            text += f"sentinel myid {ids[number]}\n"
            text += "".join(f"sentinel known-replica {NAME} 127.0.0.1 {server.port}\n" for server in self.servers[1:])
            others = [pair for pair in zip(self.sentinels, ids, strict=True) if pair[0] != port]
            text += "".join(f"sentinel known-sentinel {NAME} 127.0.0.1 {other} {id}\n" for other, id in others)
            if self.password is not None:
                text += f"sentinel auth-pass {NAME} {self.password}\n"
            if self.sentinel_password is not None:
                text += f"requirepass {self.sentinel_password}\nsentinel sentinel-pass {self.sentinel_password}\n"
            conf.write_text(text, encoding="ascii")
            self._processes.append(start_sentinel(first.binary, conf))
        self.until(self.is_settled)
        return self

    def _follows(self, server: Server) -> bool:
        return self.role(server)[3:4] == [b"connected"]

    # -- what there is

    @property
    def hosts(self) -> str:
        return ",".join(f"127.0.0.1:{port}" for port in self.sentinels)

    @property
    def url(self) -> str:
        user = "" if self.password is None else f":{self.password}@"
        return f"redis+sentinel://{user}{self.hosts}/{NAME}"

    @property
    def primary(self) -> Server:
        """The server that the sentinels agree on."""
        found = {int(self.ask(number, "GET-MASTER-ADDR-BY-NAME", NAME)[1]) for number in range(3)}
        assert len(found) == 1, "the sentinels do not agree yet"
        return next(server for server in self.servers if server.port in found)

    @property
    def replicas(self) -> list[Server]:
        primary = self.primary
        return [server for server in self.servers if server is not primary]

    def raw(self, server: Server) -> redis.Redis:
        return server.client(password=self.password)

    def role(self, server: Server) -> list[Any]:
        with self.raw(server) as raw:
            return cast("list[Any]", raw.execute_command("ROLE"))

    def ask(self, number: int, *words: str) -> Any:
        """Return what a sentinel says of the service."""
        return self.ask_any(number, "SENTINEL", *words)

    def ask_any(self, number: int, *command: str) -> Any:
        """Return what a sentinel answers, as it came."""
        never = Retry(NoBackoff(), 0)
        with redis.Redis(port=self.sentinels[number], password=self.sentinel_password, protocol=2, retry=never) as raw:
            raw.response_callbacks.clear()
            return raw.execute_command(*command)

    def calls(self, server: Server, command: str) -> int:
        """Return how many times a server was asked to execute a command."""
        with self.raw(server) as raw:
            stats: Any = raw.info("commandstats")
        return int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])

    # -- what happens

    def catch_up(self, primary: Server) -> None:
        """Return when both replicas have the primary's data; the first time takes a second."""
        with self.raw(primary) as raw:
            raw.set("nothing", "")
            raw.delete("nothing")
            assert raw.execute_command("WAIT", 2, 9_000) == 2

    def fail_over(self) -> None:
        """Ask for a switch, whatever is broken; return when it has begun."""

        def has_begun() -> bool:
            try:
                return bool(self.ask(0, "FAILOVER", NAME))
            except redis.ResponseError as error:
                if "NOGOODSLAVE" in str(error):  # this sentinel has not looked at the replicas lately
                    return False
                raise

        self.until(has_begun)

    def pause_sentinel(self, number: int) -> None:
        self._processes[number].send_signal(signal.SIGSTOP)

    def resume_sentinel(self, number: int) -> None:
        self._processes[number].send_signal(signal.SIGCONT)

    def kill_sentinel(self, number: int) -> None:
        self._processes[number].kill()
        self._processes[number].wait()

    def is_settled(self) -> bool:
        """Say whether the sentinels know each other, and one primary with its two replicas."""
        try:
            for number in range(3):
                master = _fields(self.ask(number, "MASTER", NAME))
                if (master["flags"], master["num-other-sentinels"], master["num-slaves"]) != ("master", "2", "2"):
                    return False
                if any(_fields(each)["flags"] != "slave" for each in self.ask(number, "REPLICAS", NAME)):
                    return False
            primary = self.primary
            return self.role(primary)[0] == b"master" and all(map(self._follows, self.replicas))
        except (redis.RedisError, AssertionError):
            return False

    @staticmethod
    def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
        give_up = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < give_up, "it does not come to pass"
            time.sleep(0.02)


def start_sentinel(binary: str, conf: Path) -> subprocess.Popen[bytes]:
    """Start a sentinel, which may write to its configuration; whoever starts it kills it."""
    return subprocess.Popen([binary, str(conf), "--sentinel"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _fields(flat: list[bytes]) -> dict[str, str]:
    texts = [each.decode() for each in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))
