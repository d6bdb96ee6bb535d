"""Replies: what somebody answered, and what `SessionStore.deliver` made of it."""

import hashlib
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, TypeAlias, TypedDict, TypeVar, overload

import msgspec

from ._base.hiding import Hiding, outline
from ._json import codec
from ._json.fields import check_choice
from .errors import InboxFullError, InvalidInputError
from .expiry import Seconds, Ttl
from .ids import plain
from .models import ReplyScope, SessionData

__all__ = [
    "MAX_LABEL_CHARACTERS",
    "DeliveryOptions",
    "DeliveryOutcome",
    "OnTimeout",
    "Reply",
    "Start",
    "check_label",
    "delivery_hash",
    "inbox_full",
    "owner_full",
    "resumes_on_timeout",
    "text_of_body",
]

T = TypeVar("T")

MAX_LABEL_CHARACTERS = 255
"""The longest `delivery_id` and the longest `sender`."""

OnTimeout: TypeAlias = Literal["forget", "resume"]
"""End of a wait at its deadline: it is forgotten, or a runner resumes it."""


class DeliveryOutcome(StrEnum):
    """Outcome of `SessionStore.deliver`; equal to its text.

    ``claimed``: the caller has the claim on the wait. ``queued``: the reply is in the inbox of a
    wait that somebody else is at, or will be at. ``kept``: nothing waits yet. ``duplicate``: this
    delivery was settled or removed before. ``unmatched``: nothing waits, and nothing was accepted.

    >>> DeliveryOutcome("kept") is DeliveryOutcome.KEPT == "kept"
    True
    """

    DUPLICATE = "duplicate"
    CLAIMED = "claimed"
    QUEUED = "queued"
    KEPT = "kept"
    UNMATCHED = "unmatched"


class Reply(Hiding, msgspec.Struct, frozen=True, gc=False):
    """An accepted answer, as it lies in an inbox.

    Attributes:
        id: The store's own id of the reply: unique, and the same at every attempt.
        text: The body as it is stored; sealed, where the store encrypts. Read `body`.
        scope: The scope as it was delivered.
        accepted_at: When the store accepted it: UTC, by the store's clock.
        delivery_id: The sender's id of the delivery.
        sender: Who answers, where several may.

    >>> from datetime import UTC
    >>> reply = Reply("r-1", '{"ok":true}', ReplyScope("chat"), datetime(2026, 1, 2, tzinfo=UTC))
    >>> reply.body, reply.value()
    ('{"ok":true}', {'ok': True})
    """

    id: str
    text: str
    scope: ReplyScope
    accepted_at: datetime
    delivery_id: str | None = None
    sender: str | None = None

    @property
    def body(self) -> str:
        """The body, as it was delivered.

        Raises:
            CorruptReplyError: In a store that encrypts: it does not open.
        """
        return self.text

    @overload
    def value(self) -> Any: ...

    @overload
    def value(self, type: type[T]) -> T: ...

    @overload
    def value(self, type: Any) -> Any: ...

    def value(self, type: Any = Any) -> Any:
        """Read the body as JSON of a type that msgspec decodes; by default dicts, lists, scalars.

        Raises:
            CorruptReplyError: As `body`.
            InvalidInputError: It is no JSON, or not of that type. The message says where, and
                quotes nothing of it.
        """
        what = "reply in JSON" if type is Any else f"reply of type {getattr(type, '__name__', str(type))}"
        return codec.decode(msgspec.json.Decoder(type), codec.as_bytes(self.body, what), what, known=False)

    def __repr__(self) -> str:
        return outline(self, "id", "text", "scope", "delivery_id", "sender")


class Start(Hiding, msgspec.Struct, frozen=True, gc=False):
    """A session to begin with, where a reply finds nothing that waits.

    Attributes:
        data: The snapshot, of the user who is delivered to.
        key: The session key; by default a fresh random UUID4.
        ttl: How long it waits, as for `SessionStore.register_wait`.
        on_timeout: What becomes of it then.
    """

    data: SessionData
    key: str | None = None
    ttl: Ttl = None
    on_timeout: OnTimeout = "forget"

    def __repr__(self) -> str:
        return outline(self, "key", data=getattr(self, "data", None))


class DeliveryOptions(TypedDict, total=False):
    """Options of a delivery, as `SessionStore.deliver` describes them."""

    delivery_id: str | None
    sender: str | None
    start: Start | None
    keep_for: Seconds | None
    fallback: bool


def text_of_body(body: Any) -> str:
    """Return a body as text: a str as it is, anything else as JSON.

    Raises:
        InvalidInputError: It holds a lone surrogate, or something that JSON cannot carry.
        TypeError: It holds an object that msgspec does not write. The message names the field.
    """
    if type(body) is str:
        if not body.isascii():
            codec.as_bytes(body, "reply")
        return body
    if isinstance(body, str):
        return text_of_body(plain(body))
    return codec.encode_alike(codec.SNAPSHOT_ENCODER, body, "the reply").decode()


def check_label(name: str, value: str | None) -> str | None:
    """Return an id that a sender chose, as a plain str.

    Raises:
        InvalidInputError: It is empty, longer than 255 characters, or no valid Unicode.
        TypeError: It is neither a str nor None.
    """
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str or None, not {type(value).__name__}")
    if not 0 < len(value) <= MAX_LABEL_CHARACTERS:
        raise InvalidInputError(f"{name} must have from 1 to {MAX_LABEL_CHARACTERS} characters")
    text = plain(value)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(f"{name} must be valid Unicode: it holds a lone surrogate") from error
    return text


def resumes_on_timeout(on_timeout: str) -> bool:
    """Return whether a runner resumes the wait at its deadline."""
    check_choice("on_timeout", on_timeout, "forget", "resume")
    return on_timeout == "resume"


def delivery_hash(conversation: str, delivery_id: str) -> bytes:
    """Return the SHA-256 under which stores remember a delivery of an owner."""
    # A conversation holds no newline.
    return hashlib.sha256(f"{conversation}\n{delivery_id}".encode()).digest()


def inbox_full() -> InboxFullError:
    """Return the error for a reply that would be one too many, or too long, for its inbox."""
    return InboxFullError("this inbox has as many replies as this store allows")


def owner_full() -> InboxFullError:
    """Return the error for a reply that would be kept, and is one too many of its owner's."""
    return InboxFullError("this owner has as many kept replies as this store allows")
