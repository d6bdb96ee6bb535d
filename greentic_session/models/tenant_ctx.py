"""`TenantCtx`: who calls, and whose a session is."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self, cast

import msgspec
from msgspec.structs import force_setattr, replace

from greentic_session._json.arguments import PointsToNew
from greentic_session._json.fields import NO_ATTRIBUTES, check_int, check_text, check_type, freeze, make_plain
from greentic_session.ids import check_id, stranger_in

__all__ = ["Impersonation", "InvocationDeadline", "TenantCtx"]

_PAIRS = ((str, str), (type(None), type(None)))
_USUAL_TYPES = {(str, str, str, *team, *user) for team in _PAIRS for user in _PAIRS}
"""Types of env, both tenants, both teams and both users."""
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
        # nothing else is there. To compare with None alone takes half the steps of a chain.
        env, tenant, team, user = self.env, self.tenant_id, self.team_id, self.user_id
        types = type(env), type(tenant), type(self.tenant), type(team), type(self.team), type(user), type(self.user)
        if not (
            types in _USUAL_TYPES
            and (tenant == self.tenant and team == self.team and user == self.user)
            and "" not in (env, tenant, team, user)
            and not stranger_in(f"{env}{tenant}{team}{user}")
        ):
            self._check_ids()
        if not (
            (self.session_id is None and self.flow_id is None and self.node_id is None and self.provider_id is None)
            and (self.trace_id is None and self.i18n_id is None and self.correlation_id is None)
            and self.idempotency_key is None
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
