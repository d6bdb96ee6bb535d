"""The names of things in Redis.

Below the namespace, and beside the keys of sessions, which never begin with ``conv:``:

================================================  ======  ==============================================================
key                                               type    value
================================================  ======  ==============================================================
``conv:recent:{env}:{tenant}:{team or -}``        zset    the room's conversations: ids, with minus updated_at
``conv:ends:{env}:{tenant}:{team or -}``          zset    those of them that expire: ids, with when they do, in ms since the
                                                          epoch
``conv:head:{env}:{tenant}:{team or -}:{id}``     hash    a conversation's header, see `fields`
``conv:messages:{env}:{tenant}:{team or -}:{id}`` list    its messages, a JSON text each; not there without messages
================================================  ======  ==============================================================

Env, tenant and team hold no colon, and no team is called ``-``; an id may hold anything, so it comes last. Two rooms or ids
never share a key. Every script touches the keys of one room only.

A conversation is there if its header is. Its list ends with it, never earlier. The two sets live as long as the longest of
their conversations. What has expired is left in them until the next write or list in the room; nothing believes it.
"""

from greentic_session.conversation.rules import Room
from greentic_session.fence import NO_TEAM
from greentic_session.transport.namespace import check_namespace
from greentic_session.transport.walking import glob_of

__all__ = ["Keys"]


class Keys:
    """The keys of one namespace.

    Raises:
        InvalidInputError: The namespace is empty or no valid Unicode.
        TypeError: It is no str.
    """

    def __init__(self, namespace: str) -> None:
        self._front = f"{check_namespace(namespace)}:conv"

    def index(self, room: Room) -> tuple[str, str]:
        """Where a room's conversations are by recency, and by end."""
        place = _place(room)
        return f"{self._front}:recent:{place}", f"{self._front}:ends:{place}"

    def conversation(self, room: Room, id: str) -> tuple[str, str]:
        """Where a conversation's header and messages are; of the id "", how all those of the room begin."""
        place = _place(room)
        return f"{self._front}:head:{place}:{id}", f"{self._front}:messages:{place}:{id}"

    def pattern(self, env: str, tenant: str) -> bytes:
        """Return what SCAN finds all keys of a tenant by, and perhaps some of others: see `place`."""
        return glob_of(f"{self._front}:", f"*:{env}:{tenant}:*")

    def place(self, key: bytes) -> tuple[Room, bytes]:
        """Return the room of a key, and the id in it, empty for an index; of none of ours a room that there is not."""
        name = key.removeprefix(f"{self._front}:".encode())
        kind = name.partition(b":")[0]
        _, *parts = name.split(b":", 4)
        if (kind, len(parts)) not in _SHAPES:
            return ("", "", None), b""
        env, tenant, team = (part.decode("utf-8", "replace") for part in parts[:3])
        return (env, tenant, None if team == NO_TEAM else team), b"".join(parts[3:])


_SHAPES = {(b"recent", 3), (b"ends", 3), (b"head", 4), (b"messages", 4)}
"""Kinds of keys, each with how many parts follow."""


def _place(room: Room) -> str:
    env, tenant, team = room
    return f"{env}:{tenant}:{team or NO_TEAM}"
