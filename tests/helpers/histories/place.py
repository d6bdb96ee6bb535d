"""Sequential model of one place whose wait never leaves it: what each call may answer, and when.

Leases and delays end by themselves. When that was is known from the begin and the end of the call
that set them, so the model knows of each the earliest and the latest moment: a call may rely on a
lease that has ended if it ended behind the earliest, and on one that lives if it began before the
latest.
"""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

from .linearizability import Search

__all__ = ["EMPTY", "Call", "Place", "Span", "check_place", "step"]

_SLACK_S = 0.02
"""How far the clocks of processes and servers may be apart, and the rounding to milliseconds."""


Span: TypeAlias = tuple[float, float]
"""From a moment to a later one."""


class Call(NamedTuple):
    """One call of one process.

    Attributes:
        what: deliver, ready, verdict, release, put_off, renew or inbox.
        place: The place that it was about; empty where that is not known.
        begin: When it began.
        end: When it ended; infinity where it had no answer.
        outcome: What it answered; empty where that is not known. Of deliver the outcome, of ready
            ``claimed``, of inbox what lay there, of the others ``done`` or ``over``.
        token: That of the claim by which it was made, or that it made.
        reply: What was delivered.
        held: What the claim that it made holds.
        seconds: The lease or the delay.
        claims: Whether a delivery wanted a claim.
    """

    what: str
    place: str
    begin: float
    end: float = math.inf
    outcome: str = ""
    token: str = ""
    reply: str = ""
    held: str = ""
    seconds: float = 0.0
    claims: bool = True


class Held(NamedTuple):
    """A claim: until when it lives, and whether it is certain, for nobody may have got it.

    What nobody got is given back by its token, at any moment.
    """

    token: str
    reply: str
    earliest_end: float
    latest_end: float
    is_certain: bool


class Place(NamedTuple):
    """State of a place.

    Attributes:
        lying: The unsettled replies, oldest first.
        settled: Those that had their verdict.
        held: The claim, ended or not.
        rest: The earliest and the latest moment at which the wait is no more put off.
    """

    lying: tuple[str, ...] = ()
    settled: frozenset[str] = frozenset()
    held: Held | None = None
    rest: Span = (-math.inf, -math.inf)


EMPTY = Place()


def check_place(calls: list[Call], unseen: Sequence[Span] = ()) -> None:
    """Check that there is an order that explains the calls at one place.

    Args:
        calls: The calls.
        unseen: When a claim may have been there that nobody got, and that no call tells of.

    Raises:
        Unexplained: There is none.
    """
    Search(calls, partial(step, unseen)).order(EMPTY)


def step(unseen: Sequence[Span], place: Place, call: Call) -> Iterator[Place]:
    """Yield what a place may be behind a call, with the answer that it had."""
    if call.what == "inbox":
        if call.outcome == " ".join(place.lying):
            yield place
    elif call.what == "deliver":
        yield from _deliver(unseen, place, call)
    elif call.what == "ready":
        yield from _claim(place, call)
    else:
        yield from _by_claim(place, call)


def _deliver(unseen: Sequence[Span], place: Place, call: Call) -> Iterator[Place]:
    if call.reply in place.settled:
        if call.outcome == "duplicate":
            yield place
        return
    accepted = place if call.reply in place.lying else place._replace(lying=(*place.lying, call.reply))
    if not call.outcome:
        if accepted is not place:  # else it had no effect but an unseen claim, perhaps
            yield accepted
    elif call.outcome == "queued":
        if not call.claims or _may_be_busy(unseen, place, call):
            yield accepted
    elif call.outcome == "claimed":
        yield from _claim(accepted, call)


def _claim(place: Place, call: Call) -> Iterator[Place]:
    held, rest = place.held, place.rest
    ended = held is None or not held.is_certain or call.end + _SLACK_S >= held.earliest_end
    if not place.lying or not ended or call.end + _SLACK_S < rest[0]:
        return
    if call.outcome and call.held != place.lying[0]:
        return
    made = Held(call.token, place.lying[0], call.begin + call.seconds, call.end + call.seconds, bool(call.outcome))
    yield place._replace(held=made, rest=EMPTY.rest)


def _by_claim(place: Place, call: Call) -> Iterator[Place]:
    held = place.held
    is_its = held is not None and held.token == call.token
    if call.outcome == "over":
        if held is None or not is_its or not held.is_certain or call.end + _SLACK_S >= held.earliest_end:
            yield place
        return
    if held is None or not is_its or call.begin - _SLACK_S >= held.latest_end:
        return
    if call.what == "verdict":
        lying = tuple(reply for reply in place.lying if reply != held.reply)
        yield Place(lying, place.settled | {held.reply})
    elif call.what == "release":
        yield place._replace(held=None)
    elif call.what == "put_off":
        yield place._replace(held=None, rest=(call.begin + call.seconds, call.end + call.seconds))
    else:  # renew; one without an answer leaves the lease that there was, or has made it longer
        earliest = call.begin + call.seconds if call.outcome else min(held.earliest_end, call.begin + call.seconds)
        yield place._replace(held=held._replace(earliest_end=earliest, latest_end=call.end + call.seconds))


def _may_be_busy(unseen: Sequence[Span], place: Place, call: Call) -> bool:
    began = call.begin - _SLACK_S
    if (place.held is not None and began < place.held.latest_end) or began < place.rest[1]:
        return True
    return any(since <= call.end and began < until for since, until in unseen)
