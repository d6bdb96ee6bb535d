"""Bodies of replies, sealed on their way in, and opened when they are read."""

from msgspec.structs import astuple

from greentic_session._crypto.sealing import Box, Sealer, parts
from greentic_session.backend import Delivering, Lying
from greentic_session.errors import CorruptReplyError, DecryptionError
from greentic_session.models import ReplyScope
from greentic_session.reply import Reply
from greentic_session.tenancy import Owner

__all__ = ["ReplySealer"]


class ReplySealer:
    """Seals the bodies of replies.

    Each is bound to the owner of the wait, the scope that it was delivered to, its id,
    `delivery_id` and `sender`.

    Args:
        sealer: Knows the keys.
    """

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def seal(self, delivering: Delivering) -> str:
        """Return the sealed body of a reply that comes in."""
        box = self._box(delivering.owner, delivering.scopes[0])
        bound = parts(delivering.reply_id, delivering.delivery_id, delivering.sender)
        return box.seal(delivering.text.encode(), bound)

    def opened(self, owner: Owner, reply: Reply) -> Reply:
        """Return a stored reply whose body is opened when it is read."""
        return _SealedReply(*astuple(reply), sealer=self, owner=owner)

    def resealed(self, lying: Lying) -> str:
        """Return the body of a stored reply, sealed anew under the primary key.

        Raises:
            DecryptionError: It does not open.
        """
        reply = lying.reply
        return self._box(lying.owner, reply.scope).seal(self.open(lying.owner, reply), _bound(reply))

    def open(self, owner: Owner, reply: Reply) -> bytes:
        """Return the body of a stored reply.

        Raises:
            DecryptionError: It does not open.
        """
        return self._box(owner, reply.scope).open(reply.text, _bound(reply))

    def _box(self, owner: Owner, scope: ReplyScope) -> Box:
        return Box(self._sealer, parts("reply", *owner, *scope.canonical().split("\n")))


class _SealedReply(Reply, frozen=True, kw_only=True):
    """A reply whose body is sealed."""

    sealer: ReplySealer
    owner: Owner

    @property
    def body(self) -> str:
        try:
            return self.sealer.open(self.owner, self).decode("utf-8", "surrogatepass")
        except DecryptionError as error:
            raise CorruptReplyError(f"the body of this reply cannot be read: {error}") from error


def _bound(reply: Reply) -> bytes:
    return parts(reply.id, reply.delivery_id, reply.sender)
