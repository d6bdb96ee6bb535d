"""Scripts that a server does not know: each is sent once, for all calls that this meets at a time.

A script is long, and hundreds of its calls may be under way.
"""

from .executor import Arg
from .packing import pack

__all__ = ["ScriptLoads"]


class ScriptLoads:
    """When each script was sent, by the numbers of the calls of one client.

    Attributes:
        calls: How many calls were sent.
    """

    def __init__(self) -> None:
        self.calls = 0
        self._sent_after: dict[Arg, int] = {}

    def again(self, command: tuple[Arg, ...], script: str, packed: bytes, number: int) -> tuple[bytes, str | None]:
        """Return what is sent next of a script that the server did not know, packed.

        And the script, if that is its SHA-1 once more: where another call has sent the script since
        this one, of that number, went out.
        """
        if self._sent_after.get(command[1], 0) >= number:
            return packed, script
        self._sent_after[command[1]] = self.calls
        return pack(("EVAL", script, *command[2:])), None
