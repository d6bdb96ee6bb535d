"""Commands about replies and deadlines, and about a wait that is stuck."""

import asyncio
import os
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from runs.cli import Cli, Kept, data_of, in_file, in_redis, park

from greentic_session import ReplyScope, SessionStore, TenantCtx
from greentic_session.cli import opening
from greentic_session.testing import later

ACME = ("--env", "dev", "--tenant", "acme")
ALICE = TenantCtx.new("dev", "acme", user="alice")
BODY = "a body that nobody sees unasked"


def place(number: int) -> ReplyScope:
    return ReplyScope(f"c{number}", reply_to="7")


async def at_work(store: SessionStore) -> None:
    """A fleet at work.

    k1 is ready for its reply, k2 claimed, k3 put off, k4 overdue, k5 only waits.
    """
    for number in (1, 2, 3, 5):
        await park(store, ALICE, f"k{number}", f"c{number}", ttl=1800 if number == 5 else 7200)
    data = data_of(ALICE)
    other = type(data)(tenant_ctx=ALICE, flow_id="other.flow", cursor=data.cursor, context_json="null")
    await store.register_wait(ALICE, "alice", place(4), "k4", other, 60, on_timeout="resume")
    await later(store, 120)
    await store.deliver(ALICE, "alice", place(1), BODY, delivery_id="d-1", sender="bob", claim=False)
    await store.deliver(ALICE, "alice", place(1), "another", delivery_id="d-2", claim=False)
    assert (await store.deliver(ALICE, "alice", place(2), "x", lease=60)).claim
    put_off = (await store.deliver(ALICE, "alice", place(3), "y")).claim
    assert put_off
    await put_off.release(300)


@pytest.fixture
def file_url(databases: Callable[[], Path]) -> str:
    return f"sqlite:///{databases()}"


Act = Callable[[Callable[[SessionStore], Awaitable[object]]], None]
"""Does something with the store that the command line looks after."""


@pytest.fixture(params=["memory", "redis", "sqlite"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def act(kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Act:
    """A fleet at work, on each kind of store."""
    if kind == "redis":
        url, namespace = request.getfixturevalue("redis_url"), request.getfixturevalue("namespace")
        in_redis(url, namespace, at_work)
        return lambda do: in_redis(url, namespace, do)
    if kind == "sqlite":
        url = request.getfixturevalue("file_url")
        in_file(url, at_work)
        return lambda do: in_file(url, do)
    store = Kept()
    asyncio.run(at_work(store))
    monkeypatch.setattr(opening, "create_session_store", lambda _url: store)

    async def run(do: Callable[[SessionStore], Awaitable[object]]) -> None:
        await do(store)

    return lambda do: asyncio.run(run(do))


@pytest.fixture
def cli(kind: str, act: Act, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Cli:
    if kind == "redis":
        url, namespace = request.getfixturevalue("redis_url"), request.getfixturevalue("namespace")
        return Cli(capsys, "--store", url, "--namespace", namespace)
    return Cli(capsys, "--store", request.getfixturevalue("file_url") if kind == "sqlite" else "memory://")


async def deliver_again(store: SessionStore) -> None:
    """Deliver what was delivered before, and find that the store remembers it."""
    again = await store.deliver(ALICE, "alice", place(1), BODY, delivery_id="d-1")
    assert again.outcome == "duplicate"


async def find_nothing(store: SessionStore) -> None:
    """Find neither a reply nor the id of one."""
    assert await store.inbox(ALICE, "alice", place(1)) == []
    again = await store.deliver(ALICE, "alice", place(1), BODY, delivery_id="d-1")
    assert again.outcome == "unmatched"


def keys(told: Any) -> list[str]:
    return sorted(wait["key"] for wait in told["waits"])


def test_waits_tells_how_each_stands(cli: Cli) -> None:
    head, *rows = cli("waits", *ACME)[1].splitlines()
    names = ["USER", "FLOW", "NODE", "WAITS", "ON", "AGE", "DEADLINE", "STATE", "BY", "PROCESS", "INBOX", "TRY", "KEY"]
    assert head.split() == names
    states = {row.split()[-1]: row[head.index("STATE") : head.index("INBOX")].strip() for row in rows}
    assert re.fullmatch(r"ready \d+s", states["k1"])  # not the two minutes for which it has waited
    assert states["k2"].startswith("claimed 5")
    assert states["k2"].endswith(f"s  {os.getpid()} here")
    assert states["k3"].startswith("put off 4m")
    assert states["k4"] == "ready 1m"
    assert states["k5"] == ""
    lines = {row.split()[-1]: row for row in rows}
    assert "1m ago" in lines["k4"]
    assert lines["k1"].split()[-2:] == ["2", "k1"]
    assert all(" 2m " in row for row in rows)  # how old each is


def test_waits_of_one_kind(cli: Cli) -> None:
    assert keys(cli.json("waits", *ACME)) == ["k1", "k2", "k3", "k4", "k5"]
    assert keys(cli.json("waits", *ACME, "--ready")) == ["k1", "k4"]
    assert keys(cli.json("waits", *ACME, "--overdue")) == ["k4"]
    assert keys(cli.json("waits", *ACME, "--flow", "other.flow")) == ["k4"]
    assert keys(cli.json("waits", *ACME, "--ready", "--flow", "order.flow")) == ["k1"]
    assert keys(cli.json("waits", *ACME, "--overdue", "--flow", "order.flow")) == []
    assert cli("waits", *ACME, "--flow", "a flow")[0] == 2


def test_waits_for_programs(cli: Cli) -> None:
    told = {wait["key"]: wait for wait in cli.json("waits", *ACME)["waits"]}
    assert (told["k1"]["replies"], told["k1"]["ready_seconds"] is None) == (2, False)
    assert (told["k2"]["attempts"], told["k2"]["holder"]["pid"]) == (1, os.getpid())
    assert 200 < told["k3"]["put_off_seconds"] <= 300
    assert (told["k4"]["on_timeout"], told["k4"]["deadline_seconds"] < 0) == ("resume", True)
    assert told["k5"]["age_seconds"] >= 120


def test_show_tells_of_the_inbox(cli: Cli) -> None:
    out = cli("show", "k1")[1]
    assert BODY not in out
    assert "replies       2\n" in out
    assert "ready for     " in out
    assert f"body          <hidden, {len(BODY)} bytes>" in out
    assert "delivery id   d-1\nsender        bob\n" in out
    assert BODY in cli("show", "k1", "--reveal")[1]
    hidden, shown = (cli.json("show", "k1", *reveal)["inbox"] for reveal in ((), ("--reveal",)))
    assert [reply["delivery_id"] for reply in hidden] == ["d-1", "d-2"]
    assert [reply["body"] for reply in hidden] == [None, None]
    assert [reply["body"] for reply in shown] == [BODY, "another"]


def test_show_tells_of_deadlines_and_delays(cli: Cli) -> None:
    assert "deadline      1m 0s ago, then it is resumed" in cli("show", "k4")[1]
    assert "put off for   4m" in cli("show", "k3")[1]
    assert "attempts      1\n" in cli("show", "k3")[1]
    assert "replies" not in cli("show", "k5")[1]


def test_stats_by_flow(cli: Cli) -> None:
    told = {flow.pop("flow_id"): flow for flow in cli.json("stats")["flows"]}
    order, other = told["order.flow"], told["other.flow"]
    assert (order["waits"], order["ready"], order["claimed"], order["put_off"], order["replies"]) == (4, 1, 1, 1, 4)
    assert (order["due_within_an_hour"], order["overdue"], other["overdue"], other["ready"]) == (1, 0, 1, 1)
    assert other["oldest_ready_seconds"] >= 60
    rows = {row.split()[0]: row.split()[1:] for row in cli("stats")[1].splitlines() if "flow" in row}
    assert rows["order.flow"][:2] == ["4", "1"]
    assert rows["order.flow"][-4:] == ["1", "0", "1", "4"]
    assert rows["other.flow"][:4] == ["1", "1", "1m", "0s"]


def test_retry(cli: Cli) -> None:
    assert cli("retry", "k3") == (0, "it is not put off any more\n", "")
    assert keys(cli.json("waits", *ACME, "--ready")) == ["k1", "k3", "k4"]
    assert cli.json("retry", "k3") == {"retried": False}
    assert cli("retry", "k5") == (0, "it was not put off\n", "")
    assert cli("retry", "k9")[0] == 3


def test_drop(cli: Cli, act: Act) -> None:
    first = cli.json("show", "k1")["inbox"][0]["id"]
    assert cli("drop", "k1", "--yes") == (0, f"removed reply {first}; the same delivery will not come again\n", "")
    assert [reply["delivery_id"] for reply in cli.json("show", "k1")["inbox"]] == ["d-2"]
    assert cli.json("drop", "k1", "--yes")["dropped"]
    assert cli.json("drop", "k1", "--yes") == {"dropped": None}
    assert cli("drop", "k9", "--yes")[0] == 3
    code, _, err = cli("drop", "k2", "--yes")
    assert (code, err) == (1, "error: another runner holds the claim on this wait\n")
    act(deliver_again)


def test_drop_asks(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli("drop", "k1")[0] == 2
    answers: list[str] = ["n\n", "y\n"]
    read: Callable[[], str] = lambda: answers.pop(0)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(sys.stdin, "readline", read)
    code, _, err = cli("drop", "k1")
    assert (code, "Remove the oldest of 2 replies? [y/N]" in err) == (130, True)
    assert cli("drop", "k1")[0] == 0
    assert len(cli.json("show", "k1")["inbox"]) == 1


def test_purge_leaves_nothing_behind(cli: Cli, act: Act) -> None:
    assert cli("purge", *ACME, "--yes")[0] == 0
    assert cli.json("stats")["total"]["sessions"] == 0
    act(find_nothing)


def test_tables_fit_80_columns(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    for command in (("waits", *ACME), ("stats",)):
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        lines = cli(*command)[1].splitlines()
        assert max(map(len, lines)) <= 80
        assert max(len(line.rstrip()) for line in lines) > 60
    assert any(len(line) > 80 for line in cli("waits", *ACME, "--wide")[1].splitlines())


def contents(raw: Any, namespace: str) -> dict[bytes, object]:
    """Return what each key holds: a DUMP of a large hash has its fields in any order."""
    readers: dict[bytes, Callable[[bytes], object]] = {
        b"string": raw.get,
        b"hash": raw.hgetall,
        b"set": raw.smembers,
        b"zset": lambda key: raw.zrange(key, 0, -1, withscores=True),
    }
    return {key: readers[raw.type(key)](key) for key in raw.scan_iter(f"{namespace}:*")}


def test_doctor_finds_replies_in_order(cli: Cli) -> None:
    told = cli.json("doctor")
    assert told["indices"]["agree"] is True
    assert [finding for finding in told["indices"]["findings"] if finding["fault"]] == []


@pytest.mark.parametrize("kind", ["redis"], indirect=True)
def test_doctor_finds_what_no_runner_is_told_of_and_mends_nothing(cli: Cli, raw: Any, namespace: str) -> None:
    for key in raw.scan_iter(f"{namespace}:ready:*"):
        raw.delete(key)
    before = contents(raw, namespace)
    told = cli.json("doctor", "--reveal", code=1)
    found = {finding["name"]: finding for finding in told["indices"]["findings"]}
    assert found["unready"]["fault"] is True
    assert found["unready"]["count"] >= 2
    assert all("replies:" in key for key in found["unready"]["keys"])
    assert contents(raw, namespace) == before
    assert "no runner finds them" in cli("doctor")[1]
