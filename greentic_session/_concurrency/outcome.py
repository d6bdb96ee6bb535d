"""The outcome of work that another thread does for its caller."""

from typing import Any

__all__ = ["Outcome"]


class Outcome:
    """The result of some work, or the error that it raised.

    Attributes:
        result: The result.
        error: The error; None if there is none.
    """

    __slots__ = ("error", "result")

    result: Any
    error: BaseException | None

    def outcome(self) -> Any:
        """Return the result, or raise the error."""
        if self.error is not None:
            try:
                raise self.error
            finally:
                self.error = None  # its traceback refers to this object: a cycle
        return self.result
