"""The command line on conversations in the file of a SQLite store."""

import asyncio
from pathlib import Path

import pytest
from conversation_databases import connected
from runs.cli import Cli

from greentic_session import TenantCtx, create_session_store
from greentic_session.conversation import Message, create_conversation_store

ACME, OPS, OTHER = TenantCtx.new("dev", "acme"), TenantCtx.new("dev", "acme", team="ops"), TenantCtx.new("dev", "acme2")


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/bot.db"

    async def fill() -> None:
        async with create_session_store(url) as sessions, create_conversation_store(url) as conversations:
            await sessions.health()
            for ctx in (ACME, OPS, OTHER):
                for id in "ab":
                    await conversations.create(ctx, id=id)
                    await conversations.append(ctx, id, Message.user("hello"))

    asyncio.run(fill())
    return url


def test_stats_counts_them(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = Cli(capsys)("stats", "--store", url, "--json")
    assert code == 0
    assert '"conversations": 6' in out
    code, out, _ = Cli(capsys)("stats", "--store", url)
    assert [line.split()[-1] for line in out.splitlines()[1:]] == ["4", "2", "6"]


def test_purge_removes_those_of_a_tenant(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = Cli(capsys)("purge", "--store", url, "--env", "dev", "--tenant", "acme", "--yes")
    assert (code, out) == (0, "removed 0 sessions with their waits and 4 conversations of env dev, tenant acme, all teams\n")
    _, out, _ = Cli(capsys)("stats", "--store", url)
    assert [line.split()[-1] for line in out.splitlines()[1:]] == ["2", "2"]


def test_doctor_names_what_does_not_agree(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert Cli(capsys)("doctor", "--store", url)[0] == 0
    with connected(tmp_path / "bot.db") as connection:
        connection.execute("DELETE FROM conversation_header WHERE conversation = 2")
        connection.execute("DELETE FROM conversation WHERE number = 3")
    code, out, _ = Cli(capsys)("doctor", "--store", url)
    assert code == 1
    assert "conversations without a header" in out
    assert "messages without a conversation" in out
