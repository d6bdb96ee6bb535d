"""Errors that say one sentence, whichever session or conversation they are about."""

from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Refusal"]

T = TypeVar("T")


class Refusal(Generic[T]):
    """Maker of the errors of one kind: call it with what an error is about.

    Args:
        error: Class of the errors.
        message: What each says.
        about: Which argument of the class takes what it is about.
    """

    def __init__(self, error: Callable[..., T], message: str, *, about: str = "session_key") -> None:
        self._error = error
        self._message = message
        self._about = about

    def __call__(self, about: str) -> T:
        return self._error(self._message, **{self._about: about})
