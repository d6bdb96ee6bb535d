"""What one store allows: its default lifetimes and how large a session may be."""

import sys
from typing import Any, Final, Self, TypedDict, cast

import msgspec

from ._json import codec
from ._json.fields import check_int
from .errors import InvalidInputError
from .expiry import Seconds, Ttl, default_ttl_ms, milliseconds
from .models import SessionData

__all__ = ["DEFAULT_MAX_SNAPSHOT_BYTES", "Limits", "ReplyLimits", "ReplyOptions", "StoreOptions", "split_reply_options"]

DEFAULT_MAX_SNAPSHOT_BYTES: Final = 16 * 1024 * 1024
"""How long the wire text of a session may be, in bytes, unless its store says otherwise."""

MAX_CONTEXT_BYTES: Final = 64 * 1024
"""How long the wire text of a session's tenant context may be, in bytes.

Every lookup decodes it.
"""

_LONGEST_ESCAPE = 6
"""The most bytes that one ASCII character takes in a JSON string: ``\\u0000``."""
_PUNCTUATION = 100
"""More than the bytes of the field names, quotes and braces around the parts of a session."""


_DAY_MS: Final = 86_400_000

_OWNER_FACTOR: Final = 10
"""Limit of the kept replies of one owner, in inboxes."""


class ReplyOptions(TypedDict, total=False):
    """The options of a store for replies, as its constructor takes them.

    Attributes:
        dedupe_window: For how many seconds a `delivery_id` is remembered, from the acceptance of
            its reply or from its verdict, whichever is later.
        reply_grace: For how many seconds, at least, an unsettled reply is kept from its acceptance.
        timeout_grace: For how many seconds a wait with ``on_timeout="resume"`` lives behind its
            deadline, if nobody hears it.
        max_replies: How many unsettled replies one inbox takes; an owner has ten times as many kept
            ones.
        max_inbox_bytes: The same for their bodies together, in bytes of UTF-8.
        max_reply_bytes: The longest body, in bytes of UTF-8.
    """

    dedupe_window: Seconds
    reply_grace: Seconds
    timeout_grace: Seconds
    max_replies: int
    max_inbox_bytes: int
    max_reply_bytes: int


class StoreOptions(ReplyOptions, total=False):
    """The options of every store, as its constructor takes them.

    Attributes:
        default_wait_ttl: The lifetime of a wait that names none; None for ever.
        default_session_ttl: The same for `create_session`.
        max_snapshot_bytes: The longest wire text of a session, in bytes.
        max_waits_per_user: How many live waits one user (of one env, tenant and team) may have;
            None for any number. What a runtime without this option parks counts, too, and is not
            refused.
    """

    default_wait_ttl: Ttl
    default_session_ttl: Ttl
    max_snapshot_bytes: int
    max_waits_per_user: int | None


def split_reply_options(options: dict[str, Any]) -> ReplyOptions:
    """Take the options for replies out of those that are also for something else."""
    taken = {name: options.pop(name) for name in ReplyOptions.__annotations__ if name in options}
    return cast("ReplyOptions", taken)


class ReplyLimits(msgspec.Struct, frozen=True):
    """The checked options of a store for replies.

    Attributes:
        dedupe_window_ms: As in `ReplyOptions`, in milliseconds.
        reply_grace_ms: The same.
        timeout_grace_ms: The same.
        max_replies: As in `ReplyOptions`.
        max_inbox_bytes: The same.
        max_reply_bytes: The same.
    """

    dedupe_window_ms: int = _DAY_MS
    reply_grace_ms: int = _DAY_MS
    timeout_grace_ms: int = 30 * _DAY_MS
    max_replies: int = 100
    max_inbox_bytes: int = 1024 * 1024
    max_reply_bytes: int = 256 * 1024

    @property
    def max_kept_replies(self) -> int:
        """Limit of the kept replies of one owner."""
        return _OWNER_FACTOR * self.max_replies

    @property
    def max_kept_bytes(self) -> int:
        """Limit of the bodies of one owner's kept replies together, in bytes."""
        return _OWNER_FACTOR * self.max_inbox_bytes

    @classmethod
    def of(cls, options: ReplyOptions) -> Self:
        """Check a store's options for replies.

        Raises:
            InvalidInputError: One of them is out of range.
            TypeError: One of them has a wrong type, or there is no such option.
        """
        checked: dict[str, int] = {}
        for name, value in options.items():
            if name in ("dedupe_window", "reply_grace", "timeout_grace"):
                checked[f"{name}_ms"] = milliseconds(value, name)  # type: ignore[arg-type]  # checked there
            elif name in ("max_replies", "max_inbox_bytes", "max_reply_bytes"):
                check_int(name, value, 1, sys.maxsize)
                checked[name] = value  # type: ignore[assignment]  # an int: just checked
            else:
                raise TypeError(f"a store has no option {name!r}")
        return cls(**checked)


class Limits(msgspec.Struct, frozen=True):
    """The checked options of a store.

    Attributes:
        wait_ttl_ms: The lifetime of a wait that names none, in milliseconds; None for ever.
        session_ttl_ms: The same for `create_session`.
        max_snapshot_bytes: The longest wire text of a session, in bytes.
        max_waits_per_user: How many waits one user may have; None for any number.
        replies: What there may be of replies, and for how long.
    """

    wait_ttl_ms: int | None
    session_ttl_ms: int | None
    max_snapshot_bytes: int
    max_waits_per_user: int | None = None
    replies: ReplyLimits = ReplyLimits()

    @classmethod
    def of(cls, options: StoreOptions) -> Self:
        """Check a store's options; those that are not given have their defaults.

        Raises:
            InvalidInputError: One of them is out of range.
            TypeError: One of them has a wrong type, or there is no such option.
        """
        rest = options.copy()
        max_snapshot_bytes = rest.pop("max_snapshot_bytes", DEFAULT_MAX_SNAPSHOT_BYTES)
        check_int("max_snapshot_bytes", max_snapshot_bytes, 1, sys.maxsize)
        max_waits_per_user = rest.pop("max_waits_per_user", None)
        if max_waits_per_user is not None:
            check_int("max_waits_per_user", max_waits_per_user, 1, sys.maxsize)
        return cls(
            default_ttl_ms(rest.pop("default_wait_ttl", None), "default_wait_ttl"),
            default_ttl_ms(rest.pop("default_session_ttl", None), "default_session_ttl"),
            max_snapshot_bytes,
            max_waits_per_user,
            ReplyLimits.of(rest),
        )

    def admit(self, data: SessionData, *, as_text: bool) -> bytes | None:
        """Refuse data that is too large or cannot be written; return its wire text, if asked for.

        Raises:
            InvalidInputError: Its wire text would be longer than `max_snapshot_bytes`, or that of
                its tenant context longer than 64 KiB; or it is not valid Unicode.
            TypeError: It is no SessionData.
        """
        if type(data) is not SessionData:  # a subclass need not be frozen
            raise TypeError(f"data must be a SessionData, not {type(data).__name__}")
        if as_text:
            text = data.to_json()
            size = len(text)
            if size > self.max_snapshot_bytes:
                raise self._too_long(size)
            if size > MAX_CONTEXT_BYTES:  # else the context cannot be too long
                _check_context(data)
            return text
        # The snapshot is nearly all of the text, and most are ASCII: a bound that needs no look at
        # it settles most calls.
        snapshot = data.context_json
        if snapshot.isascii():
            try:
                rest = len(codec.ENCODER.encode((data.tenant_ctx, data.flow_id, data.pack_id, data.cursor)))
            except UnicodeEncodeError:
                rest = self.max_snapshot_bytes  # to_json finds the words
            most = rest + len(snapshot) * _LONGEST_ESCAPE + _PUNCTUATION
            if rest <= MAX_CONTEXT_BYTES and most <= self.max_snapshot_bytes:
                return None
        size = len(data.to_json())
        if size > self.max_snapshot_bytes:
            raise self._too_long(size)
        _check_context(data)
        return None

    def _too_long(self, size: int) -> InvalidInputError:
        return InvalidInputError(f"the session is {size} bytes long, and the limit is {self.max_snapshot_bytes}")


def _check_context(data: SessionData) -> None:
    size = len(codec.ENCODER.encode(data.tenant_ctx))
    if size > MAX_CONTEXT_BYTES:
        raise InvalidInputError(f"the tenant context is {size} bytes long, and the limit is {MAX_CONTEXT_BYTES}")
