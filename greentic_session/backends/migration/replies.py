"""The copy of replies, behind that of the sessions that wait for them."""

from .report import Report
from .sides import ReplySource, ReplyTarget

__all__ = ["copy_replies", "remove_settled"]


async def copy_replies(source: ReplySource, target: ReplyTarget, report: Report) -> None:
    """Copy inboxes one by one, then what is remembered."""
    async for inbox in source.inboxes():
        report.replies += await target.put_inbox(inbox)
    async for deliveries in source.deliveries():
        await target.put_deliveries(deliveries)


async def remove_settled(source: ReplySource, target: ReplyTarget) -> None:
    """Settle the copies of what the source has settled or removed since."""
    async for copies in target.copies():
        if gone := await source.lacks(copies):
            await target.remove(gone)
