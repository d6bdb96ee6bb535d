"""Texts that change: SQLite leaves out the pages of a value that did not.

Needs nothing but the standard library: a peer's process uses it in an environment of its own.
"""

import itertools
import random
import string
from typing import Final

__all__ = ["ChangingTexts"]

_TEXTS: Final = 97
"""A prime: the calls for one user, whatever their number, get one text after the other."""
_ALPHABET: Final = string.ascii_letters + string.digits + ".-"


class ChangingTexts:
    """Random texts of one length, made beforehand and given out in turn.

    Args:
        size: Length of each text, in characters of one byte.
    """

    def __init__(self, size: int = 4096) -> None:
        chosen = random.Random(size)
        texts = ["".join(chosen.choices(_ALPHABET, k=size)) for _ in range(_TEXTS)]
        self._turns = itertools.cycle(texts)

    def next(self) -> str:
        """Return the next text, as a new string that has no cached hash."""
        return next(self._turns).encode().decode()
