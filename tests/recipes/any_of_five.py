"""A question that any of five people may answer: the first answer counts, and the others are told.

Whose wait it is and who answers are two things. The wait is the panel's; a reply says who sent it.
"""

from collections.abc import Awaitable, Callable

import msgspec

from greentic_session import Claim, ReplyScope, Runner, SessionData, Start, TenantCtx

HOUR, DAY = 3600, 24 * 3600
PANEL = "panel"
"""The user whose waits the questions are."""

Tell = Callable[[str, str], Awaitable[None]]
"""Tells somebody something, in their own chat."""


class Question(msgspec.Struct, frozen=True):
    """The state of the flow."""

    text: str
    members: list[str]


async def ask(runner: Runner, tenant: str, id: str, question: Question) -> None:
    """Ask all members, once: to ask again with the same id changes nothing."""
    ctx = TenantCtx.new("prod", tenant, user=PANEL)
    start = Start(SessionData.new(ctx, "panel", "ask", context=question), ttl=DAY)
    await runner.deliver(ctx, PANEL, ReplyScope(f"question:{id}"), "ask", delivery_id="ask", start=start)


async def answer(runner: Runner, tenant: str, id: str, member: str, text: str, message_id: str) -> bool:
    """Hand over what a member answered; False if the question is closed.

    Check before who they are: `member` is whoever you say.
    """
    ctx = TenantCtx.new("prod", tenant, user=PANEL)
    place = ReplyScope(f"question:{id}")
    delivery_id = f"{member}:{message_id}"
    return (await runner.deliver(ctx, PANEL, place, text, delivery_id=delivery_id, sender=member)).accepted


async def work(tell: Tell, claim: Claim) -> None:
    """Ask, then take the first answer of a member."""
    question, reply = claim.data.context(Question), claim.reply
    if claim.is_new:
        for member in question.members:
            await tell(member, question.text)
        await claim.park(claim.scope, claim.data.new_cursor("answer"), ttl=HOUR, on_timeout="resume")
        return
    if reply is not None and reply.sender not in question.members:
        await claim.stay()  # the question is still open
        return
    result = "Nobody has answered." if reply is None else f"{reply.sender} says: {reply.body}"
    for member in question.members:
        await tell(member, result)
    await claim.complete()
    for late in claim.leftovers:  # came in the same moment
        if late.sender in question.members:
            await tell(late.sender, "Somebody was faster.")
