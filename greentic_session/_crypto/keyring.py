"""Encryption keys of snapshots and messages: plain data, usable without the extra ``encryption``.

Nothing here shows a secret: not a repr, not an error, not a log, not a pickle. Only
`EncryptionKey.to_text` does, which is made for it.
"""

import base64
import binascii
import hmac
import secrets
from typing import Any, Final, Self

from greentic_session._base.hiding import Secret
from greentic_session.errors import InvalidInputError
from greentic_session.ids import check_id

__all__ = ["KEY_BYTES", "EncryptionKey", "Keyring"]

KEY_BYTES: Final = 32
"""The length of a secret, in bytes."""

_MAX_ID_CHARACTERS: Final = 64
_URL_SAFE: Final = str.maketrans("-_", "+/")


class EncryptionKey(Secret):
    """Encryption key: a secret, and the id by which a stored text names it.

    It cannot be pickled: give another process the text, by way of a place where secrets are kept.

    Args:
        id: From 1 to 64 ASCII letters, digits, ``.``, ``_`` and ``-``: ``"2026-02"``. Not secret:
            it stands in what is stored. Never give it to another secret as long as something is
            stored under it.
        secret: 32 random bytes.

    Raises:
        InvalidInputError: The id is none, or the secret has another length.
        TypeError: An argument has a wrong type.
    """

    __slots__ = ("_id", "_secret")

    def __init__(self, id: str, secret: bytes) -> None:
        self._id = check_id("a key id", id)
        if len(self._id) > _MAX_ID_CHARACTERS:
            raise InvalidInputError(f"a key id must have at most {_MAX_ID_CHARACTERS} characters")
        if not isinstance(secret, bytes):
            raise TypeError(f"a key's secret must be bytes, not {type(secret).__name__}")
        if len(secret) != KEY_BYTES:
            raise InvalidInputError(f"a key's secret must have {KEY_BYTES} bytes, not {len(secret)}")
        self._secret = bytes(secret)

    @property
    def id(self) -> str:
        """The id, which stored texts carry."""
        return self._id

    @classmethod
    def generate(cls, id: str) -> Self:
        """Return a key with a fresh random secret; `to_text` gives what to keep of it."""
        return cls(id, secrets.token_bytes(KEY_BYTES))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read ``id:secret``, the secret in base64 (either alphabet), as `to_text` writes it.

        Raises:
            InvalidInputError: It is not that. The message quotes nothing of it.
            TypeError: It is no str.
        """
        if not isinstance(text, str):
            raise TypeError(f"a key is read from a str, not {type(text).__name__}")
        id, colon, secret = text.strip().partition(":")
        if not colon:
            raise InvalidInputError("a key is written as id:secret, the secret in base64")
        try:
            decoded = binascii.a2b_base64(secret.translate(_URL_SAFE), strict_mode=True)
        except ValueError:
            raise InvalidInputError("a key's secret must be base64") from None  # the cause holds it
        return cls(id, decoded)

    def to_text(self) -> str:
        """Return ``id:secret``, to be kept where secrets are.

        Whoever has it can read all that is stored.
        """
        return f"{self._id}:{base64.b64encode(self._secret).decode()}"

    def subkey(self, context: bytes) -> bytes:
        """Return the key of 32 bytes for one context: for one session or one conversation.

        HKDF-Expand (RFC 5869) with SHA-256.
        """
        return hmac.digest(self._secret, context + b"\x01", "sha256")

    def __repr__(self) -> str:
        # An error tracker may ask one that was refused, and is half made.
        return f"EncryptionKey(id={getattr(self, '_id', None)!r}, secret=<hidden>)"


class Keyring(Secret):
    """The keys of a store: the primary one, which encrypts, and older ones, which only decrypt.

    To rotate, first add the new key as an older one wherever the store is used, then make it the
    primary one everywhere, and drop the old one when nothing is encrypted under it any more: when
    all of that was written anew (`reencrypt` of the encrypted stores) or has expired. The first
    step may be left out where all programs are restarted at once.

    Args:
        primary: Encrypts everything that is written.
        older: Decrypt what was written under them.

    Raises:
        InvalidInputError: Two keys have the same id.
        TypeError: An argument is no EncryptionKey.
    """

    __slots__ = ("_keys", "_primary")

    def __init__(self, primary: EncryptionKey, *older: EncryptionKey) -> None:
        keys: tuple[Any, ...] = (primary, *older)
        for key in keys:
            if not isinstance(key, EncryptionKey):
                raise TypeError(f"a keyring holds EncryptionKeys, not {type(key).__name__}")
        self._primary = primary
        self._keys: dict[str, EncryptionKey] = {key.id: key for key in keys}
        if len(self._keys) < len(keys):
            raise InvalidInputError("two keys of a keyring have the same id")

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read keys as `EncryptionKey.to_text` writes them, separated by commas or spaces.

        The first one is the primary key.

        So one environment variable holds a keyring.

        Raises:
            InvalidInputError: It is not that. The message quotes nothing of it.
            TypeError: It is no str.
        """
        if not isinstance(text, str):
            raise TypeError(f"a keyring is read from a str, not {type(text).__name__}")
        keys = [EncryptionKey.from_text(key) for key in text.replace(",", " ").split()]
        if not keys:
            raise InvalidInputError("a keyring needs a key")
        return cls(*keys)

    @property
    def primary(self) -> EncryptionKey:
        """The key that encrypts."""
        return self._primary

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all keys, that of the primary one first."""
        return tuple(self._keys)

    def get(self, id: str) -> EncryptionKey | None:
        """Return the key with this id; None if there is none."""
        return self._keys.get(id)

    def __repr__(self) -> str:
        primary, *older = getattr(self, "_keys", None) or [None]
        return f"Keyring(primary={primary!r}, older={older!r})"
