"""The conversations of a copy, one by one."""

from greentic_session.conversation.copying import Copied, copy_conversation
from greentic_session.tenancy import NO_TEAM, Partition

from .report import Report
from .sides import Side

__all__ = ["Conversations"]


class Conversations:
    """Copies conversations, and counts what became of them.

    Args:
        source: Where they come from.
        target: Where they go to.
        report: Where all is counted.
    """

    def __init__(self, source: Side, target: Side, report: Report) -> None:
        self._from = source.conversations
        self._to = target.conversations
        self._report = report

    async def copy(self, name: bytes) -> None:
        """Copy a conversation, if it is newer than the target's.

        Args:
            name: ``env:tenant:team or -:id``.
        """
        report = self._report
        try:
            env, tenant, team, id = name.decode().split(":", 3)
        except ValueError:
            report.conversations_corrupt += 1
            return
        partition: Partition = (env, tenant, None if team == NO_TEAM else team)
        match await copy_conversation(self._from, self._to, partition, id):
            case Copied.WRITTEN:
                report.conversations += 1
            case Copied.UNCHANGED:
                report.conversations_unchanged += 1
            case Copied.KEPT:
                report.conversations_kept += 1
            case Copied.CORRUPT:
                report.conversations_corrupt += 1
            case Copied.ABSENT:
                pass
