"""Deterministic session keys and ids: the same input gives the same output on every machine.

Without `ctx` the keys are the reference's, and have its weakness: the parts are joined by colons,
so the parts ``a:b``, ``c`` and ``a``, ``b:c`` give one key; and two tenants with the same ids give
one key, too. With `ctx`, the caller's env, tenant and team are mixed in, and every part is written
with its length in front (a netstring), so that different parts always give different keys.

`text_to_id` and `text_to_hashed_id` make legal ids of users, tenants and teams out of any text:
e-mail addresses, telephone numbers, names of other systems.

`runner_wait` and `runner_namespace` give the names that greentic-runner, the Rust host of flows,
derives from an event that it receives: so Python finds what it has parked, and the other way round.
"""

import hashlib
import hmac
import re
from typing import Final

from msgspec import Struct

from ._base.hiding import Outlined
from ._json.fields import check_text, check_type
from .errors import InvalidInputError
from .ids import MAX_ID_CHARACTERS, SessionKey, plain, stranger_in
from .models import TenantCtx
from .scope import ReplyScope
from .tenancy import check_ctx

__all__ = [
    "RunnerWait",
    "canonical_session_key",
    "runner_namespace",
    "runner_wait",
    "telegram_update_to_session_key",
    "text_to_hashed_id",
    "text_to_id",
    "webhook_to_session_key",
]

_MADE: Final = "x--"
"""How each id begins that is not the text itself.

A text that begins so is encoded, too: nothing looks like it by chance.
"""
_ENCODED: Final = re.compile(r"[^A-Za-z0-9.-]")
_MIN_SECRET_BYTES: Final = 16
_ENDPOINT: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
"""Pattern of the ids of endpoints that greentic-runner accepts; it ignores any other."""


class RunnerWait(Outlined, Struct, frozen=True):
    """Names under which greentic-runner parks a flow.

    Attributes:
        ctx: Env, tenant and user.
        user_id: The user of the wait: ``sess`` and 16 hex digits, a hash of `session_hint`.
        scope: The scope of the wait: that of the event without its correlation.
        session_key: The key: `session_hint`, ``::``, and the hash of `scope`.
        session_hint: The conversation of the event, as one text.
    """

    ctx: TenantCtx
    user_id: str
    scope: ReplyScope
    session_key: SessionKey
    session_hint: str


def telegram_update_to_session_key(
    bot_id: str | int, chat_id: str | int, user_id: str | int, *, ctx: TenantCtx | None = None
) -> SessionKey:
    """Return the key of a user and a bot in a chat: hex SHA-256 of ``tg:{bot}:{chat}:{user}``.

    Raises:
        InvalidInputError: A part holds a lone surrogate or has thousands of digits, or the team of
            `ctx` is ``-``.
        TypeError: A part is neither str nor int.

    >>> telegram_update_to_session_key(42, -100123, 7)
    '7e634950a85ae4fafdabf61e79f1e66b0408aa82b2e5f9a71d15cc5670e58e2d'
    >>> acme, globex = TenantCtx.new("dev", "acme"), TenantCtx.new("dev", "globex")
    >>> len({telegram_update_to_session_key(42, 1, 7, ctx=ctx) for ctx in (acme, globex, None)})
    3
    """
    return _hashed(_joined(ctx, "tg", _text(bot_id), _text(chat_id), _text(user_id)))


def webhook_to_session_key(
    source: str | int, subject: str | int, id_hint: str | int, *, ctx: TenantCtx | None = None
) -> SessionKey:
    """Return the key for a webhook's caller: hex SHA-256 of ``wh:{source}:{subject}:{hint}``.

    Raises the errors of `telegram_update_to_session_key`.

    >>> webhook_to_session_key("payments", "invoice-7", "delivery-1")
    '00410fc24405c6b4193aab97933bdfc1654f6a1aedfad9125e64aeb9f3b0ebfd'
    """
    return _hashed(_joined(ctx, "wh", _text(source), _text(subject), _text(id_hint)))


def canonical_session_key(
    tenant: str, provider: str, anchor: str | None = None, user: str | None = None, *, ctx: TenantCtx | None = None
) -> SessionKey:
    """Return ``{tenant}:{provider}:{anchor}:{user}``.

    An anchor of None reads ``conversation``, a user of None ``user``.

    It is *not* hashed: whoever sees the key reads the ids in it.

    Raises:
        InvalidInputError: A part holds a lone surrogate, the key would have more than 1,024 UTF-8
            bytes, or the team of `ctx` is ``-``.
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


def runner_namespace(env: str) -> str:
    """Return the namespace of greentic-runner's sessions in Redis: ``greentic:session:{env}``.

    A host may be told another one in ``GREENTIC_RUNNER_SESSION_NAMESPACE``.

    Raises:
        InvalidInputError: `env` is empty.
        TypeError: It is no str.

    >>> runner_namespace("prod")
    'greentic:session:prod'
    """
    check_text("env", env, optional=False)
    if not env.strip():
        raise InvalidInputError("env must not be empty")
    return f"greentic:session:{env.strip()}"


def runner_wait(
    tenant: str,
    flow_id: str,
    *,
    env: str = "local",
    pack_id: str | None = None,
    session_hint: str | None = None,
    provider: str | None = None,
    endpoint_id: str | None = None,
    channel: str | None = None,
    conversation: str | None = None,
    user: str | None = None,
    activity_id: str | None = None,
    reply_scope: ReplyScope | None = None,
) -> RunnerWait:
    """Return the names under which greentic-runner parks the flow of an event.

    The arguments are the fields of its ingress envelope; what is missing is filled in as it does.
    It replaces an illegal env or tenant by a default one, which all of these would share: here that
    is an error.

    Args:
        tenant: The tenant's id.
        flow_id: The flow that the event was for.
        env: The env's id.
        pack_id: The pack of the flow.
        session_hint: The conversation as one text, if whoever sent the event gave one.
        provider: The messaging provider.
        endpoint_id: The endpoint among those of one provider (``messaging_endpoint_id``).
        channel: The channel; by default the flow.
        conversation: The conversation in the channel; by default the channel.
        user: The provider's id of the user; by default `session_hint`, or `activity_id`.
        activity_id: The provider's id of the event.
        reply_scope: The scope of the event; by default the conversation.

    Raises:
        InvalidInputError: The env or the tenant is no legal id, a text holds a lone surrogate, or
            the key would have more than 1,024 UTF-8 bytes.
        TypeError: An argument has a wrong type.

    >>> parked = runner_wait("demo", "flow.main", provider="telegram", channel="c", user="7")
    >>> parked.session_hint, parked.user_id
    ('demo:telegram:c:c:7', 'sessf866dec1bf50d67e')
    """
    check_text("tenant", tenant, optional=False)
    check_text("flow_id", flow_id, optional=False)
    given = (pack_id, session_hint, provider, endpoint_id, channel, conversation, user, activity_id)
    for text in given:
        check_text("a part of an envelope", text)
    if reply_scope is not None:
        check_type("reply_scope", reply_scope, ReplyScope)
    channel = flow_id if channel is None else channel
    conversation = channel if conversation is None else conversation
    if user is None:
        user = next((text for text in (session_hint, activity_id) if text is not None), "user")
    provider = "provider" if provider is None else provider
    hint = f"{tenant}:{provider}:{channel}:{conversation}:{user}" if session_hint is None else session_hint
    if endpoint_id is not None and _ENDPOINT.fullmatch(endpoint_id) and not hint.startswith(f"ep={endpoint_id}::"):
        hint = f"ep={endpoint_id}::{hint}"
    if pack_id is not None:
        hint = f"{hint}::pack={pack_id}"
    scope = (
        ReplyScope(conversation)
        if reply_scope is None
        else ReplyScope(reply_scope.conversation, thread=reply_scope.thread, reply_to=reply_scope.reply_to)
    )
    user_id = f"sess{_hashed(hint)[:16]}"
    key = SessionKey(f"{hint}::{scope.scope_hash()}")
    return RunnerWait(TenantCtx.new(env, tenant, user=user_id), user_id, scope, key, hint)


def text_to_id(text: str) -> str:
    """Return an id of a user, tenant or team for any text; no two texts have the same.

    A text that may serve as an id stays as it is, except ``-``, the reserved name of no team. Of
    any other one each character that no id has, and ``_``, becomes ``_`` and two hex digits for
    each byte of its UTF-8, behind ``x--``; one that begins like that is encoded, too. Where that
    would be longer than an id may be, it is ``x--_h`` and the SHA-256 of the text. Texts are
    compared code point by code point: normalize what people type (case, Unicode) before.

    Raises:
        InvalidInputError: It is empty, or holds a lone surrogate.
        TypeError: It is no str.

    >>> text_to_id("ann@example.org"), text_to_id("+49 30 1234"), text_to_id("user-7")
    ('x--ann_40example.org', 'x--_2b49_2030_201234', 'user-7')
    """
    text, raw = _utf8(text)
    if not stranger_in(text) and text != "-" and not text.startswith(_MADE) and len(text) <= MAX_ID_CHARACTERS:
        return text
    made = _MADE + _ENCODED.sub(lambda found: "".join(f"_{byte:02x}" for byte in found[0].encode()), text)
    return made if len(made) <= MAX_ID_CHARACTERS else f"{_MADE}_h{hashlib.sha256(raw).hexdigest()}"


def text_to_hashed_id(text: str, secret: bytes) -> str:
    """Return an id for any text from which nobody without the secret can tell or guess the text.

    It is ``x--_k`` and the hex HMAC-SHA-256 of the text, so it is never one that `text_to_id`
    gives. Whoever loses the secret loses the way from people to their waits; whoever changes it,
    too.

    Args:
        text: An address, a name, whatever must not be stored.
        secret: At least 16 bytes, random, and the same in every process.

    Raises:
        InvalidInputError: The text is empty or holds a lone surrogate, or the secret is too short.
        TypeError: The text is no str, or the secret no bytes.

    >>> text_to_hashed_id("ann@example.org", b"sixteen bytes at least")[:21]
    'x--_k72827993dc39071e'
    """
    _, raw = _utf8(text)
    if not isinstance(secret, bytes):
        raise TypeError(f"secret must be bytes, not {type(secret).__name__}")
    if len(secret) < _MIN_SECRET_BYTES:
        raise InvalidInputError(f"secret must have at least {_MIN_SECRET_BYTES} bytes")
    return f"{_MADE}_k{hmac.digest(secret, raw, 'sha256').hex()}"


def _utf8(text: str) -> tuple[str, bytes]:
    if not isinstance(text, str):
        raise TypeError(f"text must be a str, not {type(text).__name__}")
    if not text:
        raise InvalidInputError("text must not be empty")
    try:
        return plain(text), plain(text).encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError("text must be valid Unicode: it holds a lone surrogate") from error


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
