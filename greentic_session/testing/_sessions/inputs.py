"""Bad input.

For every argument of every operation, what the contract refuses is refused, and nothing is written.
"""

import math
import warnings
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from greentic_session.errors import InvalidInputError
from greentic_session.expiry import NEVER
from greentic_session.models import ReplyScope
from greentic_session.store import SessionStore

from .samples import ALICE, CHAT, MINUTE, ctx, data

__all__ = ["InputsContract"]

Refusal = tuple[Any, type[Exception]]

BAD_CTX: list[Refusal] = [
    (ALICE.with_team("-"), InvalidInputError),
    ("ctx", TypeError),
    ({"env": "dev"}, TypeError),
    (None, TypeError),
]
BAD_OPTIONAL_CTX = [refusal for refusal in BAD_CTX if refusal[0] is not None]
BAD_ID: list[Refusal] = [
    ("", InvalidInputError),
    ("a:b", InvalidInputError),
    ("a b", InvalidInputError),
    ("é", InvalidInputError),
    ("a\n", InvalidInputError),
    ("\ud800", InvalidInputError),
    (7, TypeError),
    (None, TypeError),
    (b"alice", TypeError),
]
BAD_KEY: list[Refusal] = [
    ("", InvalidInputError),
    ("x" * 1025, InvalidInputError),
    ("é" * 513, InvalidInputError),
    ("a\ud800", InvalidInputError),
    (7, TypeError),
    (b"k", TypeError),
    (None, TypeError),
    (["k"], TypeError),
]
BAD_OPTIONAL_KEY = [refusal for refusal in BAD_KEY if refusal[0] is not None]
BAD_SCOPE: list[Refusal] = [
    (ReplyScope("a\nb"), InvalidInputError),
    (ReplyScope("a", "b\n"), InvalidInputError),
    (ReplyScope("a", None, "\n"), InvalidInputError),
    (ReplyScope("a", None, None, "b\nc"), InvalidInputError),
    (ReplyScope("\ud800"), InvalidInputError),
    (ReplyScope("a", "\udfff"), InvalidInputError),
    ("telegram:chat-1", TypeError),
    (("telegram:chat-1", None, None, None), TypeError),
    (None, TypeError),
]
BAD_DATA: list[Refusal] = [
    (data(snapshot="\ud800"), InvalidInputError),
    (data(node="\ud800"), InvalidInputError),
    (data(ALICE.with_attributes({"a": "\udfff"})), InvalidInputError),
    (data(ALICE.with_session("\ud800")), InvalidInputError),
    (data().to_json(), TypeError),
    ({}, TypeError),
    (None, TypeError),
]
BAD_SECONDS: list[Refusal] = [
    (0, InvalidInputError),
    (0.0, InvalidInputError),
    (-1, InvalidInputError),
    (-1e-9, InvalidInputError),
    (math.nan, InvalidInputError),
    (math.inf, InvalidInputError),
    (-math.inf, InvalidInputError),
    (2**52 / 1000 + 1, InvalidInputError),
    (1e308, InvalidInputError),
    (10**400, InvalidInputError),
    (timedelta(0), InvalidInputError),
    (timedelta(microseconds=-1), InvalidInputError),
    (timedelta.min, InvalidInputError),
    ("60", TypeError),
    (True, TypeError),
    (1j, TypeError),
    ([60], TypeError),
]
BAD_LEASE: list[Refusal] = [*BAD_SECONDS, (NEVER, TypeError), (None, TypeError)]
BAD_CONFLICT: list[Refusal] = [("ignore", InvalidInputError), (None, InvalidInputError), (True, InvalidInputError)]
BAD_VERSION: list[Refusal] = [(7, TypeError), (b"v", TypeError)]

GOOD: dict[str, Any] = {
    "ctx": ALICE,
    "user_id": "alice",
    "user": "alice",
    "scope": CHAT,
    "session_key": "new",
    "data": data(node="refused"),
    "ttl": MINUTE,
}

BAD: dict[str, dict[str, list[Refusal]]] = {
    "create_session": {"ctx": BAD_CTX, "data": BAD_DATA, "key": BAD_OPTIONAL_KEY, "ttl": BAD_SECONDS},
    "get_session": {"key": BAD_KEY, "ctx": BAD_OPTIONAL_CTX},
    "get_versioned": {"key": BAD_KEY, "ctx": BAD_OPTIONAL_CTX},
    "update_session": {
        "key": BAD_KEY,
        "data": [*BAD_DATA, (data(ctx(team="-")), InvalidInputError)],
        "ctx": BAD_OPTIONAL_CTX,
        "if_version": BAD_VERSION,
    },
    "remove_session": {"key": BAD_KEY, "ctx": BAD_OPTIONAL_CTX},
    "remaining_ttl": {"key": BAD_KEY, "ctx": BAD_OPTIONAL_CTX},
    "touch": {"key": BAD_KEY, "ttl": BAD_SECONDS, "ctx": BAD_OPTIONAL_CTX},
    "register_wait": {
        "ctx": BAD_CTX,
        "user_id": BAD_ID,
        "scope": BAD_SCOPE,
        "session_key": BAD_KEY,
        "data": [*BAD_DATA, (data(ctx(None)), InvalidInputError)],
        "ttl": BAD_SECONDS,
        "on_conflict": BAD_CONFLICT,
    },
    "find_wait": {"ctx": BAD_CTX, "user_id": BAD_ID, "scope": BAD_SCOPE},
    "find_wait_by_scope": {"ctx": BAD_CTX, "user_id": BAD_ID, "scope": BAD_SCOPE},
    "list_waits_for_user": {"ctx": BAD_CTX, "user_id": BAD_ID},
    "clear_wait": {"ctx": BAD_CTX, "user_id": BAD_ID, "scope": BAD_SCOPE},
    "find_by_user": {"ctx": BAD_CTX, "user": BAD_ID},
    "claim_wait": {"ctx": BAD_CTX, "user_id": BAD_ID, "scope": BAD_SCOPE, "lease": BAD_LEASE},
    "iter_sessions": {"ctx": BAD_CTX},
    "purge": {"ctx": BAD_CTX, "user": [refusal for refusal in BAD_ID if refusal[0] is not None]},
}
KEYED = {"remaining_ttl", "get_session", "get_versioned", "update_session", "remove_session", "touch"}
ARGUMENTS: dict[str, list[str]] = {
    "create_session": ["ctx", "data"],
    "get_session": [],
    "get_versioned": [],
    "update_session": ["data"],
    "remove_session": [],
    "remaining_ttl": [],
    "touch": ["ttl"],
    "register_wait": ["ctx", "user_id", "scope", "session_key", "data"],
    "find_wait": ["ctx", "user_id", "scope"],
    "find_wait_by_scope": ["ctx", "user_id", "scope"],
    "list_waits_for_user": ["ctx", "user_id"],
    "clear_wait": ["ctx", "user_id", "scope"],
    "find_by_user": ["ctx", "user"],
    "claim_wait": ["ctx", "user_id", "scope"],
    "iter_sessions": ["ctx"],
    "purge": ["ctx"],
}


async def refused(call: Callable[[], Awaitable[object]], expected: type[Exception], what: str) -> None:
    """Check that a call is refused with this very error, and not with a kind of it."""
    error = None
    try:
        await call()
    except Exception as raised:  # noqa: BLE001  # whatever it is, the next line tells
        error = raised
    assert type(error) is expected, f"{what}: {error!r} instead of {expected.__name__}"


async def contents(store: SessionStore) -> object:
    """Return all that a caller can see of acme."""
    sessions = [(wait.key, wait.data, wait.version) async for wait in store.iter_sessions(ctx(None, team=None))]
    return sorted(sessions, key=lambda session: session[0]), await store.list_waits_for_user(ALICE, "alice")


class InputsContract:
    """Inputs: what is refused, and that nothing is written then."""

    async def test_what_the_contract_refuses_is_refused(self, store: SessionStore) -> None:
        await store.register_wait(ALICE, "alice", CHAT, "k", data())
        await store.create_session(ALICE, data(), key="l")
        before = await contents(store)
        for operation, arguments in BAD.items():
            for argument, refusals in arguments.items():
                for value, expected in refusals:
                    values = {name: GOOD[name] for name in ARGUMENTS[operation]}
                    if operation in KEYED:
                        values["key"] = "k"
                    values[argument] = value

                    async def call(operation: str = operation, values: dict[str, Any] = values) -> None:
                        with warnings.catch_warnings():
                            warnings.simplefilter("ignore", DeprecationWarning)  # find_by_user
                            result = getattr(store, operation)(**values)
                            if operation == "iter_sessions":
                                _ = [wait async for wait in result]
                            else:
                                await result

                    await refused(call, expected, f"{operation}({argument}={ascii(value)[:40]})")
        assert await contents(store) == before

    async def test_bad_input_is_refused_even_where_nothing_could_be_found(self, store: SessionStore) -> None:
        """A caller that may not see a user's waits still learns that the arguments are wrong."""
        bob = ctx("bob")
        for call in (
            lambda: store.find_wait(bob, "alice", ReplyScope("a\nb")),
            lambda: store.find_wait_by_scope(bob, "alice", ReplyScope("a\nb")),
            lambda: store.clear_wait(bob, "alice", ReplyScope("a\nb")),
            lambda: store.claim_wait(bob, "alice", ReplyScope("a\nb")),
            lambda: store.claim_wait(bob, "alice", CHAT, lease=0),
            lambda: store.list_waits_for_user(bob, "a:b"),
        ):
            await refused(call, InvalidInputError, "a call on another user's behalf")

    async def test_a_team_named_dash_is_no_team(self, store: SessionStore) -> None:
        """In the Rust crate the team ``-`` collided with no team."""
        dash, without = ctx(team="-"), ctx(team=None)
        await store.register_wait(without, "alice", CHAT, "k", data(without))
        with pytest.raises(InvalidInputError, match="reserved"):
            await store.find_wait(dash, "alice", CHAT)
        with pytest.raises(InvalidInputError, match="reserved"):
            await store.register_wait(dash, "alice", CHAT, "k", data(dash))
        assert await store.get_session("k") == data(without)
