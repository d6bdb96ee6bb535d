"""The lists of what belongs to a session and to a user, in Lua and in Python; who follows them."""

import pytest
import redis

from greentic_session import RedisSessionStore
from greentic_session._redis.lua_source import script_text
from greentic_session.backends.redis.keys import LEFTOVER_KINDS, REPLY_KINDS, SESSION_KINDS, USER_KINDS
from greentic_session.testing._sessions.samples import ALICE, CHAT, ctx, data

LUA = "greentic_session.backends.redis.lua"


def kinds(raw: redis.Redis, listed: str, told: str = "one.kind") -> list[str]:
    text = script_text(LUA, "belongings")
    text += f"local kinds = {{}} for number, one in ipairs({listed}) do kinds[number] = {told} end return kinds"
    return [(kind or b"").decode().removeprefix(":") for kind in raw.eval(text, 0, "ns")]


def test_the_lists_are_the_same_in_lua_and_in_python(raw: redis.Redis) -> None:
    assert kinds(raw, "OF_SESSION") == list(SESSION_KINDS)
    assert sorted(kinds(raw, "OF_USER")) == sorted(USER_KINDS)
    assert kinds(raw, "OF_PLACES") == list(REPLY_KINDS)
    assert {*kinds(raw, "OF_USER"), *kinds(raw, "OF_PLACES")} <= set(LEFTOVER_KINDS)


@pytest.mark.parametrize("name", ["examine", "remove_leftovers"])
def test_who_looks_at_each_kind_in_its_own_way_fails_where_one_is_new(raw: redis.Redis, name: str) -> None:
    text = script_text(LUA, name)
    raw.eval(text, 1, "ns:", "ns", "", "", "", "")
    new = text.replace("local OF_USER = {", "local OF_USER = { {kind = ':new:'},")
    assert new != text
    with pytest.raises(redis.ResponseError, match="nothing is said of :new:"):
        raw.eval(new, 1, "ns:", "ns", "", "", "", "")


@pytest.mark.asyncio
@pytest.mark.parametrize("how", ["remove", "complete", "purge", "clear"])
async def test_with_a_session_goes_what_the_list_says(
    store: RedisSessionStore, raw: redis.Redis, namespace: str, how: str
) -> None:
    await store.register_wait(ALICE, "alice", CHAT, "k", data(), 60)
    claim = await store.claim_wait(ALICE, "alice", CHAT)
    assert claim is not None
    for kind in SESSION_KINDS:  # those that a wait does not have, too
        raw.set(f"{namespace}:{kind}k", "source", ex=60, nx=True)
    if how == "remove":
        await store.remove_session("k")
    elif how == "complete":
        await claim.complete()
    elif how == "purge":
        await store.purge(ctx(None))
    else:
        await store.clear_wait(ALICE, "alice", CHAT)
    staying = [
        f"{namespace}:{kind}k".encode() for kind in kinds(raw, "OF_SESSION", "one.stays and one.kind or false") if kind
    ]
    assert list(raw.scan_iter(f"{namespace}:*")) == staying
