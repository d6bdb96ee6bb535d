"""Tokens of claims: secrets of which a part tells which process holds the claim."""

import binascii
import functools
import hashlib
import os
import re
import socket
from typing import Final

from msgspec import Struct

__all__ = ["PUBLIC_CHARACTERS", "Holder", "claim_token", "delivery_tokens", "holder_of", "this_process"]

PUBLIC_CHARACTERS: Final = 12
"""Number of characters at the front of a token that are no secret."""
_SECRET_BYTES: Final = 15
"""How many random bytes are in a token of a claim."""
_MAX_PID: Final = 0xFFFFFF
_PUBLIC: Final = re.compile(r"([0-9a-f]{5})\.([0-9a-f]{6})")


class Holder(Struct, frozen=True):
    """A process that holds a claim.

    Attributes:
        host: A mark of its machine: the first 5 hexadecimal digits of the SHA-256 of its host name.
        pid: Its process id there.
    """

    host: str
    pid: int


def claim_token() -> str:
    """Return a new token of a claim, of 32 characters: 12 tell who holds it, 20 nobody guesses."""
    return _token_with(os.urandom(_SECRET_BYTES))


def delivery_tokens() -> tuple[str, str, str]:
    """Return a token of a claim, and of a reply and of a turn, which are random all through."""
    random = os.urandom(32 + _SECRET_BYTES)  # in one call of the system
    text = random.hex()
    return _token_with(random[32:]), text[:32], text[32:64]


def _token_with(secret: bytes) -> str:
    return _public() + binascii.b2a_base64(secret, newline=False).decode()


def holder_of(token: str | None) -> Holder | None:
    """Return who holds a claim by its token, or by the first characters of that.

    None where it does not tell.
    """
    found = None if token is None else _PUBLIC.match(token)
    return None if found is None else Holder(found[1], int(found[2], 16))


def this_process() -> Holder:
    """Return who this process is."""
    return Holder(_host(), os.getpid())


@functools.cache
def _public() -> str:
    return f"{_host()}.{os.getpid() & _MAX_PID:06x}"


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_public.cache_clear)


@functools.cache
def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode("utf-8", "surrogateescape")).hexdigest()[:5]
