"""Deterministic session keys: the same message always leads to the same key, on every machine and in the reference.

Without `ctx` the keys are the reference's, and have its weakness: the parts are joined by colons, so the parts ``a:b``,
``c`` and ``a``, ``b:c`` give one key; and two tenants with the same ids give one key, too. With `ctx`, the caller's env,
tenant and team are mixed in, and every part is written with its length in front (a netstring), so that different parts
always give different keys.
"""

import hashlib

from .errors import InvalidInputError
from .ids import SessionKey, plain
from .models import TenantCtx
from .tenancy import check_ctx

__all__ = ["canonical_session_key", "telegram_update_to_session_key", "webhook_to_session_key"]


def telegram_update_to_session_key(
    bot_id: str | int, chat_id: str | int, user_id: str | int, *, ctx: TenantCtx | None = None
) -> SessionKey:
    """Return the key for a user's messages to a bot in a chat: hex SHA-256 of ``tg:{bot}:{chat}:{user}``.

    Raises:
        InvalidInputError: A part holds a lone surrogate or has thousands of digits, or the team of `ctx` is ``-``.
        TypeError: A part is neither str nor int.

    >>> telegram_update_to_session_key(42, -100123, 7)
    '7e634950a85ae4fafdabf61e79f1e66b0408aa82b2e5f9a71d15cc5670e58e2d'
    >>> acme, globex = TenantCtx.new("dev", "acme"), TenantCtx.new("dev", "globex")
    >>> telegram_update_to_session_key(42, 1, 7, ctx=acme) == telegram_update_to_session_key(42, 1, 7, ctx=globex)
    False
    """
    return _hashed(_joined(ctx, "tg", _text(bot_id), _text(chat_id), _text(user_id)))


def webhook_to_session_key(
    source: str | int, subject: str | int, id_hint: str | int, *, ctx: TenantCtx | None = None
) -> SessionKey:
    """Return the key for a webhook's caller: hex SHA-256 of ``wh:{source}:{subject}:{hint}``.

    Raises:
        InvalidInputError: A part holds a lone surrogate or has thousands of digits, or the team of `ctx` is ``-``.
        TypeError: A part is neither str nor int.

    >>> webhook_to_session_key("payments", "invoice-7", "delivery-1")
    '00410fc24405c6b4193aab97933bdfc1654f6a1aedfad9125e64aeb9f3b0ebfd'
    """
    return _hashed(_joined(ctx, "wh", _text(source), _text(subject), _text(id_hint)))


def canonical_session_key(
    tenant: str, provider: str, anchor: str | None = None, user: str | None = None, *, ctx: TenantCtx | None = None
) -> SessionKey:
    """Return ``{tenant}:{provider}:{anchor}:{user}``; an anchor of None reads ``conversation``, a user of None ``user``.

    It is *not* hashed: whoever sees the key reads the ids in it.

    Raises:
        InvalidInputError: A part holds a lone surrogate, the key would have more than 1,024 UTF-8 bytes, or the team of
            `ctx` is ``-``.
        TypeError: A part is no str.

    >>> canonical_session_key("acme", "telegram", user="7")
    'acme:telegram:conversation:7'
    >>> canonical_session_key("acme", "telegram", user="7", ctx=TenantCtx.new("dev", "acme"))
    '3:dev,4:acme,0:,4:acme,8:telegram,12:conversation,1:7,'
    """
    parts = (tenant, provider, "conversation" if anchor is None else anchor, "user" if user is None else user)
    for part in parts:
        if not isinstance(part, str):
            raise TypeError(f"a part of a session key must be a str, not {type(part).__name__}")
    return SessionKey(_joined(ctx, *map(plain, parts)))


def _text(part: str | int) -> str:
    if not isinstance(part, str | int) or isinstance(part, bool):
        raise TypeError(f"a part of a session key must be a str or an int, not {type(part).__name__}")
    try:
        return plain(part) if isinstance(part, str) else str(int.__int__(part))
    except ValueError as error:  # Python refuses to write out integers of thousands of digits
        raise InvalidInputError("a part of a session key is too long a number") from error


def _joined(ctx: TenantCtx | None, *parts: str) -> str:
    if ctx is None:
        return ":".join(parts)
    check_ctx(ctx)
    # An id is never empty, so an empty team can only mean that there is none.
    everything = (ctx.env, ctx.tenant_id, ctx.effective_team or "", *parts)
    return "".join(f"{len(part)}:{part}," for part in everything)


def _hashed(text: str) -> SessionKey:
    try:
        return SessionKey(hashlib.sha256(text.encode()).hexdigest())
    except UnicodeEncodeError as error:
        raise InvalidInputError("a part of a session key must be valid Unicode: it holds a lone surrogate") from error
