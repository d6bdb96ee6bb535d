"""From the URL of a service that sentinels watch to a client of it."""

import re
from collections.abc import Mapping
from ipaddress import IPv6Address
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlencode

import msgspec
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection, ConnectionPool, SSLConnection
from redis.asyncio.sentinel import Sentinel

from greentic_session._base.hiding import Secret, outline
from greentic_session.errors import InvalidInputError

__all__ = ["Service", "caller_client_of_service", "service_of"]

_SCHEMES = {"redis+sentinel": "redis", "rediss+sentinel": "rediss"}
"""And the schemes of the servers that the sentinels watch."""
_DEFAULT_PORT = 26379
_HOST = re.compile(r"(?:\[(?P<ipv6>[^\]]+)\]|(?P<name>[^\s\[\]:@%\x00-\x1f\x7f]+))(?::(?P<port>\d{1,5}))?")
_NAME = re.compile(r"[A-Za-z0-9._-]+")  # as redis.conf of a sentinel has it; so no message quotes a mistyped password
_CREDENTIALS = {"sentinel_username": "username", "sentinel_password": "password"}
"""Options of ours, and what redis-py calls them on a connection to a sentinel."""
_ADDRESS_OPTIONS = ("host", "path", "port")
_SERVER_OPTIONS = ("db", "password", "username", *_ADDRESS_OPTIONS)

_Options: TypeAlias = Mapping[str, Any]


class Service(Secret, msgspec.Struct):
    """A service, and how to ask for it.

    Attributes:
        name: What the sentinels call it.
        sentinels: Their hosts and ports.
        credentials: Theirs, as arguments of a connection.
    """

    name: str
    sentinels: list[tuple[str, int]]
    credentials: dict[str, Any]

    def __repr__(self) -> str:
        return outline(self, "credentials", name=getattr(self, "name", None), sentinels=getattr(self, "sentinels", None))


def service_of(url: str, options: _Options) -> tuple[Service | None, str, _Options]:
    """Return the service that a URL names, and the URL and the options of its servers.

    Args:
        url: ``redis+sentinel://[user:password@]host[:port],.../service[/db]``, or
            ``rediss+sentinel://`` for TLS, to the sentinels too. User and password are those of the
            servers; the sentinels' are the options ``sentinel_username`` and ``sentinel_password``,
            of the URL or given. Any other URL names no service, and comes back as it is.
        options: Settings that go before those of the URL.

    Raises:
        InvalidInputError: The URL cannot be read. The message quotes nothing of it.
    """
    scheme, _, rest = url.partition("://") if isinstance(url, str) else ("", "", "")
    if scheme.lower() not in _SCHEMES:
        return None, url, options
    if "#" in rest:
        raise InvalidInputError("the Redis URL cannot be read")
    place, _, query = rest.partition("?")
    authority, _, path = place.partition("/")
    user, at, hosts = authority.rpartition("@")
    name, slash, db = path.partition("/")
    if not _NAME.fullmatch(name):
        raise InvalidInputError("the Redis URL names no service: redis+sentinel://host:port,host:port/service")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise InvalidInputError("the Redis URL cannot be read") from None
    given = {**dict(reversed(pairs)), **options}
    if not given.keys().isdisjoint(_ADDRESS_OPTIONS):
        raise InvalidInputError("the Redis URL names sentinels, which know the host: it is no option")
    credentials = {theirs: given[ours] for ours, theirs in _CREDENTIALS.items() if ours in given}
    others = urlencode([pair for pair in pairs if pair[0] not in _CREDENTIALS])
    servers = f"{_SCHEMES[scheme.lower()]}://{user}{at}sentinel{slash}{db}{others and '?'}{others}"
    service = Service(name, [_sentinel(host) for host in hosts.split(",")], credentials)
    return service, servers, {name: value for name, value in options.items() if name not in _CREDENTIALS}


def _sentinel(text: str) -> tuple[str, int]:
    found = _HOST.fullmatch(text)
    port = int(found["port"] or _DEFAULT_PORT) if found else 0
    if not found or not 0 < port < 2**16:
        raise InvalidInputError("the Redis URL names sentinels in a way that cannot be read: host[:port],host[:port]")
    if found["name"]:
        return found["name"], port
    try:
        return str(IPv6Address(found["ipv6"])), port
    except ValueError:
        raise InvalidInputError("the Redis URL has brackets around what is no IPv6 address") from None


def caller_client_of_service(service: Service, connection_class: type[AbstractConnection], settings: _Options) -> Redis:
    """Return a client of the primary of a service.

    No I/O; a client that was not used need not be closed.

    Args:
        service: Which one.
        connection_class: How to connect to the servers, and to the sentinels.
        settings: Its arguments; those to the sentinels are the same but for the place, the database
            and the credentials.
    """
    ours = {name: value for name, value in settings.items() if name not in _ADDRESS_OPTIONS}
    theirs = {name: value for name, value in settings.items() if name not in _SERVER_OPTIONS} | service.credentials
    manager = Sentinel([], **ours)  # type: ignore[no-untyped-call]  # redis-py says nothing of it
    manager.sentinels = [
        Redis(connection_pool=ConnectionPool(connection_class=connection_class, host=host, port=port, **theirs))
        for host, port in service.sentinels
    ]
    client: Redis = manager.master_for(service.name, ssl=issubclass(connection_class, SSLConnection))
    return client
