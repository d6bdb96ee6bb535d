"""Namespaces of a test's own."""

import uuid

__all__ = ["Namespaces"]


class Namespaces:
    """Makes random namespaces when it is called, and remembers them.

    Attributes:
        made: Those so far.
    """

    def __init__(self) -> None:
        self.made: list[str] = []

    def __call__(self) -> str:
        self.made.append(f"test-{uuid.uuid4().hex}")
        return self.made[-1]
