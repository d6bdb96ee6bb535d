"""Answers of scripts about replies and claims, as Python objects."""

from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from typing import Any

import msgspec

from greentic_session._base.dates import EPOCH
from greentic_session._redis.answers import foreign, number
from greentic_session.backend import Claimed, Delivering
from greentic_session.errors import GreenticError
from greentic_session.limits import ReplyLimits
from greentic_session.models import ReplyScope
from greentic_session.reply import Reply, delivery_hash
from greentic_session.wait import Wait

__all__ = [
    "beside",
    "claimed_of",
    "deadline_of",
    "delivery_name",
    "limits_of",
    "own_reply",
    "replies_of",
    "reply_of",
    "terms_of",
]


_BESIDE_DECODER = msgspec.json.Decoder(tuple[str | None, str | None, ReplyScope])


def beside(delivering: Delivering, scope: bytes) -> bytes:
    """Return what stands beside the body of a reply, and only clients read; `scope` is JSON."""
    return b"[%b,%b]" % (msgspec.json.encode((delivering.delivery_id, delivering.sender))[1:-1], scope)


def delivery_name(delivering: Delivering) -> str:
    """Return the name under which a delivery is remembered; empty for one without an id."""
    if delivering.delivery_id is None:
        return ""
    return delivery_hash(delivering.scopes[0].conversation, delivering.delivery_id).hex()


def terms_of(limits: ReplyLimits) -> str:
    """Return for how long a store keeps things, as `lua/includes/terms.lua` reads it."""
    return f"{limits.reply_grace_ms} {limits.timeout_grace_ms} {limits.dedupe_window_ms}"


@cache  # a program has a few, and every delivery asks
def limits_of(limits: ReplyLimits) -> str:
    """Return the same, and behind it what there may be of replies."""
    owner_factor = limits.max_kept_replies // limits.max_replies
    return f"{terms_of(limits)} {limits.max_replies} {limits.max_inbox_bytes} {owner_factor}"


def reply_of(told: Sequence[bytes], own: Delivering | None = None) -> Reply:
    """Return a reply as `told_reply` in `lua/includes/inboxes.lua` tells it.

    Of the caller's `own` only the rest is told.

    Raises:
        InternalError: It is not one.
    """
    reply_id, body, text, accepted = told
    if own is not None and body is None:
        return own_reply(own, accepted)
    at = EPOCH + timedelta(microseconds=int(accepted))
    try:
        delivery_id, sender, scope = _BESIDE_DECODER.decode(text)
    except (msgspec.MsgspecError, GreenticError) as error:
        raise foreign() from error
    return Reply(reply_id.decode(), body.decode("utf-8", "surrogatepass"), scope, at, delivery_id, sender)


def own_reply(own: Delivering, accepted: bytes) -> Reply:
    """Return the caller's own reply, of which only is told when it was accepted."""
    at = EPOCH + timedelta(microseconds=int(accepted))
    return Reply(own.reply_id, own.text, own.scopes[0], at, own.delivery_id, own.sender)


def deadline_of(told: bytes) -> float | None:
    """Return a deadline in seconds since the epoch; None for never."""
    return None if told == b"inf" else float(told) / 1000


def replies_of(told: Sequence[Sequence[bytes]], known: Reply | None = None) -> tuple[Reply, ...]:
    """Return several of them; of one that is `known`, only the rest need be told."""
    id_known = None if known is None else known.id.encode()
    return tuple([known if known is not None and each[0] == id_known else reply_of(each) for each in told])


def claimed_of(wait: Wait, told: Sequence[Any], known: Reply | None = None) -> Claimed:
    """Return a claim as `told_claim` in `lua/includes/places.lua` tells it, behind the text.

    `known` is as for `replies_of`.

    Of a session that takes no part in replies only the deadline is told, by `claim.lua` in parts.
    """
    if type(told[0]) is int:
        left_ms, seconds, micros = told
        return Claimed(wait, deadline=int(seconds) + (int(micros) + left_ms * 1000) / 1_000_000)
    deadline = deadline_of(told[0])
    if len(told) == 1:
        return Claimed(wait, deadline=deadline)
    turn_key, attempt, timed_out, is_new, *held = told[1:]
    return Claimed(
        wait,
        turn_key.decode() or None,
        number(attempt),
        replies_of(held, known),
        deadline,
        bool(number(timed_out)),
        bool(number(is_new)),
    )
