"""From a Telegram message to the store's terms: whose it is, and which question it answers."""

from typing import Final

from greentic_session import ReplyScope, SessionKey, TenantCtx
from greentic_session.mapping import telegram_update_to_session_key

from .telegram import Message, User

__all__ = ["answer_scopes", "question_scope", "session_key", "tenant_of", "tenant_partition", "user_of"]

_ENV: Final = "demo"
_BOT_ID: Final = 7_000_000_001
_TENANT_BY_CHAT: Final = {
    5101: "trattoria",
    -1_001_000_000_042: "trattoria",
    5202: "sushi-bar",
    -1_002_000_000_077: "sushi-bar",
}
_OTHER_TENANT: Final = "walk-in"


def tenant_of(message: Message) -> str:
    """Return the tenant whose chat this is."""
    return _TENANT_BY_CHAT.get(message.chat.id, _OTHER_TENANT)


def tenant_partition(tenant: str) -> TenantCtx:
    """Return the context of a tenant; add a user, and it is that of one caller."""
    return TenantCtx.new(_ENV, tenant)


def user_of(sender: User) -> str:
    """Return the user's id."""
    return f"tg-{sender.id}"


def session_key(ctx: TenantCtx, message: Message, sender: User) -> SessionKey:
    """Return the key of the person's order in this chat.

    There is one at a time, and every runner finds the same key.
    """
    return telegram_update_to_session_key(_BOT_ID, message.chat.id, sender.id, ctx=ctx)


def question_scope(message: Message) -> ReplyScope:
    """Return where the answer will come in to the question that the bot asks after `message`.

    In a group, where many people talk, an answer must be a reply to the question itself.
    """
    # A real bot learns the id when it has sent the question; in the recording it is always the next
    # one.
    question = None if message.is_private else str(message.message_id + 1)
    return _scope(message, question)


def answer_scopes(message: Message) -> list[ReplyScope]:
    """Return where to look for the question that `message` answers; the most exact place first."""
    if message.replied is None:
        return [_scope(message, None)]
    exact = _scope(message, str(message.replied.message_id))
    # Alone with the bot some people use the reply function, though they need not: the flow waits
    # without it.
    return [exact, _scope(message, None)] if message.is_private else [exact]


def _scope(message: Message, reply_to: str | None) -> ReplyScope:
    thread = None if message.topic is None else str(message.topic)
    return ReplyScope(f"telegram:{message.chat.id}", thread, reply_to)
