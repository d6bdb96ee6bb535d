"""The wire schema: what a session is, written byte for byte as the Rust reference writes it.

Every struct is frozen, all the way down, so a store may keep and hand out the very object it was
given: nobody can change what is stored by changing what they hold. Field order is wire order; an
optional field that is None is left out; unknown fields are ignored when read. A struct that exists
is valid: ids and ranges (InvalidInputError) and types (TypeError) are checked when it is built or
copied with a change, or decoded. (Whether its texts are valid Unicode is checked when it is
written.)
"""

import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar, Self, TypeVar, cast, overload

import msgspec
from msgspec.structs import force_setattr, replace

from ._base.hiding import Hiding, outline
from ._json import codec
from ._json.arguments import PointsToNew
from ._json.attempt import is_negative_zero
from ._json.fields import NO_ATTRIBUTES, check_int, check_text, check_type, freeze, make_plain
from .errors import InvalidInputError
from .ids import EnvId, FlowId, PackId, SessionKey, TeamId, TenantId, UserId, check_id, stranger_in
from .scope import ReplyScope

__all__ = [
    "EnvId",
    "FlowId",
    "Impersonation",
    "InvocationDeadline",
    "PackId",
    "ReplyScope",
    "SessionCursor",
    "SessionData",
    "SessionKey",
    "TeamId",
    "TenantCtx",
    "TenantId",
    "UserId",
    "version_of",
]

T = TypeVar("T")

_TEXT_OR_NONE = {str, type(None)}
_U32_MAX = 2**32 - 1
_I128_MAX = 2**127 - 1


class InvocationDeadline(msgspec.Struct, frozen=True, gc=False):
    """When an invocation must be over.

    Attributes:
        unix_millis: Milliseconds since the Unix epoch, as a signed 128-bit integer (the reference's
            type).
    """

    unix_millis: int

    def __post_init__(self) -> None:
        check_int("unix_millis", self.unix_millis, -_I128_MAX - 1, _I128_MAX)


class Impersonation(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Who really acts, where somebody acts in a user's name.

    Attributes:
        actor_id: A UserId.
        reason: Free text.
    """

    actor_id: str
    reason: str | None = None

    def __post_init__(self) -> None:
        check_id("UserId", self.actor_id)
        make_plain(self, "actor_id")
        check_text("reason", self.reason)


class TenantCtx(msgspec.Struct, metaclass=PointsToNew, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Who calls, and on whose behalf. Build it with `TenantCtx.new`.

    The pairs `tenant`/`tenant_id`, `team`/`team_id` and `user`/`user_id` are the reference's: a
    legacy field and the one that counts. See `effective_team` and `effective_user`; the tenant that
    counts is `tenant_id`.

    Attributes:
        env: An EnvId: ``"dev"``.
        tenant: A TenantId.
        tenant_id: A TenantId; the one that counts.
        team: A TeamId.
        team_id: A TeamId; the one that counts where both are there.
        user: A UserId.
        user_id: A UserId; the one that counts where both are there.
        session_id: Free text, as all down to `correlation_id`.
        flow_id: Free text (unlike `SessionData.flow_id`).
        node_id: Free text.
        provider_id: Free text.
        trace_id: Free text.
        i18n_id: Free text.
        correlation_id: Free text.
        attributes: Text by text; written with its keys sorted. Cannot be changed in place.
        deadline: When the invocation must be over.
        attempt: Which attempt this is, from 0; an unsigned 32-bit integer.
        idempotency_key: Free text.
        impersonation: Who really acts.

    Raises:
        InvalidInputError: An id is not one, or a number is out of range.
        TypeError: A field has a wrong type.
    """

    env: str
    tenant: str
    tenant_id: str
    team: str | None = None
    team_id: str | None = None
    user: str | None = None
    user_id: str | None = None
    session_id: str | None = None
    flow_id: str | None = None
    node_id: str | None = None
    provider_id: str | None = None
    trace_id: str | None = None
    i18n_id: str | None = None
    correlation_id: str | None = None
    attributes: Mapping[str, str] = NO_ATTRIBUTES
    deadline: InvocationDeadline | None = None
    attempt: int
    idempotency_key: str | None = None
    impersonation: Impersonation | None = None

    _ids: ClassVar[dict[str, str]] = {
        "env": "EnvId",
        "tenant": "TenantId",
        "tenant_id": "TenantId",
        "team": "TeamId",
        "team_id": "TeamId",
        "user": "UserId",
        "user_id": "UserId",
    }
    _texts: ClassVar[tuple[str, ...]] = (
        "session_id",
        "flow_id",
        "node_id",
        "provider_id",
        "trace_id",
        "i18n_id",
        "correlation_id",
        "idempotency_key",
    )

    def __post_init__(self) -> None:
        # Runs on every decode. It is usual that both fields of each pair are alike, and that
        # nothing else is there.
        env, tenant, team, user = self.env, self.tenant_id, self.team_id, self.user_id
        if not (
            type(env) is type(tenant) is type(self.tenant) is str
            and type(team) in _TEXT_OR_NONE
            and type(user) in _TEXT_OR_NONE
            and tenant == self.tenant
            and (team is self.team or (team == self.team and type(self.team) is str))
            and (user is self.user or (user == self.user and type(self.user) is str))
            and "" not in (env, tenant, team, user)
            and not stranger_in(f"{env}{tenant}{team}{user}")
        ):
            self._check_ids()
        if not (
            self.session_id is self.flow_id is self.node_id is self.provider_id is self.trace_id is self.i18n_id is None
            and self.correlation_id is self.idempotency_key is None
            and self.deadline is None
            and self.impersonation is None
            and self.attributes is NO_ATTRIBUTES
            and type(self.attempt) is int
            and 0 <= self.attempt <= _U32_MAX
        ):
            self._check_rest()

    def _check_ids(self) -> None:
        for field, kind in self._ids.items():
            value: Any = getattr(self, field)
            if value is not None or field in ("env", "tenant", "tenant_id"):
                check_id(kind, value)
        make_plain(self, *self._ids)

    def _check_rest(self) -> None:
        for field in self._texts:
            check_text("a free-text field of TenantCtx", getattr(self, field))
        check_int("attempt", self.attempt, 0, _U32_MAX)
        if self.deadline is not None:
            check_type("deadline", self.deadline, InvocationDeadline)
        if self.impersonation is not None:
            check_type("impersonation", self.impersonation, Impersonation)
        if self.attributes is not NO_ATTRIBUTES:
            force_setattr(self, "attributes", freeze(self.attributes))

    @classmethod
    def new(cls, env: str, tenant: str, *, team: str | None = None, user: str | None = None) -> Self:
        """Return a context with both fields of each pair filled, and attempt 0.

        >>> TenantCtx.new("dev", "acme", user="u1").user_id
        'u1'
        """
        fields = {"tenant": tenant, "tenant_id": tenant, "team": team, "team_id": team, "user": user, "user_id": user}
        return cast("Self", msgspec.StructMeta.__call__(cls, env=env, attempt=0, **fields))

    @property
    def effective_team(self) -> str | None:
        """The team that counts: `team_id`, else `team`."""
        return self.team_id or self.team

    @property
    def effective_user(self) -> str | None:
        """The user that counts: `user_id`, else `user`."""
        return self.user_id or self.user

    def with_team(self, team: str | None) -> Self:
        """Return a copy with this team in both fields; None clears them."""
        return replace(self, team=team, team_id=team)

    def with_user(self, user: str | None) -> Self:
        """Return a copy with this user in both fields; None clears them."""
        return replace(self, user=user, user_id=user)

    def with_session(self, session_id: str | None) -> Self:
        """Return a copy with this `session_id`; None clears it."""
        return replace(self, session_id=session_id)

    def with_flow(self, flow_id: str | None) -> Self:
        """Return a copy with this `flow_id`; None clears it."""
        return replace(self, flow_id=flow_id)

    def with_node(self, node_id: str | None) -> Self:
        """Return a copy with this `node_id`; None clears it."""
        return replace(self, node_id=node_id)

    def with_provider(self, provider_id: str | None) -> Self:
        """Return a copy with this `provider_id`; None clears it."""
        return replace(self, provider_id=provider_id)

    def with_attributes(self, attributes: Mapping[str, str] | None) -> Self:
        """Return a copy with these `attributes` instead of its own; None clears them."""
        return replace(self, attributes=NO_ATTRIBUTES if attributes is None else attributes)

    def with_attempt(self, attempt: int | None) -> Self:
        """Return a copy with this `attempt`; None sets it back to 0."""
        return replace(self, attempt=0 if attempt is None else attempt)

    def with_deadline(self, deadline: InvocationDeadline | None) -> Self:
        """Return a copy with this `deadline`; None clears it."""
        return replace(self, deadline=deadline)

    def with_impersonation(self, impersonation: Impersonation | None) -> Self:
        """Return a copy with this `impersonation`; None clears it."""
        return replace(self, impersonation=impersonation)


class SessionCursor(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Where a flow stands.

    Attributes:
        node_pointer: The node to resume at; free text.
        wait_reason: Why it waits; free text.
        outbox_marker: How far its outgoing messages are sent; free text.
    """

    node_pointer: str
    wait_reason: str | None = None
    outbox_marker: str | None = None

    def __post_init__(self) -> None:
        if type(self.node_pointer) is str and self.wait_reason is None and self.outbox_marker is None:
            return  # the usual case, without a call
        check_text("node_pointer", self.node_pointer, optional=False)
        check_text("wait_reason", self.wait_reason)
        check_text("outbox_marker", self.outbox_marker)


class SessionData(Hiding, msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The snapshot of one paused flow.

    Attributes:
        tenant_ctx: Whose it is.
        flow_id: A FlowId.
        pack_id: A PackId.
        cursor: Where the flow stands.
        context_json: The flow's state, opaque to the store; see `new_context` and `context`.

    Raises:
        InvalidInputError: An id is not one.
        TypeError: A field has a wrong type.

    >>> ctx = TenantCtx.new("dev", "acme", user="u1")
    >>> data = SessionData.new(ctx, "order", "ask", context={"ticket": 123})
    >>> data.context_json, data.context(dict[str, int])["ticket"]
    ('{"ticket":123}', 123)
    >>> SessionData.from_json(data.to_json()) == data
    True
    """

    tenant_ctx: TenantCtx
    flow_id: str
    pack_id: str | None = None
    cursor: SessionCursor
    context_json: str

    def __post_init__(self) -> None:
        check_id("FlowId", self.flow_id)
        if self.pack_id is not None:
            check_id("PackId", self.pack_id)
        if type(self.flow_id) is not str or self.pack_id is not None:
            make_plain(self, "flow_id", "pack_id")
        if not (
            type(self.tenant_ctx) is TenantCtx and type(self.cursor) is SessionCursor and type(self.context_json) is str
        ):
            check_type("tenant_ctx", self.tenant_ctx, TenantCtx)
            check_type("cursor", self.cursor, SessionCursor)
            check_text("context_json", self.context_json, optional=False)

    def __repr__(self) -> str:
        # Without the snapshot: a repr ends up in logs and error trackers.
        shown = {name: getattr(self, name, None) for name in ("tenant_ctx", "flow_id", "pack_id", "cursor")}
        return outline(self, "context_json", **shown)

    def to_json(self) -> bytes:
        """Return the wire text: UTF-8, no spaces, byte for byte what the reference writes.

        Raises:
            InvalidInputError: A text in it holds a lone surrogate.
        """
        try:
            return codec.ENCODER.encode(self)
        except Exception:  # noqa: BLE001, S110  # whatever it is, there are words for it
            pass
        return codec.encode(codec.ENCODER, self, "SessionData")

    @classmethod
    def from_json(cls, text: str | bytes) -> "SessionData":
        """Read a wire text.

        Raises:
            InvalidInputError: It is no SessionData. The message says where, and quotes nothing of
                it.
            TypeError: `text` is neither str nor bytes.
        """
        raw = text if type(text) is bytes else codec.as_bytes(text, "SessionData")
        data: SessionData | None = None
        try:
            data = _DECODER.decode(raw)
        except Exception:  # noqa: BLE001, S110  # whatever it is, there are words for it, or another way to read it
            pass
        if data is None:
            data = codec.decode(_DECODER, raw, "SessionData")
        if data.tenant_ctx.attempt == 0 and is_negative_zero(raw):
            raise InvalidInputError("not a SessionData: -0 is no attempt - at `$.tenant_ctx.attempt`")
        return data

    @classmethod
    def new(
        cls, ctx: TenantCtx, flow_id: str, node_pointer: str, *, context: Any = None, pack_id: str | None = None
    ) -> "SessionData":
        """Return the snapshot of a flow that begins to wait.

        Args:
            ctx: Whose it is.
            flow_id: A FlowId.
            node_pointer: Where the flow stands: the `node_pointer` of its cursor.
            context: The flow's state, written as JSON; see `new_context`.
            pack_id: A PackId.

        Raises:
            InvalidInputError: An id is not one, or `context` cannot be written; see `new_context`.
            TypeError: An argument has a wrong type.

        >>> ctx = TenantCtx.new("dev", "acme", user="u1")
        >>> data = SessionData.new(ctx, "order", "ask", context={"ticket": 123})
        >>> data.cursor.node_pointer, data.context()
        ('ask', {'ticket': 123})
        """
        cursor = SessionCursor(node_pointer)
        return cls(tenant_ctx=ctx, flow_id=flow_id, pack_id=pack_id, cursor=cursor, context_json="").new_context(context)

    def new_cursor(
        self, node_pointer: str, wait_reason: str | None = None, outbox_marker: str | None = None
    ) -> "SessionData":
        """Return a copy with another cursor, in which the parts that are not given are None.

        Raises:
            TypeError: A part has a wrong type.

        >>> data = SessionData.new(TenantCtx.new("dev", "acme"), "order", "ask")
        >>> data.new_cursor("pay", wait_reason="card").cursor
        SessionCursor(node_pointer='pay', wait_reason='card', outbox_marker=None)
        """
        return replace(self, cursor=SessionCursor(node_pointer, wait_reason, outbox_marker))

    def new_context(self, value: Any) -> "SessionData":
        """Return a copy whose snapshot is `value`, written as JSON.

        Raises:
            InvalidInputError: It holds a lone surrogate or itself, a number that JSON does not have
                (NaN, the infinities), two keys of a map that JSON writes alike (1 and "1"), or is
                nested deeper than Python's recursion limit. The message names the field.
            TypeError: It holds an object that msgspec does not write. The message names the field.
        """
        return replace(self, context_json=codec.encode_alike(codec.SNAPSHOT_ENCODER, value, "the snapshot").decode())

    @overload
    def context(self) -> Any: ...

    @overload
    def context(self, type: type[T]) -> T: ...

    @overload
    def context(self, type: Any) -> Any: ...

    def context(self, type: Any = Any) -> Any:
        """Read the snapshot as a type that msgspec decodes; by default as dicts, lists and scalars.

        Raises:
            InvalidInputError: The snapshot is empty, is not JSON, or not that type. The message
                says where, and quotes nothing of it.
        """
        what = "snapshot in JSON" if type is Any else f"snapshot of type {getattr(type, '__name__', str(type))}"
        if not self.context_json:
            what = "snapshot, it is empty"
        return codec.decode(msgspec.json.Decoder(type), codec.as_bytes(self.context_json, what), what, known=False)


_DECODER = msgspec.json.Decoder(SessionData)


def version_of(text: bytes) -> str:
    """Return the version of a stored text.

    Its hex SHA-1. Different content, different version, on every backend alike.
    """
    return hashlib.sha1(text, usedforsecurity=False).hexdigest()
