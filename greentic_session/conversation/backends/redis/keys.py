"""Names of the Redis keys of conversations.

Below the namespace, and beside the keys of sessions, which never begin with ``conv:``:

=================================================  ======  ========================================
key                                                type    value
=================================================  ======  ========================================
``conv:recent:{env}:{tenant}:{team or -}``         zset    ids of the partition's conversations; the
                                                           score is minus updated_at
``conv:ends:{env}:{tenant}:{team or -}``           zset    ids of those that expire; the score is
                                                           the expiry in ms since the Unix epoch
``conv:head:{env}:{tenant}:{team or -}:{id}``      hash    a conversation's header, see `fields`
``conv:messages:{env}:{tenant}:{team or -}:{id}``  list    its messages, each a JSON text; no key
                                                           without messages
=================================================  ======  ========================================

Env, tenant and team hold no colon, and no team is called ``-``; an id may hold anything, so it
comes last. Two partitions or ids never share a key. Every script uses the keys of one partition
only.

On a cluster the hash tag ``{`` env ``:`` tenant ``:`` team or - ``}:`` precedes ``conv:``: each
partition has one slot, and the partitions use all slots.

A conversation exists if its header does. Its list of messages never expires before the header. The
two sets live as long as the longest lived of their conversations. The ids of expired conversations
stay in them until the next write or list in the partition; no operation relies on such an id.
"""

from greentic_session._redis.namespace import check_cluster_namespace, check_namespace
from greentic_session._redis.scanning import glob_of
from greentic_session.tenancy import NO_TEAM, Partition

__all__ = ["ClusterKeys", "Keys"]


class Keys:
    """Key names of one namespace.

    Raises:
        InvalidInputError: The namespace is empty or no valid Unicode.
        TypeError: It is no str.
    """

    def __init__(self, namespace: str) -> None:
        self._namespace = check_namespace(namespace)

    def index(self, partition: Partition) -> tuple[str, str]:
        """Return the keys of a partition's index by recency, and of its index by expiry."""
        prefix, joined = self._prefix(partition)
        return f"{prefix}:recent:{joined}", f"{prefix}:ends:{joined}"

    def conversation(self, partition: Partition, id: str) -> tuple[str, str]:
        """Return the keys of a conversation's header and messages; for the id "" their prefixes."""
        prefix, joined = self._prefix(partition)
        return f"{prefix}:head:{joined}:{id}", f"{prefix}:messages:{joined}:{id}"

    def pattern(self, env: str, tenant: str) -> bytes:
        """Return the SCAN pattern for the keys of a tenant.

        It may match keys of other tenants, too: see `parse`.
        """
        return glob_of(f"{self._namespace}:conv:", f"*:{env}:{tenant}:*")

    def heads(self) -> bytes:
        """Return the SCAN pattern for the headers of all conversations."""
        return glob_of(f"{self._namespace}:conv:head:")

    def parse(self, key: bytes) -> tuple[Partition, bytes]:
        """Return partition and id of a key.

        The id of an index key is empty; the partition of a foreign key has empty parts.
        """
        name = self._within(key)
        kind = name.partition(b":")[0]
        _, *parts = name.split(b":", 4)
        if (kind, len(parts)) not in _SHAPES:
            return ("", "", None), b""
        env, tenant, team = (part.decode("utf-8", "replace") for part in parts[:3])
        return (env, tenant, None if team == NO_TEAM else team), b"".join(parts[3:])

    def _prefix(self, partition: Partition) -> tuple[str, str]:
        """Return the prefix of a partition's keys, and the partition as one text."""
        return f"{self._namespace}:conv", _joined(partition)

    def _within(self, key: bytes) -> bytes:
        """Return a key without its prefix."""
        return key.removeprefix(f"{self._namespace}:conv:".encode())


class ClusterKeys(Keys):
    """Key names of one namespace on a cluster.

    Raises:
        InvalidInputError: The namespace is empty, no valid Unicode, or holds a brace, which on a
            cluster has a meaning.
        TypeError: It is no str.
    """

    def __init__(self, namespace: str) -> None:
        super().__init__(check_cluster_namespace(namespace))

    def _prefix(self, partition: Partition) -> tuple[str, str]:
        joined = _joined(partition)
        return f"{self._namespace}:{{{joined}}}:conv", joined

    def pattern(self, env: str, tenant: str) -> bytes:
        """Return the SCAN pattern for the keys of a tenant.

        It may match keys of other tenants, too: see `parse`.
        """
        return glob_of(f"{self._namespace}:{{{env}:{tenant}:", "*}:conv:*")

    def heads(self) -> bytes:
        """Return the SCAN pattern for the headers of all conversations."""
        return glob_of(f"{self._namespace}:{{", "*}:conv:head:*")

    def _within(self, key: bytes) -> bytes:
        return key.removeprefix(f"{self._namespace}:{{".encode()).partition(b"}:conv:")[2]


_SHAPES = {(b"recent", 3), (b"ends", 3), (b"head", 4), (b"messages", 4)}
"""Kinds of keys, each with the number of parts behind it."""


def _joined(partition: Partition) -> str:
    env, tenant, team = partition
    return f"{env}:{tenant}:{team or NO_TEAM}"
