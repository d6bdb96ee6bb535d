"""An alarm that somebody has to take: ask one, remind them, ask another, give up."""

from collections.abc import Awaitable, Callable

import msgspec
from msgspec.structs import replace

from greentic_session import Claim, ReplyScope, Runner, SessionData, Start, TenantCtx

MINUTE = 60
ON_CALL = "on-call"
"""The user whose waits the alarms are."""

Tell = Callable[[str, str], Awaitable[None]]
"""Tells somebody something, in their own chat."""


class Step(msgspec.Struct, frozen=True):
    """Whom to tell what, and how long to wait then, in seconds."""

    whom: str
    text: str
    wait: float = 10 * MINUTE


class Alarm(msgspec.Struct, frozen=True):
    """The state of the flow: what is wrong, and what is to be done until it is taken."""

    text: str
    steps: list[Step]


async def raise_alarm(runner: Runner, tenant: str, id: str, alarm: Alarm) -> None:
    """Begin to tell people; the same alarm, raised again, changes nothing."""
    ctx = TenantCtx.new("prod", tenant, user=ON_CALL)
    start = Start(SessionData.new(ctx, "alarm", "tell", context=alarm))
    await runner.deliver(ctx, ON_CALL, ReplyScope(f"alarm:{id}"), "raise", delivery_id="raise", start=start)


async def take_alarm(runner: Runner, tenant: str, id: str, who: str) -> bool:
    """Hand over that somebody takes an alarm; False if it is over."""
    ctx = TenantCtx.new("prod", tenant, user=ON_CALL)
    return (await runner.deliver(ctx, ON_CALL, ReplyScope(f"alarm:{id}"), "taken", sender=who)).accepted


async def work(tell: Tell, claim: Claim) -> None:
    """Take the next step, unless somebody has taken the alarm."""
    alarm = claim.data.context(Alarm)
    if claim.reply is not None and not claim.is_new:
        await tell(claim.reply.sender or "", f"Yours, thank you: {alarm.text}")
        await claim.complete()
        return
    if not alarm.steps:
        await claim.complete()  # nobody has taken it
        return
    step, *rest = alarm.steps
    await tell(step.whom, f"{step.text}: {alarm.text}")
    data = claim.data.new_context(replace(alarm, steps=rest))
    await claim.park(claim.scope, data, ttl=step.wait, on_timeout="resume")
