"""`SessionData`: the snapshot of one paused flow."""

import hashlib
from typing import Any, TypeVar, overload

import msgspec
from msgspec.structs import replace

from greentic_session._base.hiding import Hiding, outline
from greentic_session._json import codec
from greentic_session._json.attempt import is_negative_zero
from greentic_session._json.fields import check_text, check_type, make_plain
from greentic_session.errors import InvalidInputError
from greentic_session.ids import check_id

from .tenant_ctx import TenantCtx

__all__ = ["SessionCursor", "SessionData", "version_of"]

T = TypeVar("T")


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
