"""Identifiers and session keys: which strings may name something.

An identifier ends up in a Redis key between colons, so it may hold no colon: non-empty, ASCII
letters, digits, ``.``, ``_`` and ``-`` only (the rule and its wording are the reference's). A
session key is opaque, and merely bounded.

`EnvId` and its like check a text and return it as it is. They are for type checkers: a plain str
works everywhere, and is checked where it is used.

>>> TenantId("acme-eu.1")
'acme-eu.1'
>>> TenantId("")
Traceback (most recent call last):
    ...
greentic_session.errors.InvalidInputError: TenantId must not be empty
>>> SessionKey("any text: up to 1,024 bytes of it")
'any text: up to 1,024 bytes of it'
"""

import re
import string
from typing import TYPE_CHECKING, Final, NewType, cast

from .errors import InvalidInputError

__all__ = [
    "ID_CHARACTERS",
    "MAX_ID_CHARACTERS",
    "MAX_SESSION_KEY_BYTES",
    "EnvId",
    "FlowId",
    "PackId",
    "SessionKey",
    "TeamId",
    "TenantId",
    "UserId",
    "check_id",
    "check_session_key",
    "plain",
    "stranger_in",
]

MAX_SESSION_KEY_BYTES = 1024
"""The longest session key, in UTF-8 bytes."""

MAX_ID_CHARACTERS: Final = 1024
"""The longest env, tenant, team or user that an operation takes.

Texts of the reference, the Rust crate greentic-session, may hold longer ones: it has no bound.
"""

ID_CHARACTERS = string.ascii_letters + string.digits + "._-"
"""What an identifier may be made of."""

stranger_in: Final = re.compile(f"[^{re.escape(ID_CHARACTERS)}]").search
"""Returns what no identifier may have, in a text; None if there is nothing."""


if TYPE_CHECKING:
    EnvId = NewType("EnvId", str)
    """An environment.

    ``"dev"``. Raises InvalidInputError for what is no identifier, as all of these.
    """
    TenantId = NewType("TenantId", str)
    """A tenant: a customer whose sessions nobody else sees."""
    TeamId = NewType("TeamId", str)
    """A team of a tenant. Every operation refuses the team ``-``, which stands for none."""
    UserId = NewType("UserId", str)
    """A person whose answers are waited for."""
    FlowId = NewType("FlowId", str)
    """The flow that a session is of."""
    PackId = NewType("PackId", str)
    """The pack that a flow is from."""
    SessionKey = NewType("SessionKey", str)
    """What a session is found by: any text of 1 to 1,024 UTF-8 bytes."""
else:

    class _Id(NewType):
        """A NewType that checks what it is given, and returns it: a plain str serves everywhere."""

        def __call__(self, value: str) -> str:
            return check_id(self.__name__, value)

    class _SessionKey(NewType):
        """The same for session keys."""

        def __call__(self, value: str) -> str:
            return check_session_key(value)

    EnvId, TenantId, TeamId = _Id("EnvId", str), _Id("TenantId", str), _Id("TeamId", str)
    UserId, FlowId, PackId = _Id("UserId", str), _Id("FlowId", str), _Id("PackId", str)
    SessionKey = _SessionKey("SessionKey", str)


def plain(value: str) -> str:
    """Return a str subclass as the text that it holds.

    A member of a str Enum, for one, formats and hashes as its name.
    """
    return value if type(value) is str else str.__str__(value)


def check_id(kind: str, value: object) -> str:
    """Return `value`, as a plain str, if it may serve as an identifier.

    Args:
        kind: The name for the message: ``"UserId"``.
        value: The candidate.

    Raises:
        InvalidInputError: It is empty or has a character that no identifier may have.
        TypeError: It is no string.
    """
    if type(value) is str and value and not stranger_in(value):
        return value  # nearly always
    if not isinstance(value, str):
        raise TypeError(f"{kind} must be a str, not {type(value).__name__}")
    if not value:
        raise InvalidInputError(f"{kind} must not be empty")
    if stranger_in(value):
        raise InvalidInputError(
            f"{kind} must contain only ASCII letters, digits, '.', '-', or '_'; "
            "greentic_session.mapping.text_to_id makes one of any text, text_to_hashed_id one that hides it"
        )
    return plain(value)


def check_session_key(value: object) -> SessionKey:
    """Return `value`, as a plain str, if it may serve as a session key.

    Raises:
        InvalidInputError: It is empty, longer than 1,024 UTF-8 bytes, or holds a lone surrogate.
        TypeError: It is no string.
    """
    if type(value) is str and value and value.isascii() and len(value) <= MAX_SESSION_KEY_BYTES:
        return value  # type: ignore[return-value]  # the usual case, without a call: to type checkers it is no SessionKey yet
    if not isinstance(value, str):
        raise TypeError(f"SessionKey must be a str, not {type(value).__name__}")
    if not value:
        raise InvalidInputError("SessionKey must not be empty")
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        raise InvalidInputError("SessionKey must be valid Unicode: it holds a lone surrogate") from error
    if size > MAX_SESSION_KEY_BYTES:
        raise InvalidInputError(f"SessionKey must have at most {MAX_SESSION_KEY_BYTES} UTF-8 bytes, not {size}")
    return cast("SessionKey", plain(value))
