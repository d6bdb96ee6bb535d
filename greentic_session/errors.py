"""Errors. Every failure of this library is a `GreenticError`.

Each code has one meaning on every backend.

A message names the rule that was broken and the caller's own env, tenant and team. It never holds a
snapshot, a password, a session key, or the ids of anybody's stored session: a program that wants
the key finds it in `GreenticError.session_key`, and the id of a conversation in
`GreenticError.conversation_id`.

>>> error = ClaimedError("another runner holds the claim", session_key="k1")
>>> (error.code, error.session_key, str(error))
(<ErrorCode.CONFLICT: 'conflict'>, 'k1', 'another runner holds the claim')
>>> isinstance(error, ConflictError), isinstance(NotFoundError("no such session"), LookupError)
(True, True)
"""

from enum import StrEnum
from typing import ClassVar

__all__ = [
    "ClaimedError",
    "ConflictError",
    "CorruptReplyError",
    "CorruptSessionError",
    "CorruptStoreError",
    "DecryptionError",
    "ErrorCode",
    "GreenticError",
    "InboxFullError",
    "InternalError",
    "InvalidInputError",
    "MissingVerdictError",
    "NotFoundError",
    "OperationTimeoutError",
    "PermissionDeniedError",
    "SchemaVersionError",
    "TenantMismatchError",
    "TooManyWaitsError",
    "UnauthenticatedError",
    "UnavailableError",
]


class ErrorCode(StrEnum):
    """The kinds of failure, with the names that the Rust reference gives them; equal to their text.

    >>> ErrorCode("timeout") is ErrorCode.TIMEOUT == "timeout"
    True
    """

    UNKNOWN = "unknown"
    INVALID_INPUT = "invalid_input"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    TIMEOUT = "timeout"
    UNAUTHENTICATED = "unauthenticated"
    PERMISSION_DENIED = "permission_denied"
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


class GreenticError(Exception):
    """The base of every error that this library raises.

    Args:
        code: What kind of failure it is; an `ErrorCode` or its text.
        message: One sentence for a person, without user data.
        session_key: The session key that the call was about, where there is one. It is not part of
            the message.
        conversation_id: The same for the id of a conversation.
        position: Which message of that conversation, from 0, where it was about one.

    Raises:
        ValueError: `code` is none.
    """

    code: ErrorCode
    message: str
    session_key: str | None
    conversation_id: str | None
    position: int | None

    def __init__(
        self,
        code: ErrorCode | str,
        message: str,
        *,
        session_key: str | None = None,
        conversation_id: str | None = None,
        position: int | None = None,
    ) -> None:
        super().__init__(code, message)
        self._describe(ErrorCode(code), message, session_key, conversation_id, position)

    def _describe(
        self, code: ErrorCode, message: str, session_key: str | None, conversation_id: str | None, position: int | None
    ) -> None:
        self.code, self.message = code, message
        self.session_key, self.conversation_id, self.position = session_key, conversation_id, position

    def __str__(self) -> str:
        return self.message


class _CodedError(GreenticError):
    """An error whose class decides its code."""

    _code: ClassVar[ErrorCode]

    def __init__(
        self,
        message: str,
        *,
        session_key: str | None = None,
        conversation_id: str | None = None,
        position: int | None = None,
    ) -> None:
        # Past GreenticError.__init__: `args` holds just the message, so that pickle and copy call
        # this signature again.
        super(GreenticError, self).__init__(message)
        self._describe(self._code, message, session_key, conversation_id, position)


class InvalidInputError(_CodedError, ValueError):
    """An argument breaks a rule of the contract. Nothing was written."""

    _code = ErrorCode.INVALID_INPUT


class TenantMismatchError(InvalidInputError):
    """The caller's context and the session belong to different tenants, teams or users.

    Nothing was written.
    """


class NotFoundError(_CodedError, LookupError):
    """No live session answers to that key, no conversation to that id (for this caller)."""

    _code = ErrorCode.NOT_FOUND


class ConflictError(_CodedError):
    """The stored state is not what the call relied on.

    A taken key, another version, a claim that is over.
    """

    _code = ErrorCode.CONFLICT


class ClaimedError(ConflictError):
    """Another runner holds the claim on this wait."""


class TooManyWaitsError(_CodedError):
    """The user has as many waits as the store allows one user (`max_waits_per_user`).

    Nothing was written.
    """

    _code = ErrorCode.RATE_LIMITED


class InboxFullError(_CodedError):
    """The inbox has as many replies, or bytes of them, as the store allows.

    Nothing was accepted, remembered or changed.
    """

    _code = ErrorCode.RATE_LIMITED


class OperationTimeoutError(_CodedError, TimeoutError):
    """The backend did not answer in time. A write may or may not have happened."""

    _code = ErrorCode.TIMEOUT


class UnavailableError(_CodedError, ConnectionError):
    """The backend cannot be reached, cannot serve now, or the store was closed."""

    _code = ErrorCode.UNAVAILABLE


class UnauthenticatedError(_CodedError):
    """The backend wants credentials, or refused those that it was given."""

    _code = ErrorCode.UNAUTHENTICATED


class PermissionDeniedError(_CodedError):
    """The backend knows us and does not let us do this."""

    _code = ErrorCode.PERMISSION_DENIED


class InternalError(_CodedError):
    """Something that should not happen did.

    A defect, or a backend that answers what it never should.
    """

    _code = ErrorCode.INTERNAL


class CorruptSessionError(InternalError):
    """The stored text of this session is not a SessionData, or that of a conversation not one.

    Others are not affected.
    """


class CorruptStoreError(InternalError):
    """The file of a store is damaged, or is something else than a store's file.

    Nothing in it was changed.
    """


class CorruptReplyError(InternalError):
    """The stored body of this reply cannot be read. The claim that holds it works all the same."""


class MissingVerdictError(InternalError):
    """A handler of a runner returned without a verdict: neither `park`, `complete` nor `stay`."""


class DecryptionError(InternalError):
    """A stored text cannot be decrypted.

    Its key is not here, or it was changed, or moved, or is not encrypted.
    """


class SchemaVersionError(InternalError):
    """The stored schema version is newer than this library can read."""
