"""Where an answer will come in.

The place that a wait is found by, and the name that the reference has for it in Redis.
"""

import hashlib
from typing import Final

import msgspec

from ._json.fields import check_text, make_plain
from .errors import InvalidInputError

__all__ = ["ReplyScope"]

_USUAL: Final = frozenset((str, type(None)))
"""Types of the parts that may be missing, but for subclasses of str."""


class ReplyScope(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Where an answer to a paused flow will come in.

    Two scopes are the same place when their `scope_hash` is equal: a part that is None and one that
    is empty are alike.

    Attributes:
        conversation: The chat, channel or mailbox: ``"telegram:chat-1"``.
        thread: A thread or topic in it.
        reply_to: The message that is answered.
        correlation: An id that the answer carries; an empty one counts as none.

    Raises:
        TypeError: A part is no str, or `conversation` is None.
    """

    conversation: str
    thread: str | None = None
    reply_to: str | None = None
    correlation: str | None = None

    def __post_init__(self) -> None:
        if type(self.conversation) is str and {type(self.thread), type(self.reply_to), type(self.correlation)} <= _USUAL:
            return  # mostly, without a call
        check_text("conversation", self.conversation, optional=False)
        check_text("thread", self.thread)
        check_text("reply_to", self.reply_to)
        check_text("correlation", self.correlation)
        make_plain(self, "conversation", "thread", "reply_to", "correlation")

    def normalized(self) -> "ReplyScope":
        """Return the one scope, of all that name this place, whose empty parts are None.

        >>> ReplyScope("telegram:chat-1", thread="").normalized()
        ReplyScope(conversation='telegram:chat-1', thread=None, reply_to=None, correlation=None)
        """
        if self.thread is None and self.reply_to is None and self.correlation is None:
            return self  # the usual case, in one step
        if "" not in (self.thread, self.reply_to, self.correlation):
            return self
        return ReplyScope(self.conversation, self.thread or None, self.reply_to or None, self.correlation or None)

    def canonical(self) -> str:
        r"""Return what is hashed: the four parts joined by newlines, None as empty.

        >>> ReplyScope("telegram:chat-1", reply_to="7").canonical()
        'telegram:chat-1\n\n7\n'
        """
        if self.thread is None and self.reply_to is None and self.correlation is None:
            return self.conversation + "\n\n\n"  # the usual case, in one step
        return "\n".join((self.conversation, self.thread or "", self.reply_to or "", self.correlation or ""))

    def scope_hash(self) -> str:
        """Return the hex SHA-256 by which the reference, too, names this scope in a Redis key.

        A newline inside a part could make two scopes hash alike; that is refused where a scope is
        used, not here.

        Raises:
            InvalidInputError: A part holds a lone surrogate.

        >>> ReplyScope("telegram:chat-1").scope_hash()
        'c13a166e9d5e8809d5b09d2715f6d75cec0e9327a47f3135c3dc423c616cedae'
        >>> ReplyScope("c", correlation="").scope_hash() == ReplyScope("c").scope_hash()
        True
        """
        try:
            return hashlib.sha256(self.canonical().encode()).hexdigest()
        except UnicodeEncodeError as error:
            raise InvalidInputError("ReplyScope must be valid Unicode: it holds a lone surrogate") from error
