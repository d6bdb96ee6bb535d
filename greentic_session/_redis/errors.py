"""The boundary where errors of Redis, its driver and the network become GreenticErrors."""

import re
import socket
import ssl
from collections.abc import Callable, Iterator

from redis import exceptions as driver
from redis.asyncio.sentinel import MasterNotFoundError

from greentic_session.errors import (
    GreenticError,
    InternalError,
    InvalidInputError,
    OperationTimeoutError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnavailableError,
)

__all__ = ["TlsTimeoutError", "is_demotion", "is_unresolved", "translate"]


class TlsTimeoutError(TimeoutError):
    """No connection in time, where TLS was asked for."""


_BY_CODE: dict[str, tuple[Callable[[str], GreenticError], str]] = {
    "ASK": (UnavailableError, "this Redis is a node of a cluster, and another one has the key"),
    "BUSY": (UnavailableError, "Redis is busy with a script of somebody's; end it with SCRIPT KILL"),
    "CLUSTERDOWN": (UnavailableError, "the Redis cluster is down"),
    "CROSSSLOT": (UnavailableError, "this Redis is a node of a cluster"),
    "LOADING": (UnavailableError, "Redis is still loading its data; try again in a moment"),
    "MASTERDOWN": (UnavailableError, "this Redis is a replica that has lost its primary"),
    "MISCONF": (UnavailableError, "Redis cannot save its data to disk and refuses writes; see its log"),
    "MOVED": (UnavailableError, "this Redis is a node of a cluster, and another one has the key"),
    "NOAUTH": (UnauthenticatedError, "Redis wants a password"),
    "NOPERM": (PermissionDeniedError, "the Redis user may not do this; README names the commands that it needs"),
    "NOREPLICAS": (UnavailableError, "Redis has too few replicas to accept writes"),
    "OOM": (UnavailableError, "Redis is out of memory: raise maxmemory, or let less be kept"),
    "READONLY": (UnavailableError, "this Redis is a read-only replica: connect to its primary"),
    "TRYAGAIN": (UnavailableError, "the Redis cluster is being resharded; try again"),
    "UNBLOCKED": (UnavailableError, "this Redis has become a replica"),
    "WRONGPASS": (UnauthenticatedError, "Redis refused the username or the password"),
    "WRONGTYPE": (InternalError, "a key of this namespace holds another type than it should: somebody else writes there"),
}  # fmt: skip

# A script's failure wraps the command's: "...: @user_script:7: -OOM command not allowed..." before
# Redis 7, and "OOM command not allowed... script: <sha>, on @user_script:7." since.
_CODE = re.compile(r"(?:^|: -?)(" + "|".join(_BY_CODE) + r")\b")

# Some have no code: what an ACL forbids within a script, before Redis 7 and since, and a database
# that is not there.
_BY_TEXT: dict[str, tuple[Callable[[str], GreenticError], str]] = {
    "The user executing the script can't": _BY_CODE["NOPERM"],
    "ACL failure in script": _BY_CODE["NOPERM"],
    "cluster support disabled": (UnavailableError, "this Redis is no node of a cluster: connect with redis:// or rediss://"),
    "DB index is out of range": (InvalidInputError, "Redis has no database of this number"),
    # Redis reads no more than ten words of a command, and none that is long, of who has given no
    # password.
    "unauthenticated": _BY_CODE["NOAUTH"],
    "max number of clients reached": (UnavailableError, "Redis has as many connections as its setting maxclients allows"),
}

_UNRESOLVED = (UnavailableError, "the name of the Redis host cannot be resolved")
_BY_ORIGIN: list[tuple[type[Exception], Callable[[str], GreenticError], str]] = [
    (socket.gaierror, *_UNRESOLVED),
    (UnicodeError, *_UNRESOLVED),  # no name of a host: a part of it is empty, or longer than 63 characters
    (ConnectionRefusedError, UnavailableError, "the connection to Redis failed: it was refused, nothing listens there"),
    (FileNotFoundError, UnavailableError, "the connection to Redis failed: a file is missing, its socket or a certificate"),
    (ssl.SSLCertVerificationError, UnavailableError, "the connection to Redis failed: its certificate is not trusted"),
    (
        TlsTimeoutError,
        OperationTimeoutError,
        "Redis did not answer the beginning of TLS in time: where it speaks none, the URL begins with redis://",
    ),
]
"""What redis-py wraps in errors of its own."""
_BY_CLASS: list[tuple[type[Exception], Callable[[str], GreenticError], str]] = [
    (driver.AuthenticationWrongNumberOfArgsError, UnauthenticatedError, "Redis refused the username or the password"),
    (driver.AuthenticationError, UnauthenticatedError, "Redis refused the username or the password, or wants one"),
    (driver.NoPermissionError, *_BY_CODE["NOPERM"]),
    (driver.BusyLoadingError, *_BY_CODE["LOADING"]),
    (driver.ReadOnlyError, *_BY_CODE["READONLY"]),
    (driver.OutOfMemoryError, *_BY_CODE["OOM"]),
    (driver.MasterDownError, *_BY_CODE["MASTERDOWN"]),
    (driver.ClusterDownError, *_BY_CODE["CLUSTERDOWN"]),
    (driver.AskError, UnavailableError, "this Redis is a node of a cluster, and another one has the key"),
    (driver.ClusterCrossSlotError, UnavailableError, "this Redis is a node of a cluster"),
    (driver.TryAgainError, *_BY_CODE["TRYAGAIN"]),
    (driver.InvalidResponse, UnavailableError, "what answers there does not speak Redis's protocol"),
    (driver.TimeoutError, OperationTimeoutError, "Redis did not answer in time"),
    (TimeoutError, OperationTimeoutError, "Redis did not answer in time"),
    (MasterNotFoundError, UnavailableError, "the sentinels lead to no primary"),
    (driver.ConnectionError, UnavailableError, "the connection to Redis failed"),
    (OSError, UnavailableError, "Redis cannot be reached"),
]
_DEMOTED = ("READONLY", "UNBLOCKED", "MASTERDOWN", "LOADING")


def is_demotion(text: str) -> bool:
    """Say whether an error is a replica's: of one, of a primary that becomes one, of a lone one."""
    return any(word in text for word in _DEMOTED)


def translate(error: Exception, node: str) -> GreenticError:
    """Return the GreenticError of a failure, to be raised from it.

    No part of a password or a key is in the message.

    Args:
        error: The driver's error, or the socket's.
        node: Where it happened; the message ends with it.
    """
    kind, message = _meaning(error)
    return kind(f"{message} ({node})")


def is_unresolved(error: BaseException) -> bool:
    """Say whether a failure is that of a host whose name leads nowhere."""
    return any(isinstance(origin, socket.gaierror | UnicodeError) for origin in _origins(error))


def _origins(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, what it was raised from, and so on."""
    origin: BaseException | None = error
    while origin is not None:
        yield origin
        origin = origin.__cause__ or origin.__context__


def _meaning(error: Exception) -> tuple[Callable[[str], GreenticError], str]:
    if isinstance(error, driver.ResponseError):
        found = _CODE.search(str(error))
        if found:
            return _BY_CODE[found[1]]
    if isinstance(error, driver.RedisError):
        for text, meaning in _BY_TEXT.items():
            if text in str(error):
                return meaning
    # Why one sentinel did not answer is not what matters.
    for origin in () if isinstance(error, MasterNotFoundError) else _origins(error):
        for cause, kind, message in _BY_ORIGIN:
            if isinstance(origin, cause):
                return kind, message
    for cause, kind, message in _BY_CLASS:
        if isinstance(error, cause):
            return kind, message
    return InternalError, "Redis refused a command of ours; the cause says why"
