"""The rules of a session: what an operation makes of what is stored. Pure functions, no I/O.

A backend that keeps sessions in Python looks up what an operation is about, asks here, and applies
the answer; it decides nothing itself. On Redis the same rules stand once more in Lua
(`backends/redis/lua`), because there the server decides.

What a function is given is what is stored, expired or not: whether it is live is decided here, by
`now`. All moments are seconds by the clock of the backend. A function returns the decision, or
raises the documented error; where several rules are broken, the order of the checks says which
error that is.
"""

from .claims import Held, claim, is_held, renew
from .parking import Parked, park
from .session import Session, check_update, check_version, end_after, is_live, latest_or_only, visible

__all__ = [
    "Held",
    "Parked",
    "Session",
    "check_update",
    "check_version",
    "claim",
    "end_after",
    "is_held",
    "is_live",
    "latest_or_only",
    "park",
    "renew",
    "visible",
]
