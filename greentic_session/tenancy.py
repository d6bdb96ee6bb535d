"""The tenant rules: which caller reaches which session.

Pure functions without I/O: every backend asks here and holds no copy.

An `Owner` is the identity to which waits and their indices belong. Identity always means what
counts: `tenant_id`, the effective team and the effective user.

A message names the broken rule and the *caller's* env, tenant and team; of users only whether there
was one. Rules are tried from the outside in (tenant, then team, then user), so whoever is outside
learns no more than that.
"""

from typing import Final, TypeAlias

from ._base.refusal import Refusal
from ._json.fields import check_choice
from .errors import ClaimedError, ConflictError, InvalidInputError, NotFoundError, TenantMismatchError, TooManyWaitsError
from .ids import MAX_ID_CHARACTERS, check_id
from .models import ReplyScope, SessionData, TenantCtx

__all__ = [
    "Identity",
    "Owner",
    "Partition",
    "absent",
    "acting_for",
    "administers",
    "candidates",
    "cannot_change",
    "changed",
    "check_administration",
    "check_alignment",
    "check_ctx",
    "check_length",
    "check_preservation",
    "check_reach",
    "check_scope",
    "check_user",
    "claim_over",
    "claimed",
    "expected_identity",
    "is_aligned",
    "lookup_owner",
    "may_displace",
    "mismatch",
    "owner_of",
    "owns",
    "pointer_owner",
    "reaches",
    "scope_held",
    "sees",
    "several_waits",
    "taken",
    "taken_elsewhere",
    "too_many_waits",
    "wait_owner",
]

Owner: TypeAlias = tuple[str, str, str | None, str]
"""env, tenant, team (None: no team), user."""

Identity: TypeAlias = tuple[str, str, str | None, str | None]
"""The same of any session or context, with None for no user."""

Partition: TypeAlias = tuple[str, str, str | None]
"""env, tenant, team (None: no team). Nothing in one partition is seen from another."""

MAX_SCOPE_CHARACTERS = 4096
"""The longest scope, all parts together: it is kept beside the wait."""

NO_TEAM = "-"
"""The spelling of "no team" in Redis keys: a team of that name would collide with it."""


def mismatch(rule: str, caller: TenantCtx, session_key: str | None = None) -> TenantMismatchError:
    """Return the error for a broken tenant rule."""
    return TenantMismatchError(
        f"tenant context mismatch ({rule}): called with env={caller.env}, tenant={caller.tenant_id}, "
        f"team={caller.effective_team or NO_TEAM}, user={'present' if caller.effective_user else 'absent'}",
        session_key=session_key,
    )


def may_displace(on_conflict: str) -> bool:
    """Return whether parking may displace another live session from its scope."""
    check_choice("on_conflict", on_conflict, "replace", "fail")
    return on_conflict == "replace"


def cannot_change(part: str, new: SessionData, session_key: str) -> TenantMismatchError:
    """Return the error for data that would change the owner of a live session."""
    return mismatch(f"{part} cannot change for an existing session", new.tenant_ctx, session_key)


absent: Final = Refusal(NotFoundError, "no live session has this key")
"""The session is not there, or not there for this caller: one text for both."""
taken: Final = Refusal(ConflictError, "a live session has this key")
"""All that anybody learns of a session that is not theirs."""
changed: Final = Refusal(ConflictError, "the session was changed meanwhile")
"""The session has another version than the caller relied on."""
scope_held: Final = Refusal(ConflictError, "another live session waits at this scope")
"""The scope is not free, and the caller would displace nobody."""
taken_elsewhere: Final = Refusal(ConflictError, "another namespace has a session in this key's place")
"""The Redis key of the session key belongs to another namespace."""
claimed: Final = Refusal(ClaimedError, "another runner holds the claim on this wait")
"""The wait is being resumed."""
claim_over: Final = Refusal(ConflictError, "this claim is over")
"""The claim has ended, however it did."""
too_many_waits: Final = Refusal(TooManyWaitsError, "this user has as many waits as this store allows one user")
"""The wait would be one too many for its user."""


def several_waits() -> InvalidInputError:
    """Return the refusal to choose between the waits of one user, in the reference's words."""
    return InvalidInputError("multiple waits exist for user; use scope-based routing instead")


def check_ctx(ctx: TenantCtx) -> None:
    """Refuse a context that no operation may act for.

    Raises:
        InvalidInputError: Its team is ``-``, which in a Redis key means "no team"; or an id of it
            is longer than 1,024 characters.
        TypeError: It is no TenantCtx.
    """
    if type(ctx) is not TenantCtx:  # a subclass need not be frozen
        raise TypeError(f"ctx must be a TenantCtx, not {type(ctx).__name__}")
    if ctx.team_id == NO_TEAM or ctx.team == NO_TEAM:  # noqa: PLR1714  # a third of the time, on every call's way
        raise InvalidInputError("the team id '-' is reserved: it stands for no team")
    team, user = ctx.team_id or ctx.team or "", ctx.user_id or ctx.user or ""
    if len(ctx.env) + len(ctx.tenant_id) + len(team) + len(user) > MAX_ID_CHARACTERS:  # one look settles most
        for kind, value in (("EnvId", ctx.env), ("TenantId", ctx.tenant_id), ("TeamId", team), ("UserId", user)):
            check_length(kind, value)


def check_length(kind: str, value: str) -> None:
    """Refuse an id that is too long to name anybody: it would be part of several keys.

    Raises:
        InvalidInputError: It has more than 1,024 characters.
    """
    if len(value) > MAX_ID_CHARACTERS:
        raise InvalidInputError(f"{kind} must have at most {MAX_ID_CHARACTERS} characters")


def check_user(user_id: str) -> str:
    """Return `user_id`, as a plain str, if a caller may ask for that user.

    Raises:
        InvalidInputError: It is no id, or has more than 1,024 characters.
        TypeError: It is no str.
    """
    user = check_id("UserId", user_id)
    check_length("UserId", user)
    return user


def _difference(a: TenantCtx, b: TenantCtx) -> str | None:
    if a.tenant_id != b.tenant_id or a.env != b.env:
        return "env/tenant"
    return None if a.effective_team == b.effective_team else "team"


def _out_of_reach(ctx: TenantCtx, data: SessionData) -> str | None:
    session = data.tenant_ctx
    if difference := _difference(ctx, session):
        return f"{difference} must match"
    user = ctx.effective_user
    return None if user is None or session.effective_user in (None, user) else "user must match"


def _misalignment(ctx: TenantCtx, data: SessionData) -> str | None:
    if (rule := _out_of_reach(ctx, data)) is not None:
        return rule
    if ctx.effective_user is None and data.tenant_ctx.effective_user is not None:
        return "user required by session but missing in caller context"
    return None


def is_aligned(ctx: TenantCtx, data: SessionData) -> bool:
    """Alignment: env, tenant and team are equal; and if `data` has a user, `ctx` has the same."""
    return ctx is data.tenant_ctx or _misalignment(ctx, data) is None


def check_alignment(ctx: TenantCtx, data: SessionData) -> None:
    """Refuse data that is not aligned with the caller.

    Raises:
        InvalidInputError: As `check_ctx`, of the data's own context.
        TenantMismatchError: It is not.
    """
    if ctx is data.tenant_ctx:
        return
    check_ctx(data.tenant_ctx)
    if rule := _misalignment(ctx, data):
        raise mismatch(rule, ctx)


def reaches(ctx: TenantCtx, data: SessionData) -> bool:
    """Reach of an operation by key: equal env, tenant and team, and equal users, if both are there.

    A context without a user is a runner's: it reaches every user of its team.
    """
    return ctx is data.tenant_ctx or _out_of_reach(ctx, data) is None


def check_reach(ctx: TenantCtx, data: SessionData) -> None:
    """Refuse data that an operation by key may not store for the caller.

    Raises:
        InvalidInputError: As `check_ctx`, of the data's own context.
        TenantMismatchError: It is out of the caller's reach.
    """
    if ctx is data.tenant_ctx:
        return
    check_ctx(data.tenant_ctx)
    if rule := _out_of_reach(ctx, data):
        raise mismatch(rule, ctx)


def check_preservation(stored: SessionData, new: SessionData, session_key: str) -> None:
    """Refuse data that would change the owner of a live session.

    Env, tenant, team and user never change, appear or vanish.

    Raises:
        TenantMismatchError: It would. The message tells of `new`, never of what is stored.
    """
    if stored.tenant_ctx is new.tenant_ctx:
        return
    difference = _difference(stored.tenant_ctx, new.tenant_ctx)
    if difference is None and stored.tenant_ctx.effective_user != new.tenant_ctx.effective_user:
        difference = "user"
    if difference:
        raise cannot_change(difference, new, session_key)


def owner_of(data: SessionData) -> Owner | None:
    """Return the identity that owns `data`; None where it has no user."""
    ctx = data.tenant_ctx
    user = ctx.user_id or ctx.user  # the effective ones, without two calls: every register_wait comes by
    return None if user is None else (ctx.env, ctx.tenant_id, ctx.team_id or ctx.team, user)


def expected_identity(asker: Owner | TenantCtx | None, data: SessionData) -> Identity:
    """Identity that `data` must have for a caller: the caller's, where both have a user.

    Args:
        asker: The owner of a lookup, or the context of an operation by key; None expects what
            `data` has.
        data: What was found.
    """
    ctx = data.tenant_ctx
    user = ctx.user_id or ctx.user  # the effective ones, without calls: every answer comes by
    if asker is None:
        return ctx.env, ctx.tenant_id, ctx.team_id or ctx.team, user
    if isinstance(asker, TenantCtx):
        env, tenant, team, own = asker.env, asker.tenant_id, asker.team_id or asker.team, asker.user_id or asker.user
    else:
        env, tenant, team, own = asker
    return env, tenant, team, None if user is None else own or user


def sees(owner: Owner, data: SessionData) -> bool:
    """Sight of a lookup by user.

    `data` is of this env, tenant and team, and of this user or of none.
    """
    return expected_identity(owner, data) == expected_identity(None, data)


def lookup_owner(ctx: TenantCtx, user_id: str) -> Owner | None:
    """Return the owner whose waits a caller asks for; None where the caller may not see them.

    A caller with a user sees that user's only; one without may look up, clear and claim for any
    user of its team.

    Raises:
        InvalidInputError: `ctx` or `user_id` breaks a rule.
        TypeError: One of them has a wrong type.
    """
    check_ctx(ctx)
    own = ctx.user_id or ctx.user  # the effective ones, without two calls: every answer comes by
    if own is None or own != user_id or type(user_id) is not str:  # else it was checked as the user of ctx
        user_id = check_user(user_id)
        if own not in (None, user_id):
            return None
    return ctx.env, ctx.tenant_id, ctx.team_id or ctx.team, user_id


def wait_owner(ctx: TenantCtx, user_id: str, data: SessionData) -> Owner:
    """Return the owner of a new wait: the user of `data`, named by `user_id`, in the caller's team.

    Raises:
        InvalidInputError: `user_id` is no id, or `data` has no user.
        TenantMismatchError: `user_id` is not the user of `ctx` (if it has one) and of `data`, or
            `data` is not aligned.
    """
    owner = owner_of(data)
    if owner is None or owner[3] != user_id:
        check_user(user_id)
        if owner is None:
            raise InvalidInputError("a wait needs a user, and the session data has none")
        raise mismatch("user must match the user who is waited for", ctx)
    check_length("UserId", owner[3])
    check_alignment(ctx, data)
    return owner


def acting_for(ctx: TenantCtx, user: str) -> TenantCtx:
    """Return the context of a caller who acts for a user: whoever ends a claim may have none."""
    return ctx if ctx.effective_user == user else ctx.with_user(user)


def pointer_owner(ctx: TenantCtx, data: SessionData) -> Owner | None:
    """Return the identity whose latest session a new one becomes.

    Of the user of `data`, or else of `ctx`.
    """
    user = data.tenant_ctx.effective_user or ctx.effective_user
    return None if user is None else (ctx.env, ctx.tenant_id, ctx.effective_team, user)


def check_administration(ctx: TenantCtx | None) -> None:
    """Refuse a context that does not act for a whole tenant or team.

    None acts for everybody.
    """
    if ctx is None:
        return
    check_ctx(ctx)
    if ctx.effective_user is not None:
        raise InvalidInputError("ctx must have no user: what is ready is claimed for a whole tenant or team")


def administers(ctx: TenantCtx, user: str | None, data: SessionData) -> bool:
    """Say whether `iter_sessions` and `purge` of `ctx` reach this session.

    They reach one env and tenant; one team of it if `ctx` has a team; and only the sessions of
    `user`, where it is given, and of the context's own user, where it has one.
    """
    session = data.tenant_ctx
    if session.tenant_id != ctx.tenant_id or session.env != ctx.env:
        return False
    if ctx.effective_team not in (None, session.effective_team):
        return False
    return all(wanted in (None, session.effective_user) for wanted in (user, ctx.effective_user))


def owns(ctx: TenantCtx, user: str | None, owner: Owner) -> bool:
    """Say whether `administers` reaches what belongs to an owner."""
    env, tenant, team, name = owner
    if tenant != ctx.tenant_id or env != ctx.env or ctx.effective_team not in (None, team):
        return False
    return all(wanted in (None, name) for wanted in (user, ctx.effective_user))


def check_scope(scope: ReplyScope) -> None:
    """Refuse a scope that could be mistaken for another.

    Raises:
        InvalidInputError: A part holds a newline (two scopes would hash alike) or a lone surrogate;
            or the parts have more than 4,096 characters together.
        TypeError: It is no ReplyScope.
    """
    if type(scope) is not ReplyScope:  # a subclass is not equal to the scope that it names
        raise TypeError(f"scope must be a ReplyScope, not {type(scope).__name__}")
    if scope.thread is None and scope.reply_to is None and scope.correlation is None:
        text, newlines = scope.conversation, 0  # the usual case, without joining
        if "\n" not in text and len(text) <= MAX_SCOPE_CHARACTERS and text.isascii():
            return
    else:
        text, newlines = scope.canonical(), 3  # between its four parts
    if text.count("\n") != newlines:
        raise InvalidInputError("no part of a ReplyScope may hold a newline")
    if len(text) > MAX_SCOPE_CHARACTERS + newlines:
        raise InvalidInputError(f"the parts of a ReplyScope must have at most {MAX_SCOPE_CHARACTERS} characters together")
    if not text.isascii():
        scope.scope_hash()


def candidates(scope: ReplyScope, *, fallback: bool) -> tuple[ReplyScope, ...]:
    """Return the scopes to try, best first; with `fallback` also that without correlation.

    Raises:
        InvalidInputError: As `check_scope`.
        TypeError: As `check_scope`.
    """
    check_scope(scope)
    if not (fallback and scope.correlation):  # an empty correlation counts as none
        return (scope,)
    return (scope, ReplyScope(scope.conversation, scope.thread, scope.reply_to))
