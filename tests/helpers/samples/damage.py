"""Damage to the text of a file, for tests of what can still be read."""

from collections.abc import Callable

__all__ = ["changed"]


def changed(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """Return a function that replaces a part of a text, which has to be there."""

    def change(text: bytes) -> bytes:
        assert old in text
        return text.replace(old, new)

    return change
