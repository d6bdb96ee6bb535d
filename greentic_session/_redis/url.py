"""From a URL to the connection that redis-py should make."""

import re
from collections.abc import Mapping
from inspect import signature
from typing import Any
from urllib.parse import parse_qs, urlsplit

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection, parse_url

from greentic_session.errors import InvalidInputError
from greentic_session.expiry import Seconds, milliseconds

from .scheme import check_scheme

__all__ = ["connection_of", "is_cluster", "nodes_of"]

_DATABASE = re.compile(r"/?\d*")
_URL_OPTIONS = frozenset(
    (
        *("client_name", "db", "host", "password", "path", "port", "username"),
        *("socket_connect_timeout", "socket_keepalive", "socket_timeout"),
        *("ssl_ca_certs", "ssl_ca_data", "ssl_ca_path", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname"),
        *("ssl_ciphers", "ssl_keyfile", "ssl_password"),
        # Common, and not theirs to decide: see `client`.
        *("decode_responses", "health_check_interval", "protocol", "retry_on_timeout"),
    )
)
"""What a URL may say; redis-py would hand on anything, and take a word for a class."""


def connection_of(
    url: str, connect_timeout: Seconds, options: Mapping[str, Any]
) -> tuple[type[AbstractConnection], dict[str, Any]]:
    """Return the kind of connection that a URL asks for, and its settings.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``.
        connect_timeout: For how many seconds connecting may take, unless the URL says.
        options: Settings that go before those of the URL.

    Raises:
        InvalidInputError: The URL cannot be read. Neither the message nor a cause quotes it: it may
            hold a password.
        TypeError: `url` is no str, or `connect_timeout` no length of time.
    """
    settings = _read(url)
    connection_class = settings.pop("connection_class", Connection)
    _check_known(connection_class, options)
    if not settings.keys() <= _URL_OPTIONS:
        raise InvalidInputError("the Redis URL has an option that it may not have")
    if not issubclass(connection_class, SSLConnection) and any(name.startswith("ssl_") for name in settings):
        raise InvalidInputError("the Redis URL has an option of rediss:// and is none")
    if connection_class is UnixDomainSocketConnection and not settings.get("path"):
        raise InvalidInputError("the Redis URL names no socket")
    settings.update(options)
    settings.setdefault("socket_connect_timeout", milliseconds(connect_timeout, "connect_timeout") / 1000)
    if issubclass(connection_class, SSLConnection):
        settings.setdefault("ssl_cert_reqs", "required")
        settings.setdefault("ssl_check_hostname", settings["ssl_cert_reqs"] != "none")
    return connection_class, settings


_CLUSTER = re.compile(r"(rediss?)\+cluster://(?:([^/?#]*)@)?([^/?#@]+)(/0?)?(\?.*)?", re.IGNORECASE | re.DOTALL)


def is_cluster(url: str) -> bool:
    """Say whether a URL names the nodes of a cluster."""
    return isinstance(url, str) and url.partition("://")[0].lower().endswith("+cluster")


def nodes_of(
    url: str, connect_timeout: Seconds, options: Mapping[str, Any]
) -> tuple[type[AbstractConnection], dict[str, Any], list[tuple[str, int]]]:
    """Return connection class, settings and first nodes of the URL of a cluster.

    Args:
        url: ``redis+cluster://[user:password@]host[:port][,host[:port]]``, or ``rediss+cluster://``
            for TLS.
        connect_timeout: As for `connection_of`.
        options: As for `connection_of`.

    Raises:
        InvalidInputError: As `connection_of`; or it asks for another database than 0.
        TypeError: As `connection_of`.
    """
    if not isinstance(url, str):
        raise TypeError(f"url must be a str, not {type(url).__name__}")
    found = _CLUSTER.fullmatch(url)
    if found is None:
        raise InvalidInputError("the Redis URL cannot be read")
    scheme, user, hosts, _, query = found.groups()
    prefix = f"{scheme}://" + (f"{user}@" if user is not None else "")
    nodes = []
    for host in hosts.split(","):
        if not host:
            raise InvalidInputError("the Redis URL cannot be read")
        connection_class, settings = connection_of(f"{prefix}{host}/{query or ''}", connect_timeout, options)
        if settings.pop("db", 0):
            raise InvalidInputError("a Redis cluster has no other database than 0")
        node = settings.pop("host", "localhost"), settings.pop("port", 6379)
        nodes.append((connection_class, settings, node))
    return nodes[0][0], nodes[0][1], [node for _, _, node in nodes]


def _check_known(connection_class: type[AbstractConnection], options: Mapping[str, Any]) -> None:
    known = {
        name
        for each in connection_class.__mro__
        if "__init__" in vars(each)
        for name in signature(vars(each)["__init__"]).parameters
    }
    for name in options:
        if name not in known or name in ("self", "args", "kwargs"):
            raise TypeError(f"{name} is no option of the store, nor of a Redis connection of this kind")


def _read(url: str) -> dict[str, Any]:
    check_scheme(url, "the Redis URL")
    scheme, separator, rest = url.partition("://")
    try:
        parts = urlsplit(url)
        settings = dict(parse_url(f"{scheme.lower()}{separator}{rest}"))
        options = parse_qs(parts.query, strict_parsing=bool(parts.query))
        # redis-py would take another host or another database, and say nothing. A part of a
        # password, too: one with a # or a ? in it that is not quoted ends the host there, and
        # messages name the host.
        strange = not separator or "#" in url or (scheme.lower() != "unix" and not _DATABASE.fullmatch(parts.path))
    except (ValueError, TypeError):
        raise InvalidInputError("the Redis URL cannot be read") from None
    if strange or "connection_class" in options:
        raise InvalidInputError("the Redis URL cannot be read")
    return settings
