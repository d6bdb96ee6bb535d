"""The rules of a session: what an operation makes of what is stored. Pure functions, no I/O.

A backend that keeps sessions in Python looks up what an operation is about, asks here, and applies
the answer; it decides nothing itself. On Redis the same rules stand once more in Lua
(`backends/redis/lua`), because there the server decides.

What a function is given is what is stored, expired or not: whether it is live is decided here, by
`now`. All moments are seconds by the clock of the backend. A function returns the decision, or
raises the documented error; where several rules are broken, the order of the checks says which
error that is.
"""

from .at_once import AtOnce, claim_at_once
from .claims import Held, claim, is_held, renew
from .deadlines import (
    Lifetime,
    begin_lifetime,
    is_heard,
    lengthen,
    lifetime_end,
    name_of_deadline,
    stay,
    storage_end,
    take_deadline,
    touch,
)
from .operators import Standing, drop, retry, standing
from .parking import Parked, park, resumes
from .readiness import busy_until, due_at, is_free, is_held_now, oldest, subject
from .replies import Kept, Leaving, Left, deliver, give_back, hold, id_end, kept_until, lapse, leave, receive, takeable
from .session import Session, check_update, check_version, end_after, is_live, latest_or_only, visible
from .turns import Begun, backoff_s, begin, fail, join, take_turn
from .waiting import Received, Turn, Waiting

__all__ = [
    "AtOnce",
    "Begun",
    "Held",
    "Kept",
    "Leaving",
    "Left",
    "Lifetime",
    "Parked",
    "Received",
    "Session",
    "Standing",
    "Turn",
    "Waiting",
    "backoff_s",
    "begin",
    "begin_lifetime",
    "busy_until",
    "check_update",
    "check_version",
    "claim",
    "claim_at_once",
    "deliver",
    "drop",
    "due_at",
    "end_after",
    "fail",
    "give_back",
    "hold",
    "id_end",
    "is_free",
    "is_heard",
    "is_held",
    "is_held_now",
    "is_live",
    "join",
    "kept_until",
    "lapse",
    "latest_or_only",
    "leave",
    "lengthen",
    "lifetime_end",
    "name_of_deadline",
    "oldest",
    "park",
    "receive",
    "renew",
    "resumes",
    "retry",
    "standing",
    "stay",
    "storage_end",
    "subject",
    "take_deadline",
    "take_turn",
    "takeable",
    "touch",
    "visible",
]
