"""A record of all calls of a process that replies depend on, and the history of several records.

A call's begin is written down before it is made, so that the record of a process that was killed
tells which of its calls may have had an effect.
"""

import json
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from greentic_session.backend import SessionBackend, arguments, replies
from greentic_session.backends.forwarding import ForwardingBackend
from greentic_session.errors import ConflictError
from greentic_session.models import ReplyScope
from greentic_session.reply import Reply
from greentic_session.tenancy import Owner

from .place import Call, Span, check_place

__all__ = ["History", "RecordingBackend"]

T = TypeVar("T")
_CALL, _ANSWER, _GONE = "call", "answer", "gone"
_TAKES_EFFECT_S = 10.0
"""How long behind its end a call that was cut off has its effect, at most: a server may be slow."""


class RecordingBackend(ForwardingBackend):
    """A backend that writes down its calls: of places that are named as their conversations.

    Session keys are named like their places, too.

    Args:
        backend: What does the work.
        write: Takes a line; what it has taken outlives the process.
        process: A name that no other record has.
    """

    def __init__(self, backend: SessionBackend, write: Callable[[str], object], process: str) -> None:
        super().__init__(backend)
        self._write = write
        self._process = process
        self._count = 0

    async def _recorded(
        self,
        work: Awaitable[T],
        answer: Callable[[T], dict[str, Any]],
        **call: Any,
    ) -> T:
        self._count += 1
        number = f"{self._process}-{self._count}"
        self._write(json.dumps([_CALL, number, {**call, "begin": time.monotonic()}]) + "\n")
        try:
            answered = await work
        except ConflictError:
            self._write(json.dumps([_ANSWER, number, {"outcome": "over", "end": time.monotonic()}]) + "\n")
            raise
        except BaseException:
            self._write(json.dumps([_GONE, number, {"gone": time.monotonic()}]) + "\n")
            raise
        self._write(json.dumps([_ANSWER, number, {**answer(answered), "end": time.monotonic()}]) + "\n")
        return answered

    async def deliver(self, delivering: replies.Delivering) -> replies.Delivered:
        return await self._recorded(
            self._inner.deliver(delivering),
            lambda delivered: {"outcome": str(delivered.outcome), **_made(delivered.claimed)},
            what="deliver",
            place=delivering.scopes[0].conversation,
            token=delivering.token,
            reply=delivering.delivery_id or "",
            seconds=delivering.lease_ms / 1000,
            claims=delivering.claims,
        )

    async def claim_ready(self, readying: replies.Readying) -> replies.Readiness:
        return await self._recorded(
            self._inner.claim_ready(readying),
            lambda readiness: {"outcome": "claimed" if readiness.claimed else "nothing", **_made(readiness.claimed)},
            what="ready",
            token=readying.token,
            seconds=readying.lease_ms / 1000,
        )

    async def stay(self, staying: replies.Staying) -> bool:
        return await self._recorded(
            self._inner.stay(staying), _done, what="verdict", place=str(staying.key), token=staying.token
        )

    async def park(self, parking: arguments.Parking) -> arguments.Settled:
        if parking.token is None:
            return await self._inner.park(parking)
        return await self._recorded(
            self._inner.park(parking),
            lambda _: {"outcome": "done"},
            what="verdict",
            place=str(parking.key),
            token=parking.token,
        )

    async def release(self, key: str, token: str) -> bool:
        return await self._recorded(self._inner.release(key, token), _done, what="release", place=key, token=token)

    async def put_off(self, putting_off: replies.PuttingOff) -> bool:
        return await self._recorded(
            self._inner.put_off(putting_off),
            _done,
            what="put_off",
            place=str(putting_off.key),
            token=putting_off.token,
            seconds=putting_off.delay_ms / 1000,
        )

    async def renew(self, key: str, token: str, lease_ms: int) -> bool:
        return await self._recorded(
            self._inner.renew(key, token, lease_ms), _done, what="renew", place=key, token=token, seconds=lease_ms / 1000
        )

    async def inbox(self, owner: Owner, scope: ReplyScope) -> tuple[Reply, ...]:
        return await self._recorded(
            self._inner.inbox(owner, scope),
            lambda found: {"outcome": " ".join(reply.delivery_id or "" for reply in found)},
            what="inbox",
            place=scope.conversation,
        )


def _done(was_live: bool) -> dict[str, Any]:  # noqa: FBT001  # what the backend answers
    return {"outcome": "done" if was_live else "over"}


def _made(claimed: arguments.Claimed | None) -> dict[str, Any]:
    if claimed is None:
        return {}
    held = claimed.replies[0].delivery_id if claimed.replies else ""
    return {"place": str(claimed.wait.key), "held": held, "key": claimed.turn_key}


class History:
    """The calls of several records.

    Attributes:
        calls: By place; those that had no answer are in it when it was checked.
        unseen: By place, when there may have been a claim that nobody got: calls without an answer
            made it. Under the empty name are those that may have been anywhere.
        keys: The idempotency keys that claims had, by the reply that they held.
        accepted: The deliveries that were acknowledged.
    """

    def __init__(self, lines: Iterable[str] = ()) -> None:
        self._begun: dict[str, dict[str, Any]] = {}
        self.calls: defaultdict[str, list[Call]] = defaultdict(list)
        self.unseen: defaultdict[str, list[Span]] = defaultdict(list)
        self.keys: defaultdict[str, set[str]] = defaultdict(set)
        self.accepted: set[str] = set()
        self.add(lines)

    def add(self, lines: Iterable[str]) -> None:
        """Add lines of records; those of one record in their order."""
        begun = self._begun
        for line in lines:
            kind, number, told = json.loads(line)
            if kind == _CALL:
                begun[number] = told
                continue
            if kind == _GONE:
                begun[number] |= told
                continue
            if told["outcome"] == "nothing":
                del begun[number]
                continue
            key = told.pop("key", None)
            call = Call(**{**begun.pop(number), **told})
            self.calls[call.place].append(call)
            if call.held:
                self.keys[call.held].add(key)
            if call.what == "deliver":
                self.accepted.add(call.reply)

    def check(self) -> None:
        """Check that the calls at each place are linearizable, and that keys are of one turn.

        Raises:
            Unexplained: They are not.
        """
        for told in self._begun.values():
            gone = told.pop("gone", told["begin"])
            if "place" in told:
                self.calls[told["place"]].append(Call(**told))
            if told["what"] in ("ready", "deliver"):
                self.unseen[told.get("place", "")].append((told["begin"], gone + _TAKES_EFFECT_S + told["seconds"]))
        self._begun = {}
        for place, calls in self.calls.items():
            check_place(calls, self.unseen[place] + self.unseen[""])
        assert all(len(keys) == 1 for keys in self.keys.values()), "a reply had several idempotency keys"
        assert len(set.union(*self.keys.values())) == len(self.keys), "two replies had the same idempotency key"

    def verdicts(self) -> int:
        """Return how many verdicts were acknowledged."""
        return sum((call.what, call.outcome) == ("verdict", "done") for calls in self.calls.values() for call in calls)
