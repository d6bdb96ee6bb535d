"""A session on its way from one store to another."""

import asyncio
from typing import NamedTuple, Self

from greentic_session._base.hiding import outline
from greentic_session.tenancy import Identity

__all__ = ["Exported", "identity_of"]


class Exported(NamedTuple):
    """A session on its way, as `lua/migration/export.lua` tells it.

    Attributes:
        believed: Whether only a scope key tells that it waits there.
        seen: When it was read, by the loop's clock.
        lease: What is left of the claim, in ms.
    """

    believed: bool
    seen: float
    key: bytes
    text: bytes
    ttl: int
    owner: bytes
    scope_hash: bytes
    scope: bytes
    latest: bytes
    unseen: bytes
    claim: bytes
    lease: int

    def __repr__(self) -> str:
        return outline(self, *self._fields)

    def aged(self) -> Self | None:
        """Return it as it is now; None if its life is over."""
        passed = round((asyncio.get_running_loop().time() - self.seen) * 1000)
        ttl, lease = self.ttl if self.ttl == -1 else self.ttl - passed, self.lease - passed
        if self.ttl != -1 and ttl <= 0:
            return None
        aged = self._replace(ttl=ttl, lease=lease, seen=self.seen + passed / 1000)
        return aged if lease > 0 else aged._replace(claim=b"", lease=0)


def identity_of(text: bytes) -> Identity:
    """Return an identity that is told as ``env:tenant:team:user``; no id holds a colon."""
    env, tenant, team, user = text.decode().split(":")
    return env, tenant, team or None, user or None
