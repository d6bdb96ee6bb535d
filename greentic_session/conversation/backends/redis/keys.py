"""Names of the Redis keys of conversations.

Below the namespace, and beside the keys of sessions, which never begin with ``conv:``:

================================================  ======  ==============================================================
key                                               type    value
================================================  ======  ==============================================================
``conv:recent:{env}:{tenant}:{team or -}``        zset    the partition's conversations: ids, with
minus updated_at ``conv:ends:{env}:{tenant}:{team or -}``          zset    those of them that
expire: ids, with when they do, in ms since the
                                                          epoch
``conv:head:{env}:{tenant}:{team or -}:{id}``     hash    a conversation's header, see `fields`
``conv:messages:{env}:{tenant}:{team or -}:{id}`` list    its messages, a JSON text each; not there
without messages
================================================  ======  ==============================================================

Env, tenant and team hold no colon, and no team is called ``-``; an id may hold anything, so it
comes last. Two partitions or ids never share a key. Every script touches the keys of one partition
only.

On a cluster ``{`` env ``:`` tenant ``:`` team or - ``}:`` stands before ``conv:``: a partition is
in one slot, and partitions are in all.

A conversation is there if its header is. Its list ends with it, never earlier. The two sets live as
long as the longest of their conversations. What has expired is left in them until the next write or
list in the partition; nothing believes it.
"""

from greentic_session._redis.namespace import check_cluster_namespace, check_namespace
from greentic_session._redis.scanning import glob_of
from greentic_session.tenancy import NO_TEAM, Partition

__all__ = ["ClusterKeys", "Keys"]


class Keys:
    """The keys of one namespace.

    Raises:
        InvalidInputError: The namespace is empty or no valid Unicode.
        TypeError: It is no str.
    """

    def __init__(self, namespace: str) -> None:
        self._namespace = check_namespace(namespace)

    def index(self, partition: Partition) -> tuple[str, str]:
        """Where a partition's conversations are by recency, and by end."""
        prefix, joined = self._front(partition)
        return f"{prefix}:recent:{joined}", f"{prefix}:ends:{joined}"

    def conversation(self, partition: Partition, id: str) -> tuple[str, str]:
        """Return the keys of a conversation's header and messages; for the id "" their prefixes."""
        prefix, joined = self._front(partition)
        return f"{prefix}:head:{joined}:{id}", f"{prefix}:messages:{joined}:{id}"

    def pattern(self, env: str, tenant: str) -> bytes:
        """Return what SCAN finds all keys of a tenant by, and perhaps some of others.

        See `parse`.
        """
        return glob_of(f"{self._namespace}:conv:", f"*:{env}:{tenant}:*")

    def parse(self, key: bytes) -> tuple[Partition, bytes]:
        """Return partition and id of a key.

        An empty id for an index, no real partition for a foreign key.
        """
        name = self._within(key)
        kind = name.partition(b":")[0]
        _, *parts = name.split(b":", 4)
        if (kind, len(parts)) not in _SHAPES:
            return ("", "", None), b""
        env, tenant, team = (part.decode("utf-8", "replace") for part in parts[:3])
        return (env, tenant, None if team == NO_TEAM else team), b"".join(parts[3:])

    def _front(self, partition: Partition) -> tuple[str, str]:
        """Return how the keys of a partition begin, and the partition."""
        return f"{self._namespace}:conv", _joined(partition)

    def _within(self, key: bytes) -> bytes:
        """Return what tells a key from others."""
        return key.removeprefix(f"{self._namespace}:conv:".encode())


class ClusterKeys(Keys):
    """The keys of one namespace on a cluster.

    Raises:
        InvalidInputError: The namespace is empty, no valid Unicode, or holds a brace, which on a
            cluster has a meaning.
        TypeError: It is no str.
    """

    def __init__(self, namespace: str) -> None:
        super().__init__(check_cluster_namespace(namespace))

    def _front(self, partition: Partition) -> tuple[str, str]:
        joined = _joined(partition)
        return f"{self._namespace}:{{{joined}}}:conv", joined

    def pattern(self, env: str, tenant: str) -> bytes:
        """Return what SCAN finds all keys of a tenant by, and perhaps some of others.

        See `parse`.
        """
        return glob_of(f"{self._namespace}:{{{env}:{tenant}:", "*}:conv:*")

    def _within(self, key: bytes) -> bytes:
        return key.removeprefix(f"{self._namespace}:{{".encode()).partition(b"}:conv:")[2]


_SHAPES = {(b"recent", 3), (b"ends", 3), (b"head", 4), (b"messages", 4)}
"""Kinds of keys, each with how many parts follow."""


def _joined(partition: Partition) -> str:
    env, tenant, team = partition
    return f"{env}:{tenant}:{team or NO_TEAM}"
