"""A project that uses greentic_session: an expense waits until the manager has decided on it."""

import msgspec

from greentic_session import ReplyScope, SessionData, SessionStore, TenantCtx

__all__ = ["Expense", "decide", "submit"]


class Expense(msgspec.Struct, frozen=True):
    """What somebody wants back, in cents."""

    what: str
    cents: int


async def submit(store: SessionStore, ctx: TenantCtx, manager: str, number: int, expense: Expense) -> None:
    """Ask `manager` about an expense, and forget about it."""
    owner = ctx.with_user(manager)
    data = SessionData.new(owner, "expense", "decide", context=expense)
    scope = ReplyScope("expenses", correlation=str(number))
    await store.register_wait(owner, manager, scope, f"expense-{number}", data, ttl=14 * 86_400)


async def decide(store: SessionStore, ctx: TenantCtx, number: int, *, approved: bool) -> str:
    """Take the decision of the manager that `ctx` names, and resume the flow.

    Raises:
        ClaimedError: Another process takes the same decision.
        LookupError: Nothing with this number waits for that manager.
    """
    scope = ReplyScope("expenses", correlation=str(number))
    claim = await store.claim_wait(ctx, ctx.effective_user or "", scope, fallback=False)
    if claim is None:
        raise LookupError("nothing waits for this decision")
    async with claim:
        expense = claim.data.context(Expense)
        await claim.complete()
        return f"{expense.what}: {f'{expense.cents / 100:.2f} are paid' if approved else 'refused'}"
