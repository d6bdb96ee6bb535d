"""Names of greentic-runner, as its own tests record them, and that they find what it has parked."""

import hashlib
from typing import Any

import pytest

from greentic_session import InMemorySessionStore, InvalidInputError, ReplyScope, SessionData, TenantCtx
from greentic_session.mapping import RunnerWait, runner_namespace, runner_wait

HINT = "demo:provider:chan:conv:user"
DEMO: dict[str, Any] = {"provider": "provider", "channel": "chan", "conversation": "conv", "user": "user"}

# The fields of an envelope, and the hint that greentic-runner makes of it.
RECORDED: list[tuple[dict[str, Any], str]] = [
    ({}, "demo:provider:flow.main:flow.main:user"),
    ({"activity_id": "activity-1"}, "demo:provider:flow.main:flow.main:activity-1"),
    (DEMO, HINT),
    ({**DEMO, "activity_id": "act-1"}, HINT),
    ({**DEMO, "session_hint": HINT}, HINT),
    ({**DEMO, "pack_id": "pack.demo"}, f"{HINT}::pack=pack.demo"),
    ({**DEMO, "endpoint_id": "teams-legal"}, f"ep=teams-legal::{HINT}"),
    ({"session_hint": "shared-session-key", "endpoint_id": "teams-legal"}, "ep=teams-legal::shared-session-key"),
    ({"session_hint": "shared-session-key", "endpoint_id": "teams-accounting"}, "ep=teams-accounting::shared-session-key"),
    ({"session_hint": "ep=teams-legal::raw-key", "endpoint_id": "teams-legal"}, "ep=teams-legal::raw-key"),
    ({"session_hint": "raw-key", "endpoint_id": "01HA1ABCDE"}, "ep=01HA1ABCDE::raw-key"),
    ({"session_hint": "raw-key", "endpoint_id": "teams_legal.v2"}, "ep=teams_legal.v2::raw-key"),
    ({"session_hint": "raw-key", "endpoint_id": ""}, "raw-key"),
    ({"session_hint": "raw-key", "endpoint_id": "teams:legal"}, "raw-key"),
    ({"session_hint": "raw-key", "endpoint_id": "teams legal"}, "raw-key"),
    ({"session_hint": "raw-key", "endpoint_id": "teams\nlegal"}, "raw-key"),
    ({"session_hint": "raw-key", "endpoint_id": "a" * 129}, "raw-key"),
    (
        {"session_hint": "raw-key", "endpoint_id": "teams-legal", "pack_id": "pack.demo"},
        "ep=teams-legal::raw-key::pack=pack.demo",
    ),
]


@pytest.mark.parametrize(("fields", "hint"), RECORDED)
def test_the_recorded_forms(fields: dict[str, Any], hint: str) -> None:
    parked = runner_wait("demo", "flow.main", **fields)
    scope = ReplyScope(fields.get("conversation", "flow.main"))
    assert parked == RunnerWait(
        ctx=TenantCtx.new("local", "demo", user=parked.user_id),
        user_id=f"sess{hashlib.sha256(hint.encode()).hexdigest()[:16]}",
        scope=scope,
        session_key=parked.session_key,
        session_hint=hint,
    )
    assert parked.session_key == f"{hint}::{scope.scope_hash()}"


def test_the_scope_has_no_correlation() -> None:
    asked = ReplyScope("conv", thread="t", reply_to="r", correlation="c")
    parked = runner_wait("demo", "flow.main", **DEMO, reply_scope=asked)
    assert parked.scope == ReplyScope("conv", thread="t", reply_to="r")
    assert parked.session_key == f"{HINT}::{parked.scope.scope_hash()}"


def test_one_key_in_full() -> None:
    parked = runner_wait("demo", "flow.main", **DEMO, pack_id="pack.demo")
    assert (parked.user_id, parked.session_key) == (
        "sess16a711b25494d6d1",
        "demo:provider:chan:conv:user::pack=pack.demo::941a2c1f7fd970dd889adf82d096a8ab14c81c14a2b4a9f02fe45002b64c4777",
    )


def test_the_namespace() -> None:
    assert (runner_namespace("prod"), runner_namespace(" prod ")) == ("greentic:session:prod",) * 2
    for env, error in (("", InvalidInputError), (" ", InvalidInputError), (None, TypeError), (7, TypeError)):
        wrong: Any = env
        with pytest.raises(error):
            runner_namespace(wrong)


@pytest.mark.asyncio
async def test_what_it_parked_is_found() -> None:
    parked = runner_wait("demo", "flow.main", env="prod", **DEMO, pack_id="pack.demo")
    data = SessionData.new(parked.ctx, "flow.main", "node-2", pack_id="pack.demo")
    async with InMemorySessionStore() as store:
        await store.register_wait(parked.ctx, parked.user_id, parked.scope, parked.session_key, data)
        again = runner_wait("demo", "flow.other", env="prod", **DEMO, pack_id="pack.demo")
        found = await store.find_wait(again.ctx, again.user_id, again.scope)
        assert found is not None
        assert found.key == parked.session_key
        others: list[dict[str, Any]] = [{"env": "dev"}, {"user": "somebody"}, {"pack_id": "pack.other"}]
        for other in others:
            fields = {"env": "prod", **DEMO, "pack_id": "pack.demo", **other}
            elsewhere = runner_wait("demo", "flow.main", **fields)
            assert await store.find_wait(elsewhere.ctx, elsewhere.user_id, elsewhere.scope) is None


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"tenant": "no tenant"}, InvalidInputError),
        ({"env": ""}, InvalidInputError),
        ({"user": "\ud800"}, InvalidInputError),
        ({"user": "x" * 1025}, InvalidInputError),
        ({"tenant": 7}, TypeError),
        ({"flow_id": None}, TypeError),
        ({"user": 7}, TypeError),
        ({"reply_scope": "conv"}, TypeError),
    ],
)
def test_what_is_refused(fields: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        runner_wait(**{"tenant": "demo", "flow_id": "flow.main", **fields})


def test_a_repr_tells_no_user() -> None:
    assert "ann" not in repr(runner_wait("demo", "flow.main", user="ann@example.org"))
