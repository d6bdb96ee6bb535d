"""The tenant rules, which every backend asks.

Who is aligned, who administers, and what a refusal gives away.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greentic_session import (
    ClaimedError,
    ConflictError,
    GreenticError,
    InvalidInputError,
    NotFoundError,
    ReplyScope,
    SessionCursor,
    SessionData,
    TenantCtx,
    TenantMismatchError,
    tenancy,
)

names = st.sampled_from(["a", "b"])
maybe = st.none() | names
contexts = st.builds(
    TenantCtx,
    env=names,
    tenant=names,
    tenant_id=names,
    team=maybe,
    team_id=maybe,
    user=maybe,
    user_id=maybe,
    attempt=st.just(0),
)


def session(ctx: TenantCtx) -> SessionData:
    return SessionData(tenant_ctx=ctx, flow_id="flow", cursor=SessionCursor("ask"), context_json="{}")


def partition(ctx: TenantCtx) -> tuple[str, str, str | None]:
    return ctx.env, ctx.tenant_id, ctx.team_id or ctx.team


def user(ctx: TenantCtx) -> str | None:
    return ctx.user_id or ctx.user


def passes_only_if(allowed: bool) -> AbstractContextManager[object]:  # noqa: FBT001
    """Return a context in which a check passes, or is refused as a tenant mismatch."""
    return nullcontext() if allowed else pytest.raises(TenantMismatchError)


@given(contexts, contexts)
def test_alignment(ctx: TenantCtx, stored: TenantCtx) -> None:
    aligned = partition(ctx) == partition(stored) and user(stored) in (None, user(ctx))
    assert tenancy.is_aligned(ctx, session(stored)) is aligned
    with passes_only_if(aligned):
        tenancy.check_alignment(ctx, session(stored))


@given(contexts, contexts)
def test_reach(ctx: TenantCtx, stored: TenantCtx) -> None:
    reached = partition(ctx) == partition(stored) and (None in (user(ctx), user(stored)) or user(ctx) == user(stored))
    assert tenancy.reaches(ctx, session(stored)) is reached
    with passes_only_if(reached):
        tenancy.check_reach(ctx, session(stored))


@given(contexts, contexts)
def test_preservation(stored: TenantCtx, new: TenantCtx) -> None:
    with passes_only_if((partition(stored), user(stored)) == (partition(new), user(new))):
        tenancy.check_preservation(session(stored), session(new), "k")


@given(contexts)
def test_a_context_is_aligned_with_its_own_data_and_may_replace_it(ctx: TenantCtx) -> None:
    assert tenancy.is_aligned(ctx, session(ctx))
    tenancy.check_preservation(session(ctx), session(ctx), "k")


@given(contexts, names)
def test_a_caller_asks_about_its_own_user_or_without_one_about_any(ctx: TenantCtx, asked: str) -> None:
    allowed = user(ctx) in (None, asked)
    assert tenancy.lookup_owner(ctx, asked) == ((*partition(ctx), asked) if allowed else None)


@given(contexts, contexts, maybe)
def test_who_administers(ctx: TenantCtx, stored: TenantCtx, wanted: str | None) -> None:
    env, tenant, team = partition(ctx)
    in_reach = partition(stored)[:2] == (env, tenant) and team in (None, partition(stored)[2])
    of_user = {wanted, user(ctx)} - {None} <= {user(stored)}
    assert tenancy.administers(ctx, wanted, session(stored)) is (in_reach and of_user)


@given(contexts, contexts)
def test_owners(ctx: TenantCtx, stored: TenantCtx) -> None:
    data = session(stored)
    assert tenancy.owner_of(data) == (None if user(stored) is None else (*partition(stored), user(stored)))
    pointed = user(stored) or user(ctx)
    assert tenancy.pointer_owner(ctx, data) == (None if pointed is None else (*partition(ctx), pointed))


@given(contexts, contexts, names)
def test_the_owner_of_a_wait(ctx: TenantCtx, stored: TenantCtx, waited_for: str) -> None:
    data = session(stored)
    if tenancy.is_aligned(ctx, data) and user(stored) == waited_for:
        assert tenancy.wait_owner(ctx, waited_for, data) == (*partition(ctx), waited_for)
    elif user(stored) is None:
        with pytest.raises(InvalidInputError, match=r"^a wait needs a user, and the session data has none$"):
            tenancy.wait_owner(ctx, waited_for, data)
    else:
        with pytest.raises(TenantMismatchError):
            tenancy.wait_owner(ctx, waited_for, data)


CALLER = TenantCtx.new("c-env", "c-tenant", team="c-team", user="c-user")
ANYBODY = CALLER.with_user(None)
STRANGER = TenantCtx.new("s-env", "s-tenant", team="s-team", user="s-user")
WHO = "called with env=c-env, tenant=c-tenant, team=c-team, user=present"


@pytest.mark.parametrize(
    ("ctx", "stored", "rule"),
    [
        (CALLER, STRANGER, "env/tenant must match"),
        (CALLER, TenantCtx.new("s-env", "c-tenant", team="c-team", user="c-user"), "env/tenant must match"),
        (CALLER, TenantCtx.new("c-env", "s-tenant", team="c-team", user="c-user"), "env/tenant must match"),
        (CALLER, CALLER.with_team("s-team").with_user("s-user"), "team must match"),
        (CALLER, CALLER.with_team(None), "team must match"),
        (CALLER, CALLER.with_user("s-user"), "user must match"),
        (ANYBODY, CALLER.with_user("s-user"), "user required by session but missing in caller context"),
    ],
)
def test_a_mismatch_tells_of_the_caller_only(ctx: TenantCtx, stored: TenantCtx, rule: str) -> None:
    with pytest.raises(TenantMismatchError) as caught:
        tenancy.check_alignment(ctx, session(stored))
    who = WHO if ctx is CALLER else WHO.replace("present", "absent")
    assert str(caught.value) == f"tenant context mismatch ({rule}): {who}"


@pytest.mark.parametrize(
    ("stored", "what"),
    [
        (STRANGER, "env/tenant"),
        (CALLER.with_team("s-team").with_user("s-user"), "team"),
        (CALLER.with_team(None), "team"),
        (CALLER.with_user("s-user"), "user"),
        (ANYBODY, "user"),
    ],
)
def test_a_refused_change_of_owner_tells_of_the_new_data_only(stored: TenantCtx, what: str) -> None:
    with pytest.raises(TenantMismatchError) as caught:
        tenancy.check_preservation(session(stored), session(CALLER), "k")
    assert str(caught.value) == f"tenant context mismatch ({what} cannot change for an existing session): {WHO}"


def test_a_caller_without_a_team_is_written_as_the_reference_writes_it() -> None:
    message = str(tenancy.mismatch("some rule", TenantCtx.new("dev", "acme")))
    assert message == "tenant context mismatch (some rule): called with env=dev, tenant=acme, team=-, user=absent"


def test_the_user_of_a_wait_is_named_by_nobody() -> None:
    with pytest.raises(TenantMismatchError) as caught:
        tenancy.wait_owner(CALLER, "x-user", session(CALLER))
    assert str(caught.value) == f"tenant context mismatch (user must match the user who is waited for): {WHO}"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (tenancy.absent("k-1"), NotFoundError),
        (tenancy.taken("k-1"), ConflictError),
        (tenancy.changed("k-1"), ConflictError),
        (tenancy.claimed("k-1"), ClaimedError),
        (tenancy.claim_over("k-1"), ConflictError),
    ],
)
def test_a_key_is_an_attribute_and_no_part_of_the_message(error: GreenticError, kind: type[GreenticError]) -> None:
    assert type(error) is kind
    assert error.session_key == "k-1"
    assert "k-1" not in str(error) + repr(error)
    assert str(error)


def test_a_held_scope_names_the_callers_session_only() -> None:
    assert type(tenancy.scope_held("k")) is ConflictError
    assert tenancy.scope_held("k").session_key == "k"
    assert type(tenancy.several_waits()) is InvalidInputError
    assert str(tenancy.several_waits()) == "multiple waits exist for user; use scope-based routing instead"


@pytest.mark.parametrize(
    "fields", [{"team": "-"}, {"team_id": "-"}, {"team": "-", "team_id": "ops"}, {"team": "-", "team_id": "-"}]
)
def test_the_team_that_means_no_team_is_refused(fields: dict[str, Any]) -> None:
    ctx = TenantCtx(env="dev", tenant="acme", tenant_id="acme", attempt=0, **fields)
    with pytest.raises(InvalidInputError, match="team id '-' is reserved"):
        tenancy.check_ctx(ctx)
    with pytest.raises(InvalidInputError, match="team id '-' is reserved"):
        tenancy.lookup_owner(ctx, "u1")


def test_wrong_arguments() -> None:
    wrong: Any = {"env": "dev"}
    with pytest.raises(TypeError, match=r"^ctx must be a TenantCtx, not dict$"):
        tenancy.check_ctx(wrong)
    with pytest.raises(TypeError, match=r"^scope must be a ReplyScope, not dict$"):
        tenancy.check_scope(wrong)
    with pytest.raises(TypeError, match=r"^UserId must be a str, not dict$"):
        tenancy.lookup_owner(CALLER, wrong)
    with pytest.raises(TypeError, match=r"^UserId must be a str, not dict$"):
        tenancy.wait_owner(CALLER, wrong, session(CALLER))
    with pytest.raises(InvalidInputError, match=r"^UserId must not be empty$"):
        tenancy.lookup_owner(CALLER, "")
    with pytest.raises(InvalidInputError, match=r"^UserId must contain only"):
        tenancy.wait_owner(CALLER, "c:user", session(ANYBODY))


parts = st.text("a\n", max_size=3)


@given(st.builds(ReplyScope, parts, *[st.none() | parts] * 3))
def test_a_newline_anywhere_in_a_scope_is_refused(scope: ReplyScope) -> None:
    held = (scope.conversation, scope.thread, scope.reply_to, scope.correlation)
    if any("\n" in (part or "") for part in held):
        with pytest.raises(InvalidInputError, match=r"^no part of a ReplyScope may hold a newline$"):
            tenancy.check_scope(scope)
    else:
        tenancy.check_scope(scope)


@pytest.mark.parametrize("position", range(4))
def test_a_lone_surrogate_in_a_scope_is_refused_and_other_unicode_is_not(position: int) -> None:
    filled = ["c", "t", "r", "x"]
    filled[position] = "\u00e9\U0001f600"
    tenancy.check_scope(ReplyScope(*filled))
    filled[position] = "\ud800"
    with pytest.raises(InvalidInputError, match="lone surrogate"):
        tenancy.check_scope(ReplyScope(*filled))
    with pytest.raises(InvalidInputError, match="lone surrogate"):
        tenancy.candidates(ReplyScope(*filled), fallback=True)


def test_candidates() -> None:
    whole = ReplyScope("c", "t", "r", "x")
    assert tenancy.candidates(whole, fallback=True) == (whole, ReplyScope("c", "t", "r"))
    assert tenancy.candidates(whole, fallback=False) == (whole,)
    assert tenancy.candidates(ReplyScope("c"), fallback=True) == (ReplyScope("c"),)
    assert tenancy.candidates(ReplyScope("c", correlation=""), fallback=True) == (ReplyScope("c", correlation=""),)


LONG = "a" * 1025


@pytest.mark.parametrize(
    "caller",
    [
        TenantCtx.new(LONG, "acme"),
        TenantCtx.new("dev", LONG),
        TenantCtx.new("dev", "acme", team=LONG),
        TenantCtx.new("dev", "acme", user=LONG),
    ],
)
def test_an_id_that_is_too_long_names_nobody(caller: TenantCtx) -> None:
    with pytest.raises(InvalidInputError, match=r"Id must have at most 1024 characters$"):
        tenancy.check_ctx(caller)
    tenancy.check_ctx(TenantCtx.new("a" * 1024, "b" * 1024, team="c" * 1024, user="d" * 1024))


def test_a_user_that_is_too_long_is_refused_where_it_is_named() -> None:
    runner = TenantCtx.new("dev", "acme")
    data = SessionData.new(TenantCtx.new("dev", "acme", user=LONG), "f", "n")
    for call in (
        lambda: tenancy.lookup_owner(runner, LONG),
        lambda: tenancy.wait_owner(runner, LONG, data),
        lambda: tenancy.check_user(LONG),
    ):
        with pytest.raises(InvalidInputError, match="UserId must have at most 1024 characters"):
            call()


@pytest.mark.parametrize("parts", [("c" * 4097,), ("c" * 2000, "t" * 2097), ("c", "t", "r", "é" * 4094)])
def test_a_scope_that_is_too_long(parts: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInputError, match="at most 4096 characters together"):
        tenancy.check_scope(ReplyScope(*parts))
    tenancy.check_scope(ReplyScope(parts[0][:4096]))
    tenancy.check_scope(ReplyScope("c" * 1024, "t" * 1024, "r" * 1024, "o" * 1024))
