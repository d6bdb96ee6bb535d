"""The operator's commands on a store in memory and on a real Redis.

What they tell, and how they end.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from paths import VECTORS
from reference_fleet import Reference
from runs.cli import SECRET, Cli, Kept, data_of, fill, in_file, in_redis, park

import greentic_session
from greentic_session import ReplyScope, SessionStore, TenantCtx
from greentic_session.backend import SessionBackend
from greentic_session.cli import opening
from greentic_session.cli.commands import COMMANDS
from greentic_session.cli.schema import wire_schema
from greentic_session.conversation import Conversation, ImageBlock, Message, OtherBlock, TextBlock, TokenUsage
from greentic_session.conversation.envelope import write_envelope
from greentic_session.conversation.extra import Extra
from greentic_session.conversation.message import write_message
from greentic_session.conversation.moments import as_datetime
from greentic_session.conversation.packing import pack
from greentic_session.models import Impersonation, InvocationDeadline

ACME = ("--env", "dev", "--tenant", "acme")


@pytest.fixture(params=["memory", "redis", "sqlite"])
def cli(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line on a store that `fill` has filled."""
    if request.param == "redis":
        url, namespace = request.getfixturevalue("redis_url"), request.getfixturevalue("namespace")
        in_redis(url, namespace, fill)
        return Cli(capsys, "--store", url, "--namespace", namespace)
    if request.param == "sqlite":
        url = f"sqlite:///{request.getfixturevalue('databases')()}"
        in_file(url, fill)
        return Cli(capsys, "--store", url)
    store = Kept()
    asyncio.run(fill(store))
    monkeypatch.setattr(opening, "create_session_store", lambda _url: store)
    return Cli(capsys, "--store", "memory://")


# -- waits


def test_waits_lists_what_a_tenant_waits_for(cli: Cli) -> None:
    code, out, err = cli("waits", *ACME)
    assert code == 0
    head, *rows = out.splitlines()
    assert [name for name in head.split() if name != "AGE"] == [
        "USER",
        "TEAM",
        "FLOW",
        "NODE",
        "WAITS",
        "ON",
        "DEADLINE",
        "KEY",
    ]
    assert [row.split()[0] + " " + row.split()[-1] for row in rows] == ["alice k1", "alice k2", "alice k4", "bob k3"]
    assert "alice  ops    order.flow  node-k1  c1 reply_to 7" in rows[0]
    assert "29m" in rows[0]
    assert "never" in rows[3]
    assert "4 waits" in err
    assert SECRET not in out


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (("--team", "ops"), ["k1", "k2", "k3"]),
        (("--user", "alice"), ["k1", "k2", "k4"]),
        (("--team", "sales", "--user", "bob"), []),
    ],
)
def test_waits_of_one_team_or_user(cli: Cli, more: tuple[str, ...], expected: list[str]) -> None:
    assert sorted(wait["key"] for wait in cli.json("waits", *ACME, *more)["waits"]) == expected


def test_waits_for_programs(cli: Cli) -> None:
    first = cli.json("waits", *ACME)["waits"][0]
    assert 1700 < first.pop("ttl_seconds") <= 1800
    assert 1700 < first.pop("deadline_seconds") <= 1800
    assert first.pop("size") > 100
    assert first.pop("age_seconds") in (None, pytest.approx(0, abs=1000))
    assert first == {
        "key": "k1",
        "env": "dev",
        "tenant": "acme",
        "team": "ops",
        "user": "alice",
        "flow_id": "order.flow",
        "pack_id": None,
        "node_pointer": "node-k1",
        "wait_reason": "a reason",
        "waits": True,
        "scope": {"conversation": "c1", "reply_to": "7"},
        "claim_seconds": None,
        "holder": None,
        "on_timeout": "forget",
        "ready_seconds": None,
        "put_off_seconds": 0,
        "attempts": 0,
        "replies": 0,
    }


def test_waits_of_another_runtime_are_listed_too(
    redis_url: str, namespace: str, raw: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    ctx = TenantCtx.new("dev", "acme", user="alice")
    Reference(raw, namespace).register_wait(ReplyScope("c9"), "theirs", data_of(ctx), 60_000)
    Reference(raw, namespace).create_session("plain", data_of(ctx, node="elsewhere"))
    cli = Cli(capsys, "--store", redis_url, "--namespace", namespace)
    (wait,) = cli.json("waits", *ACME)["waits"]
    assert (wait["key"], wait["scope"]) == ("theirs", None)
    assert "(another runtime knows)" in cli("waits", *ACME)[1]


def test_a_wait_cannot_steer_the_terminal(redis_url: str, namespace: str, capsys: pytest.CaptureFixture[str]) -> None:
    ctx = TenantCtx.new("dev", "acme", user="alice")
    in_redis(redis_url, namespace, lambda store: park(store, ctx, "k", "\x1b[2J寿司\r"))
    cli = Cli(capsys, "--store", redis_url, "--namespace", namespace)
    for command in (("waits", *ACME), ("show", "k")):
        out = cli(*command)[1]
        assert "\x1b" not in out
        assert "\r" not in out
        assert "\\x1b[2J寿司\\r" in out


# -- show and remove


def test_show_hides_the_snapshot(cli: Cli) -> None:
    code, out, err = cli("show", "k1")
    assert (code, err) == (0, "")
    shown = dict(line.split(None, 1) for line in out.splitlines())
    assert (shown["env"], shown["tenant"], shown["team"], shown["user"]) == ("dev", "acme", "ops", "alice")
    assert (shown["flow"], shown["node"]) == ("order.flow", "node-k1")
    assert shown["context_json"] == f"<hidden, {len(SECRET) + 2} bytes>"
    assert "waits on      c1 reply_to 7" in out
    assert "ends in       29m" in out
    assert len(shown["version"]) == 40
    assert SECRET not in out


def test_show_reveals_it_when_asked(cli: Cli) -> None:
    assert SECRET in cli("show", "k1", "--reveal")[1]
    hidden, shown = cli.json("show", "k1"), cli.json("show", "k1", "--reveal")
    assert SECRET not in str(hidden)
    assert json.loads(shown["context_json"]) == SECRET
    assert shown["context_json_size"] == hidden["context_json_size"] == len(SECRET) + 2


def test_show_of_a_session_that_waits_for_nothing(cli: Cli) -> None:
    out = cli("show", "k5")[1]
    assert "waits on      nothing" in out
    assert "ends in       never" in out
    assert "user" not in out


def test_show_tells_of_a_claim(redis_url: str, namespace: str, capsys: pytest.CaptureFixture[str]) -> None:
    ctx = TenantCtx.new("dev", "acme", user="alice")

    async def claim(store: SessionStore) -> None:
        await park(store, ctx, "k")
        assert await store.claim_wait(ctx, "alice", ReplyScope("c1", reply_to="7"), lease=60)

    in_redis(redis_url, namespace, claim)
    cli = Cli(capsys, "--store", redis_url, "--namespace", namespace)
    assert re.search(rf"claimed for   5\ds by {os.getpid()} here", cli("show", "k")[1])
    told = cli.json("show", "k")
    assert 0 < told["claim_seconds"] <= 60
    assert (told["holder"]["pid"], told["holder"]["here"]) == (os.getpid(), True)


@pytest.mark.parametrize("command", [("show", "k-nobody-has"), ("remove", "k-nobody-has", "--yes")])
def test_a_key_that_is_not_there_is_exit_code_3(cli: Cli, command: tuple[str, ...]) -> None:
    code, out, err = cli(*command)
    assert (code, out) == (3, "")
    assert err == "error: no live session has this key\n"


def test_remove_takes_the_wait_along(cli: Cli) -> None:
    assert cli.json("remove", "k1", "--yes") == {"removed": 1}
    assert cli("show", "k1")[0] == 3
    assert [wait["key"] for wait in cli.json("waits", *ACME, "--team", "ops")["waits"]] == ["k2", "k3"]


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets an operator sit at a terminal and type an answer."""

    def answer(text: str) -> None:
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
        monkeypatch.setattr(sys.stdin, "readline", lambda: text)

    return answer


def test_remove_asks(cli: Cli, answering: Callable[[str], None]) -> None:
    for answer in ("n\n", "\n", ""):
        answering(answer)
        code, out, err = cli("remove", "k1")
        assert (code, out) == (130, "")
        assert "Remove the session of flow order.flow at node-k1 (env dev, tenant acme, team ops, user alice)? [y/N]" in err
        assert "Nothing was removed." in err
    answering("y\n")
    assert cli("remove", "k-nobody-has")[0] == 3
    assert cli("remove", "k1")[:2] == (0, "removed, with all that led to it\n")
    assert cli("show", "k1")[0] == 3


@pytest.mark.parametrize("command", [("remove", "k1"), ("purge", *ACME)])
def test_without_a_terminal_nothing_is_removed_unasked(
    cli: Cli, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    code, out, err = cli(*command)
    assert (code, out, err) == (2, "", "error: there is no terminal to ask on: say --yes\n")
    assert cli("show", "k1")[0] == 0


def test_what_is_no_session_is_told_and_can_be_removed(
    redis_url: str, namespace: str, raw: Any, capsys: pytest.CaptureFixture[str], answering: Callable[[str], None]
) -> None:
    raw.set(f"{namespace}:session:k", "not a session")
    cli = Cli(capsys, "--store", redis_url, "--namespace", namespace)
    assert cli("show", "k") == (1, "", "error: the stored text is not a session\n")
    answering("yes\n")
    assert cli("remove", "k")[0] == 0
    assert not raw.exists(f"{namespace}:session:k")


# -- stats


def test_stats_counts_by_tenant(cli: Cli) -> None:
    found = cli.json("stats")
    total = {"sessions": 6, "waits": 5, "expiring_within_an_hour": 1, "conversations": 0}
    assert found["total"].items() >= total.items()
    acme, other = found["tenants"]
    assert (acme["env"], acme["tenant"], acme["sessions"], acme["waits"]) == ("dev", "acme", 5, 4)
    assert [(team["team"], team["sessions"], team["waits"]) for team in acme["teams"]] == [
        (None, 1, 0),
        ("ops", 3, 3),
        ("sales", 1, 1),
    ]
    assert (other["tenant"], other["sessions"], other["expiring_within_an_hour"]) == ("other", 1, 0)
    assert [(flow["flow_id"], flow["waits"], flow["due_within_an_hour"]) for flow in found["flows"]] == [
        ("order.flow", 5, 1)
    ]
    assert [(flow["flow_id"], flow["waits"]) for flow in acme["flows"]] == [("order.flow", 4)]


def test_stats_for_people(cli: Cli) -> None:
    head, acme, other, total, _, *flows = cli("stats")[1].splitlines()
    assert head.split()[:6] == ["ENV", "TENANT", "TEAMS", "SESSIONS", "WAITS", "END"]
    assert acme.split()[:6] == ["dev", "acme", "3", "5", "4", "1"]
    assert other.split()[:6] == ["dev", "other", "1", "1", "1", "0"]
    assert total.split()[:4] == ["total", "6", "5", "1"]
    assert flows[0].split() == ["FLOW", "WAITS", "READY", "OLDEST", "CLAIMED", "OVERDUE", "DUE", "IN", "1H", "REPLIES"]
    assert [row.split() for row in flows[1:]] == [
        ["order.flow", "5", "0", "0", "0", "1", "0"],
        ["total", "5", "0", "0", "0", "1", "0"],
    ]


def test_stats_of_what_others_wrote(redis_url: str, namespace: str, raw: Any, capsys: pytest.CaptureFixture[str]) -> None:
    ctx = TenantCtx.new("dev", "acme", user="alice")
    Reference(raw, namespace).register_wait(ReplyScope("c"), "k", data_of(ctx), 60_000)
    raw.set(f"{namespace}:session:unreadable", "?")
    raw.hset(f"{namespace}:session:of-a-wrong-type", "a", "b")
    nobody, acme = Cli(capsys, "--store", redis_url, "--namespace", namespace).json("stats")["tenants"]
    assert (nobody["env"], nobody["tenant"], nobody["sessions"], nobody["waits"]) == ("", "", 1, 0)
    assert (acme["tenant"], acme["sessions"], acme["waits"], acme["expiring_within_an_hour"]) == ("acme", 1, 1, 1)


def test_an_empty_store_in_memory_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    cli = Cli(capsys, "--store", "memory://", "--namespace", "whatever")
    assert "total" in cli("stats")[1]
    assert "empty when it begins" in cli("stats")[2]
    assert "empty when it begins" in cli("waits", *ACME)[2]
    code, out, _ = cli("doctor")
    assert code == 0
    assert "warning  storage" in out
    assert cli("purge", *ACME, "--yes")[:2] == (
        0,
        "removed 0 sessions with their waits and 0 conversations of env dev, tenant acme, all teams\n",
    )


@pytest.mark.slow
def test_stats_of_100_000_sessions(redis_url: str, namespace: str, capsys: pytest.CaptureFixture[str]) -> None:
    async def many(store: SessionStore) -> None:
        async def one(number: int) -> None:
            ctx = TenantCtx.new("dev", f"t{number % 10}", user=f"u{number % 30_000}")
            await park(store, ctx, f"k{number}", f"c{number}", ttl=600 if number % 4 else 7200)

        for start in range(0, 100_000, 500):
            await asyncio.gather(*(one(number) for number in range(start, start + 500)))

    in_redis(redis_url, namespace, many)
    found = Cli(capsys, "--store", redis_url, "--namespace", namespace).json("stats")
    assert (found["total"]["sessions"], found["total"]["waits"]) == (100_000, 100_000)
    assert found["total"]["expiring_within_an_hour"] == 75_000
    assert [tenant["sessions"] for tenant in found["tenants"]] == [10_000] * 10


# -- schema


def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": wire_schema()["$defs"]})


def test_the_schema_is_one_and_needs_no_store(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = Cli(capsys)("schema")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(found)
    assert found["$defs"]["TenantId"]["pattern"] == "^[A-Za-z0-9._-]+$"
    assert {"SessionData", "TenantCtx", "ReplyScope", "SessionKey", "Conversation", "Message"} <= found["$defs"].keys()
    assert Cli(capsys)("schema", "--json")[1] == out


def test_the_schema_fits_every_recorded_text() -> None:
    vectors = json.loads((VECTORS / "serialize.json").read_text())
    assert vectors
    for vector in vectors:
        validator("SessionData").validate(json.loads(vector["json"]))
    ctx = TenantCtx.new("dev", "acme", user="alice").with_impersonation(Impersonation("root", "why"))
    ctx = ctx.with_deadline(InvocationDeadline(5)).with_attributes({"a": "b"})
    validator("SessionData").validate(json.loads(data_of(ctx).to_json()))


@pytest.mark.parametrize(
    ("field", "value"), [("env", "with:colon"), ("tenant_id", ""), ("user", "a b"), ("attempt", -1), ("attempt", None)]
)
def test_the_schema_refuses_what_the_library_refuses(field: str, value: object) -> None:
    text = json.loads(data_of(TenantCtx.new("dev", "acme")).to_json())
    text["tenant_ctx"][field] = value
    assert list(validator("SessionData").iter_errors(text))


def test_the_schema_fits_a_conversation() -> None:
    blocks = (TextBlock("hi"), ImageBlock("image/png", "AA=="), OtherBlock(Extra({"type": "song", "notes": [1]})))
    image = {"type": "image", "source": {"type": "url", "url": "u"}}
    said = [Message.from_dict({"role": "user", "content": content}) for content in ("hi", None, [image])]
    conversation = Conversation(id="c", messages=[Message("user", blocks, extra=Extra({"more": 1})), *said])
    conversation.created_at = conversation.updated_at = as_datetime(1)
    conversation.state.token_usage = TokenUsage(input_tokens=4)
    messages = [write_message(message) for message in conversation.messages]
    text = json.loads(write_envelope(pack(conversation, "birth"), messages, "c"))
    validator("Conversation").validate(text)
    text["messages"][0]["role"] = "nobody"
    assert list(validator("Conversation").iter_errors(text))


# -- arguments, errors and exit codes


def test_a_store_must_be_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GREENTIC_SESSION_URL", raising=False)
    code, out, err = Cli(capsys)("stats")
    assert (code, out) == (2, "")
    assert "say --store URL, or set GREENTIC_SESSION_URL" in err


def test_the_environment_names_a_store(
    redis_url: str, namespace: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    in_redis(redis_url, namespace, fill)
    monkeypatch.setenv("GREENTIC_SESSION_URL", redis_url)
    assert Cli(capsys, "--namespace", namespace).json("stats")["total"]["sessions"] == 6
    monkeypatch.setenv("GREENTIC_SESSION_URL", "redis://127.0.0.1:1")
    found = Cli(capsys).json("--store", redis_url, "--namespace", namespace, "stats")
    assert found["total"]["sessions"] == 6


@pytest.mark.parametrize("command", COMMANDS, ids=[command.name for command in COMMANDS])
def test_help_keeps_the_password(command: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREENTIC_SESSION_URL", "redis://user:hunter2@example.org")
    for argv in ((command.name, "--help"), ("--help",)):
        code, out, err = Cli(capsys)(*argv)
        assert (code, err) == (0, "")
        assert "exit codes" in out
        assert "hunter2" not in out


@pytest.mark.parametrize(
    "argv",
    [
        ("stats", "redis://:hunter2@example.org"),
        ("redis://:hunter2@example.org",),
        ("stats", "--store", "http://:hunter2@example.org"),
        ("stats", "--store", "redis://:hunter2@example.org/x"),
        ("stats", "--store", ""),
        ("waits", "--env", "dev"),
        ("waits", "--env", "dev", "--tenant", "a:b", "--store", "memory://"),
        ("waits", "--env", "dev", "--tenant", "a", "--team", "-", "--store", "memory://"),
        ("purge", "--env", "dev", "--tenant", "a", "--team", "-", "--yes", "--store", "memory://"),
        ("show", "", "--store", "memory://"),
        ("show", "--store", "memory://"),
        ("stats", "--store", "redis://127.0.0.1", "--namespace", ""),
        ("--updates", "-", "stats", "--store", "memory://"),
        ("--ttl", "3", "schema"),
        ("no-such-command",),
        ("stats", "--sto", "memory://"),
    ],
)
def test_a_wrong_argument_is_exit_code_2(argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = Cli(capsys)(*argv)
    assert (code, out) == (2, "")
    assert "error: " in err
    assert "hunter2" not in err


def test_a_store_that_is_away_is_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (("stats",), ("doctor",), ("show", "k"), ("waits", *ACME), ("purge", *ACME, "--yes")):
        code, out, err = Cli(capsys)(*command, "--store", "redis://:hunter2@127.0.0.1:1")
        assert (code, out) == (1, "")
        assert err.startswith("error: ")
        assert "hunter2" not in err


def test_a_backend_that_nobody_looks_into_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Kept()
    monkeypatch.setattr(type(store._memory), "inspector", SessionBackend.inspector)
    monkeypatch.setattr(opening, "create_session_store", lambda _url: store)
    code, _, err = Cli(capsys)("stats", "--store", "memory://")
    assert (code, err) == (2, "error: this store cannot be looked into\n")


def run_module(*argv: str, **options: Any) -> subprocess.CompletedProcess[str]:
    root = str(Path(greentic_session.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root, "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-m", "greentic_session", *argv]
    return subprocess.run(command, check=False, timeout=60, env=environment, capture_output=True, text=True, **options)


def test_as_a_command(redis_url: str, namespace: str) -> None:
    in_redis(redis_url, namespace, fill)
    store = ("--store", redis_url, "--namespace", namespace)
    done = run_module(*store, "show", "k1", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["node_pointer"] == "node-k1"
    refused = run_module("remove", "k1", *store, stdin=subprocess.DEVNULL)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert run_module("remove", "k1", "--yes", *store).returncode == 0
    assert run_module("show", "k1", *store).returncode == 3


@pytest.mark.parametrize(
    ("missing", "command", "extra"),
    [("redis", ["stats", "--store", "redis://127.0.0.1"], "redis"), ("rich", ["top", "--store", "memory://"], "cli")],
)
def test_without_the_extra_it_names_it(missing: str, command: list[str], extra: str) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None; from greentic_session.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run([sys.executable, "-c", code, *command], check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"greentic-session[{extra}]" in done.stderr
    assert done.stderr.count("\n") == 1


# -- the demo


@pytest.mark.parametrize("argv", [(), ("demo",), ("--namespace", "another", "demo")])
def test_the_demo_leaves_the_store_of_the_environment_alone(
    argv: tuple[str, ...],
    redis_url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nothing = tmp_path / "updates.jsonl"
    nothing.write_text("")
    used: list[str] = []

    def watch(name: str) -> None:
        make = getattr(opening, name)

        def watched(url: str, **options: Any) -> Any:
            used.append(url)
            return make(url, **options)

        monkeypatch.setattr(opening, name, watched)

    watch("create_session_store")
    watch("create_conversation_store")
    monkeypatch.setenv("GREENTIC_SESSION_URL", redis_url)
    assert Cli(capsys)(*argv, "--updates", str(nothing))[0] == 0
    assert set(used) == {"memory://"}
    used.clear()
    assert Cli(capsys)(*argv, "--store", redis_url, "--updates", str(nothing))[0] == 0
    assert set(used) == {redis_url}
