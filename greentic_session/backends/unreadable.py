"""Handling of a claimed wait whose session turns out to be unreadable: it is put off."""

import logging
from typing import Final

from greentic_session.backend import PuttingOff, SessionBackend
from greentic_session.errors import CorruptSessionError, DecryptionError
from greentic_session.tenancy import Owner

__all__ = ["put_off_unreadable"]

_DELAY_MS: Final = 300_000

_log = logging.getLogger("greentic_session")


async def put_off_unreadable(
    backend: SessionBackend,
    owner: Owner | None,
    key: str,
    token: str,
    error: CorruptSessionError | DecryptionError,
) -> None:
    """Give a claim back, and let its wait rest for 300 seconds; log one line."""
    _log.warning("a session that is ready cannot be read (%s); it rests for 300 s", error.code)
    if owner is None:
        await backend.release(key, token)
    else:
        await backend.put_off(PuttingOff(owner, key, token, _DELAY_MS))
