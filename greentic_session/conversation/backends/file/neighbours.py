"""Expiry of conversations that nobody asks for: which ones of a partition to check next."""

import os
import threading
from collections import OrderedDict
from typing import Final

from greentic_session.conversation.backends.file.names import LOG, base_of

__all__ = ["Neighbours"]

_PARTITIONS: Final = 64
"""How many partitions are remembered."""
_SOME: Final = 4
"""Number of conversations to check per operation: more than one, so that expired ones go."""


class Neighbours:
    """Goes round in each directory, a few conversations at a time. For several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rounds: OrderedDict[str, list[str]] = OrderedDict()

    def some(self, directory: str) -> list[str]:
        """Return the base paths of the next few conversations in a directory."""
        with self._lock:
            names = self._rounds.pop(directory, None)
        if not names:
            names = [parts[0] for parts in map(base_of, os.listdir(directory)) if parts and parts[1] == LOG]  # noqa: PTH208
        found = [os.path.join(directory, name) for name in names[-_SOME:]]  # noqa: PTH118
        del names[-_SOME:]
        with self._lock:
            self._rounds[directory] = names
            if len(self._rounds) > _PARTITIONS:
                self._rounds.popitem(last=False)
        return found
