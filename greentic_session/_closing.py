"""What can be closed, and refuses work afterwards."""

from .errors import UnavailableError

__all__ = ["Closable"]


class Closable:
    """The lifecycle that every backend has: open until it is closed, then closed for good."""

    closed: bool = False

    def check_open(self) -> None:
        """Refuse work after `aclose`.

        Raises:
            UnavailableError: The store was closed.
        """
        if self.closed:
            raise UnavailableError("the store is closed")
