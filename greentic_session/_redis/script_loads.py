"""Scripts that a server does not know: each is sent once, for all calls that this meets at a time.

A script is long, and hundreds of its calls may be under way.
"""

from .executor import Arg
from .packing import pack

__all__ = ["ScriptLoads"]


class ScriptLoads:
    """The scripts that a client has sent.

    Attributes:
        sent: How many that were.
    """

    def __init__(self) -> None:
        self.sent = 0
        self._last: dict[Arg, int] = {}

    def again(self, command: tuple[Arg, ...], script: str, packed: bytes, sent: int) -> tuple[bytes, str | None]:
        """Return what is sent next of a script that the server did not know, packed.

        And the script, if that is its SHA-1 once more: where another call has sent the script since
        this one went out, when so many had been `sent`.
        """
        if self._last.get(command[1], 0) > sent:
            return packed, script
        self.sent = self._last[command[1]] = self.sent + 1
        return pack(("EVAL", script, *command[2:])), None
