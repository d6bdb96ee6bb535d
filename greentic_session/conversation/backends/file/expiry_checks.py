"""Expiry of conversations that no caller asks for: which ones of a partition to check next."""

import os
import threading
from collections import OrderedDict
from typing import Final

from greentic_session.conversation.jsonl.names import LOG, base_of

__all__ = ["ExpiryChecks"]

_MAX_PARTITIONS: Final = 64
"""How many partitions have a list of conversations to check."""
_CHECKS_PER_CREATION: Final = 4
"""Conversations checked per creation: more than one, so that expired ones do not pile up."""


class ExpiryChecks:
    """Conversations to check for expiry, directory by directory, in turn. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rounds: OrderedDict[str, list[str]] = OrderedDict()

    def next_bases(self, directory: str) -> list[str]:
        """Return the base paths of the next conversations to check in a directory."""
        with self._lock:
            names = self._rounds.pop(directory, None)
        if not names:
            names = [parts[0] for parts in map(base_of, os.listdir(directory)) if parts and parts[1] == LOG]  # noqa: PTH208
        found = [os.path.join(directory, name) for name in names[-_CHECKS_PER_CREATION:]]  # noqa: PTH118
        del names[-_CHECKS_PER_CREATION:]
        with self._lock:
            self._rounds[directory] = names
            if len(self._rounds) > _MAX_PARTITIONS:
                self._rounds.popitem(last=False)
        return found
