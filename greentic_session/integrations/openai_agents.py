"""Sessions of openai-agents, kept as conversations: ``Runner.run(agent, text, session=...)``.

It needs the framework: ``python -m pip install 'greentic-session[openai-agents]'``.
"""

from typing import TYPE_CHECKING, Any

from greentic_session._json.fields import check_instance
from greentic_session.conversation import ConversationStore
from greentic_session.conversation.rules import check_conversation_id, partition_of
from greentic_session.errors import ConflictError, NotFoundError
from greentic_session.models import TenantCtx

if TYPE_CHECKING:
    from agents import SessionSettings, TResponseInputItem

__all__ = ["AgentSession", "AgentSessions"]


class AgentSessions:
    """Sessions of one tenant.

    Args:
        conversations: Where they are kept, made with ``message_type=dict[str, Any]``. Its `ttl` is
            that of the sessions. The caller closes it.
        ctx: The tenant: env, tenant and team. Sessions of others are absent.

    Raises:
        InvalidInputError: The team of `ctx` is ``-``.
        TypeError: An argument has a wrong type.
    """

    def __init__(self, conversations: ConversationStore[dict[str, Any]], ctx: TenantCtx) -> None:
        check_instance("conversations", conversations, ConversationStore)
        partition_of(ctx)
        self._conversations = conversations
        self._ctx = ctx

    def session(self, session_id: str, session_settings: "SessionSettings | None" = None) -> "AgentSession":
        """Return a session, new or stored; no I/O.

        Args:
            session_id: From 1 to 255 characters, which are the id of the conversation.
            session_settings: Its `limit` is how many of the last items the model gets.

        Raises:
            InvalidInputError: The id is not valid.
            TypeError: The id is no str.
        """
        return AgentSession(self._conversations, self._ctx, check_conversation_id(session_id), session_settings)


class AgentSession:
    """A session of openai-agents, made by `AgentSessions.session`.

    The conversation begins with the first item. Every item is stored and given back unchanged.
    Besides what is said below, the methods raise the errors of a `ConversationStore`.

    Attributes:
        session_id: The id of the session and its conversation.
        session_settings: The settings.
    """

    def __init__(
        self,
        conversations: ConversationStore[dict[str, Any]],
        ctx: TenantCtx,
        session_id: str,
        session_settings: "SessionSettings | None",
    ) -> None:
        self._conversations = conversations
        self._ctx = ctx
        self.session_id: str = session_id
        self.session_settings: SessionSettings | None = session_settings

    async def get_items(self, limit: int | None = None) -> "list[TResponseInputItem]":
        """Return the items, oldest first.

        Args:
            limit: How many of the last ones, from 0; None for as many as the settings say. As many
                as the settings say are for a model: then they are fewer, rather than begin with the
                output of a call that is left out. For any other number they are exactly so many.
        """
        settled = None if self.session_settings is None else self.session_settings.limit
        last = settled if limit is None else limit
        whole_turns = last is not None and last == settled
        try:
            found: Any = await self._conversations.messages(self._ctx, self.session_id, last=last, whole_turns=whole_turns)
        except NotFoundError:
            return []
        return list(found)

    async def add_items(self, items: "list[TResponseInputItem]") -> None:
        """Append items, all or none; the first ones create the conversation."""
        if not items:
            return
        written: Any = items
        while True:
            try:
                await self._conversations.append(self._ctx, self.session_id, *written)
            except NotFoundError:
                try:
                    await self._conversations.create(self._ctx, id=self.session_id)
                except ConflictError:
                    pass  # another run has created it
            else:
                return

    async def pop_item(self) -> "TResponseInputItem | None":
        """Remove the last item and return it; None without any."""
        try:
            popped: Any = await self._conversations.pop(self._ctx, self.session_id)
        except NotFoundError:
            return None
        return popped[0] if popped else None

    async def clear_session(self) -> None:
        """Remove all items."""
        try:
            await self._conversations.clear(self._ctx, self.session_id)
        except NotFoundError:
            pass
