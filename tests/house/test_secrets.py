"""What must not get out.

No repr, no pickle and no complaint of the command line holds a secret, or what people said.
"""

import copy
import pickle
from typing import Any

import pytest
import redis.asyncio
from msgspec import Raw
from runs.cli import Cli

from greentic_session import RedisUrl, RedisUrlWithNamespace, ReplyScope, SessionCursor, SessionData, SessionKey, TenantCtx
from greentic_session._redis.cluster import ClusterAddress
from greentic_session._redis.connection import Call
from greentic_session._redis.sentinel_url import Service
from greentic_session.backend import Claiming, Creation, Parking, Update
from greentic_session.claim import Claim
from greentic_session.conversation import Conversation, ConversationState, Extra, Message, TokenUsage, blocks
from greentic_session.conversation.header import Change, Edit, Header, Tail

SECRET = "hunter2"
URL = f"redis://user:{SECRET}@example.org"


def holders() -> list[Any]:
    return [
        RedisUrl(URL),
        RedisUrlWithNamespace(URL, "ns"),
        ClusterAddress(redis.asyncio.Connection, {"password": SECRET}, [("h", 1)]),
        Service("main", [("h", 1)], {"password": SECRET}),
    ]


def contents() -> list[Any]:
    extra = Extra({SECRET: SECRET})
    parts: Any = [
        blocks.TextBlock(SECRET, extra=extra),
        blocks.ImageBlock("image/png", SECRET),
        blocks.ToolUseBlock(SECRET, SECRET, {SECRET: SECRET}),
        blocks.ToolResultBlock(SECRET, [SECRET]),
        blocks.ThinkingBlock(SECRET, SECRET),
        blocks.OtherBlock(Extra({"type": SECRET, "said": SECRET})),
    ]
    state = ConversationState(SECRET, TokenUsage(extra={SECRET: SECRET}), custom={SECRET: SECRET}, extra={SECRET: SECRET})
    raw = {SECRET: Raw(f'"{SECRET}"'.encode())}
    text, key = SECRET.encode(), SessionKey(SECRET)
    ctx = TenantCtx.new("dev", "acme", user="alice")
    data = SessionData(tenant_ctx=ctx, flow_id="f", cursor=SessionCursor("n"), context_json=SECRET)
    owner = ("dev", "acme", None, "alice")
    nobody: Any = None
    return [
        extra,
        *parts,
        Message("user", parts, extra=extra),
        Message.user(SECRET),
        state,
        state.token_usage,
        Conversation(id="c", messages=[Message.user(SECRET)], state=state, system_message=SECRET, extra={SECRET: SECRET}),
        Header(system_message=SECRET, metadata={SECRET: SECRET}, cwd=SECRET, custom=raw, extra=raw),
        Creation(key, data, owner, None, text),
        Update(key, data, ctx, SECRET, text),
        Parking(owner, ReplyScope(SECRET), key, data, None, text, token=SECRET),
        Claiming(owner, (ReplyScope(SECRET),), SECRET, 1),
        Call(text, nobody, 1.0, undo=(SECRET,)),
        Change(cwd=SECRET, custom=raw, metadata={SECRET: SECRET}),
        Edit(operation="compact", birth=SECRET, messages=[text]),
        Tail(SECRET, 1, [text]),
    ]


@pytest.mark.parametrize("holder", [*holders(), *contents()], ids=lambda holder: type(holder).__name__)
def test_a_repr_tells_no_secret_and_not_what_was_said(holder: Any) -> None:
    rich: Any = getattr(holder, "__rich_repr__", list)()
    assert SECRET not in f"{holder!r} {holder} {rich}"
    assert repr(holder).startswith(type(holder).__name__)


@pytest.mark.parametrize("holder", holders(), ids=lambda holder: type(holder).__name__)
def test_what_holds_a_secret_cannot_be_pickled(holder: Any) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="cannot be pickled: it holds a secret"):
            pickle.dumps(holder, protocol=protocol)
    assert copy.copy(holder) is copy.deepcopy(holder) is holder


@pytest.mark.parametrize(
    "made",
    [*dict.fromkeys(type(thing) for thing in (*holders(), *contents())), Claim, SessionData],
    ids=lambda made: made.__name__,
)
def test_what_is_half_made_has_a_repr(made: Any) -> None:
    assert repr(made.__new__(made)).startswith(made.__name__)


def shown_while_refused(make: Any) -> str:
    """Return the repr of what refuses to be made, as an error tracker asks for it."""
    with pytest.raises((TypeError, ValueError)) as caught:
        make()
    holders = (entry.frame.f_locals.get("self") for entry in caught.traceback)
    return " ".join(repr(holder) for holder in holders if holder is not None)


def test_what_is_refused_has_a_repr() -> None:
    wrong: Any = SECRET
    ctx = TenantCtx.new("dev", "acme")
    cursor = SessionCursor("n")
    snapshot: Any = None
    for make in (
        lambda: Message("user", wrong),
        lambda: Message(wrong, (blocks.TextBlock(SECRET),)),
        lambda: blocks.TextBlock(wrong.encode()),
        lambda: blocks.ToolResultBlock("u", SECRET, wrong),
        lambda: SessionData(tenant_ctx=ctx, flow_id="f", cursor=cursor, context_json=wrong.encode()),
        lambda: SessionData(tenant_ctx=ctx, flow_id="f", cursor=cursor, context_json=snapshot),
    ):
        assert SECRET not in shown_while_refused(make)


@pytest.mark.parametrize(
    "argv",
    [
        ("u:hunter2@h:6379",),
        ("hunter2",),
        ("--sotre", "u:hunter2@h"),
        ("--sotre=u:hunter2@h",),
        ("stats", "--sotre", "u:hunter2@h"),
        ("stats", "u:hunter2@h"),
        ("stats", "it's\\hunter2"),
        ("stats", "--yes=hunter2"),
        ("purge", "--yes=u:hunter2@h"),
        ("-hu:hunter2@h",),
        ("--ttl", "u:hunter2@h"),
        ("waits", "--env", "u:hunter2@h", "--tenant", "t"),
        ("stats", "--store", "u:hunter2@h:6379"),
        ("demo", "--store", "u:hunter2@h:6379"),
        ("demo", "--updates", "redis://u:hunter2@h"),
        ("migrate", "u:hunter2@h", "v:hunter2@h"),
        ("migrate", "redis://u:hunter2@h"),
        ("show", "--store", "memory://", "--hunter2:x"),
    ],
)
def test_what_was_typed_is_not_quoted(argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = Cli(capsys)(*argv)
    assert SECRET not in out + err
    if code == 0 and argv[0].startswith("-h"):  # since Python 3.12 that asks for help
        return
    assert (code, out) == (2, "")
    assert "error: " in err


def test_a_mistyped_option_and_the_commands_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "unrecognized arguments: --sotre <hidden>" in Cli(capsys)("stats", "--sotre", "u:hunter2@h")[2]
    _, _, err = Cli(capsys)("stast")
    assert "invalid choice: <hidden>" in err
    assert "stats" in err.partition("choose from")[2]
