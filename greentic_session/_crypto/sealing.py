"""Authenticated encryption of texts, each for one context: one session or one conversation.

A sealed text is ``gse1:<key id>:<base64>``; the base64 holds a random nonce of 12 bytes, the
ciphertext, and a tag of 16 bytes, by AES-256-GCM. That is fast on every processor with AES
instructions, is what auditors ask for, and is one short call of a library that everybody has. Its
weakness, that a key must not encrypt more than some 2**32 texts under random nonces (a busy fleet
is there in days), is met by a key of its own for every context, derived by HKDF from the one in the
keyring: only the texts of one session, or of one conversation, count together.

The context is therefore in the key, and it is in the associated data too, with version, key id, and
whatever else `seal` is told: a text that is changed in any byte, is moved to another context, or
belongs to another field does not open.
"""

import binascii
import os
import re
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import msgspec

from greentic_session.errors import CorruptSessionError, DecryptionError, SchemaVersionError, UnavailableError

from .keyring import EncryptionKey, Keyring

__all__ = ["Box", "Resealing", "Sealer", "parts"]

_FRONT: Final = "gse1:"
_VERSION: Final = re.compile(r"gse[0-9]+:")
_KEY_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16


class _Cipher(Protocol):
    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...


def parts(*values: str | None) -> bytes:
    """Return values joined to one text, in such a way that no other values give the same text.

    Each has its length in front; None has a form of its own.
    """
    joined = "".join(["-," if value is None else f"{len(value)}:{value}," for value in values])
    return joined.encode("utf-8", "surrogatepass")  # what somebody planted may hold anything, and then shall not open


class Sealer:
    """Maker of boxes, which encrypt under the keys of a keyring.

    Args:
        keyring: The keys.
        allow_plain: Whether a text that is not sealed is taken for what it is, instead of refused.

    Raises:
        TypeError: An argument has a wrong type.
        UnavailableError: The package ``cryptography`` is not installed.
    """

    def __init__(self, keyring: Keyring, *, allow_plain: bool) -> None:
        if not isinstance(keyring, Keyring):
            raise TypeError(f"keyring must be a Keyring, not {type(keyring).__name__}")
        if type(allow_plain) is not bool:
            raise TypeError(f"allow_plain must be a bool, not {type(allow_plain).__name__}")
        self.keyring = keyring
        self.allow_plain = allow_plain
        self.front: str = f"{_FRONT}{keyring.primary.id}:"
        self.front_bytes: bytes = self.front.encode()
        self.cipher: Callable[[bytes], _Cipher]
        self.invalid: type[Exception]
        self.cipher, self.invalid = _library()

    def is_current(self, text: str) -> bool:
        """Say whether a text is sealed under the primary key."""
        return text.startswith(self.front)


class Box:
    """Encryption and decryption of the texts of one context; a box that is used again is cheaper.

    Args:
        sealer: Knows the keys.
        context: The unique name of the context: from `parts`.
        session_key: The session that it belongs to, for errors.
        conversation_id: The same for a conversation.
    """

    __slots__ = ("_ciphers", "_context", "_conversation_id", "_sealer", "_session_key")

    def __init__(
        self, sealer: Sealer, context: bytes, *, session_key: str | None = None, conversation_id: str | None = None
    ) -> None:
        self._sealer = sealer
        self._context = context
        self._session_key = session_key
        self._conversation_id = conversation_id
        self._ciphers: dict[str, _Cipher] = {}

    def seal(self, text: bytes, what: bytes) -> str:
        """Return `text` sealed under the primary key; opening it takes the same `what`."""
        sealer = self._sealer
        nonce = os.urandom(_NONCE_BYTES)
        bound = sealer.front_bytes + self._context + what
        sealed = self._cipher(sealer.keyring.primary).encrypt(nonce, text, bound)
        # msgspec's base64 is strict, and faster than the standard library's: four times where it
        # reads.
        base64: str = msgspec.to_builtins(nonce + sealed)
        return sealer.front + base64

    def open(self, text: str, what: bytes, *, position: int | None = None) -> bytes:
        """Return what was sealed; of a text that never was, and is allowed, itself.

        Args:
            text: The stored text.
            what: As given to `seal`.
            position: Which message it is, for the error.

        Raises:
            DecryptionError: It does not open.
        """
        if not text.startswith(_FRONT):
            if _VERSION.match(text):
                raise self._closed("is encrypted in a way that this version does not know", position)
            if self._sealer.allow_plain:
                return text.encode("utf-8", "surrogatepass")
            raise self._closed("is not encrypted, and allow_plain is off", position)
        end = text.find(":", len(_FRONT))
        key_id = text[len(_FRONT) : end]
        key = self._sealer.keyring.get(key_id)
        if end < 0 or key is None:
            named = f"the key {key_id!r}" if _KEY_ID.fullmatch(key_id) else "a key"  # what is no id may be anything
            raise self._closed(f"is encrypted under {named}, which is not in the keyring", position)
        raw = _decoded(text, end + 1)
        if raw is None:
            raise self._closed("was damaged: it is no ciphertext any more", position)
        bound = text[: end + 1].encode() + self._context + what
        try:
            return self._cipher(key).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], bound)
        except self._sealer.invalid:
            # The cause says nothing more.
            rule = "does not decrypt: its key is another one of the same id, or it was changed, or moved from elsewhere"
            raise self._closed(rule, position) from None

    def _cipher(self, key: EncryptionKey) -> _Cipher:
        cipher = self._ciphers.get(key.id)
        if cipher is None:
            cipher = self._ciphers[key.id] = self._sealer.cipher(key.subkey(self._context))
        return cipher

    def _closed(self, rule: str, position: int | None) -> DecryptionError:
        what = "the stored text" if position is None else f"the stored message at position {position}"
        return DecryptionError(
            f"{what} {rule}", session_key=self._session_key, conversation_id=self._conversation_id, position=position
        )


class Resealing:
    """A re-encryption of many stored texts, which goes on after one that cannot be read."""

    def __init__(self) -> None:
        self._rewritten = 0
        self._failure: CorruptSessionError | DecryptionError | SchemaVersionError | None = None

    async def see_to(self, reseal: Awaitable[bool]) -> None:
        """Await the re-encryption of one, which returns whether it was written anew.

        Errors of storage are raised at once.
        """
        try:
            self._rewritten += await reseal
        except (CorruptSessionError, DecryptionError, SchemaVersionError) as error:
            self._failure = self._failure or error

    def end(self) -> int:
        """Return how many were written anew.

        Raises:
            CorruptSessionError: The first that could not be read is damaged.
            DecryptionError: It does not decrypt.
            SchemaVersionError: A newer version wrote it.
        """
        if self._failure is not None:
            raise self._failure
        return self._rewritten


def _decoded(text: str, start: int) -> bytes | None:
    """Decode the base64 at the end of a text; None if its spelling is not canonical."""
    try:
        raw = msgspec.convert(text[start:], bytes)
    except (msgspec.ValidationError, UnicodeError):
        return None
    # Of a last group that is not full, some bits say nothing: they could be changed unnoticed.
    rest = len(raw) % 3
    if rest and binascii.b2a_base64(raw[-rest:], newline=False).decode() != text[-4:]:
        return None
    return raw if len(raw) >= _NONCE_BYTES + _TAG_BYTES else None


def _library() -> tuple[Callable[[bytes], _Cipher], type[Exception]]:
    try:
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415  # optional
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415
    except ImportError as error:
        needs = "encryption needs an extra: python -m pip install 'greentic-session[encryption]'"
        raise UnavailableError(needs) from error
    return AESGCM, InvalidTag
