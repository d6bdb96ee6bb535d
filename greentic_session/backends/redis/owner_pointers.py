"""On a cluster: in which slot the session of a key is.

All that belongs to a user is in one slot, so that a script can change it in one step: the user's
own namespace is ``{namespace}:{`` *hash tag* ``}``, and within it the keys are those of a single
server. The hash tag is the user's ``env:tenant:team or -:user``. A session without a user is where
the user is whose latest session it is; without one, in a slot that its key picks, where it has no
index to belong to.

A session key alone does not tell that slot. So each has an owner pointer in the key's own slot,
``{namespace}:owner:{key}``: a nonce and the hash tag. It is reserved before a session is stored, in
a round trip of its own, and decides who may have the key.

What must hold: **while a session lives, its pointer leads to it.** So no two users have a session
under one key, and whoever follows a pointer finds what there is. Two slots cannot be changed in one
step; these rules take the place of that:

1. A session comes into being only under a reservation: the script that stores it names the
   reservation's nonce, and does nothing if that nonce is barred in its slot. A client reserves anew
   for every call that may store a new session, so a nonce is on its way for no longer than a call
   takes.
2. Whoever ends a reservation bars its nonce first, in the slot that it leads to, in a step that
   sees that no session lives there under this key: a removal bars it while it removes the session,
   and then deletes the pointer; whoever wants a key that leads elsewhere asks there, and if nothing
   lives there replaces the pointer. Both change the pointer only if it still has that nonce. A
   session that was being stored meanwhile is refused, and its client reserves again. What is barred
   is remembered for 120 s, which is longer than a call is on its way.
3. Clients of one slot share a reservation: what happens between their sessions is decided there, as
   on a single server.
4. The pointer outlives the session. A reservation gives it twice the session's lifetime, at least
   an hour more; the session's record says by how much it lives longer, so a script sees by itself
   whether it may lengthen a life, and asks for a reservation where it may not. A pointer without a
   session ("lone") expires, and answers nothing: whoever follows it finds no session. For sessions
   without an end "for ever" is ten years, of which five are counted on.

A call that is cancelled or fails under a reservation ends it by rule 2, in a task of its own, if
nothing lives there.

Within a live session's time its slot never changes, so clients remember slots. A memory that is old
is harmless: where it says a session is, there is one, or the pointer is asked; and what it makes a
client write is checked by rule 1, and by the script of a session that is there already, which needs
no reservation as long as its pointer lives long enough.
"""

import secrets
from dataclasses import dataclass

from greentic_session._redis.executor import Executor

from .keys import owner_pointer_key
from .scripts import script

__all__ = ["Pointers", "Reservation", "new_nonce"]

_HOUR = 3_600_000
_FOR_EVER = 10 * 365 * 24 * _HOUR
_MOST = 2**52
"""Beyond this many ms Redis's arithmetic ends."""
_ON_THE_WAY = 120_000
"""How long no call is on its way, in ms; what `bar_reservation` in removal.lua counts on, too."""
_REMEMBERED = 65_536
"""How many keys a client remembers the slots of."""


_RESERVE = script("reserve", one_key=True)
_UNRESERVE = script("unreserve", int, one_key=True)


def new_nonce() -> str:
    """Return a name for a reservation that no other one ever has."""
    return secrets.token_hex(8)


@dataclass(frozen=True)
class Reservation:
    """What a pointer says.

    Attributes:
        nonce: Names this reservation, and no other one ever.
        tag: The hash tag of the slot that it leads to.
        lives: For how many ms from when it is used: that is later than now, but no later than a
            call takes.
    """

    nonce: str
    tag: str
    lives: int


class Pointers:
    """The owner pointers of one namespace."""

    def __init__(self, executor: Executor, namespace: str) -> None:
        self._executor = executor
        self._namespace = namespace
        self._remembered: dict[str, str] = {}

    def remembered(self, key: str) -> str | None:
        """Return the hash tag where this key's session was, for all that is known here."""
        return self._remembered.get(key)

    def remember(self, key: str, tag: str) -> None:
        """Take note of where a session is."""
        memory = self._remembered
        memory.pop(key, None)
        memory[key] = tag
        if len(memory) > _REMEMBERED:
            del memory[next(iter(memory))]

    def forget(self, key: str) -> None:
        """Drop that note."""
        self._remembered.pop(key, None)

    async def follow(self, key: str) -> str | None:
        """Return the hash tag that a key's pointer names; None if there is none."""
        value: bytes | None = await self._executor.call(("GET", self._name(key)), repeatable=True)
        if value is None:
            self.forget(key)
            return None
        tag = value.decode().partition(" ")[2]
        self.remember(key, tag)
        return tag

    async def reserve(self, key: str, tag: str, nonce: str, ttl_ms: int | None, replaced: str) -> Reservation:
        """Reserve a key for one slot, unless its pointer leads to another; return the pointer.

        Args:
            key: The session key.
            tag: The hash tag of that slot.
            nonce: The name of this reservation, if it becomes one: `new_nonce`.
            ttl_ms: How long the session shall live, None for ever.
            replaced: The nonce of a reservation that was barred, to be replaced by this one; "" for
                none.
        """
        needed = _FOR_EVER // 2 if ttl_ms is None else min(ttl_ms + _HOUR // 2, _MOST)
        given = _FOR_EVER if ttl_ms is None else min(ttl_ms + max(ttl_ms, _HOUR), _MOST)
        args = (tag, nonce, needed, max(given, needed), replaced)
        holder, held, lives = await _RESERVE.run(self._executor, 1, (self._name(key), *args))
        return Reservation(holder.decode(), held.decode(), lives - _ON_THE_WAY)

    async def end(self, key: str, nonce: str) -> None:
        """Delete the pointer of a reservation that was barred, if it is still that one."""
        self.forget(key)
        await _UNRESERVE.run(self._executor, 1, (self._name(key), nonce))

    def _name(self, key: str) -> str:
        return owner_pointer_key(self._namespace, key)
