"""Processor time of the Redis server: differences of what INFO tells.

Needs nothing but the standard library: a peer's process uses it in an environment of its own.
"""

import socket

__all__ = ["used_ns", "watch"]

_FIELDS = (b"used_cpu_user:", b"used_cpu_sys:")
_TIMEOUT_S = 60.0
_CHUNK_BYTES = 4096
_watched: list[socket.socket] = []


def watch(port: int | None) -> None:
    """Watch the server at a loopback port, in place of the one that was watched; None: no more."""
    for connection in _watched:
        connection.close()
    _watched[:] = [] if port is None else [socket.create_connection(("127.0.0.1", port), _TIMEOUT_S)]


def used_ns() -> int:
    """Return the nanoseconds of processor time that the server has used; 0 if none is watched."""
    if not _watched:
        return 0
    connection = _watched[0]
    connection.sendall(b"INFO cpu\r\n")
    answer = b""
    while b"\r\n" not in answer:
        answer += connection.recv(_CHUNK_BYTES)
    head, _, info = answer.partition(b"\r\n")
    while len(info) < int(head[1:]) + 2:
        info += connection.recv(_CHUNK_BYTES)
    seconds = [float(line.split(b":")[1]) for line in info.splitlines() if line.startswith(_FIELDS)]
    return round(sum(seconds) * 1e9)
