"""``export-conversations`` and ``import-conversations``."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from runs.cli import Cli

from greentic_session import TenantCtx
from greentic_session.conversation import Message, create_conversation_store

ACME, OPS, OTHER = TenantCtx.new("dev", "acme"), TenantCtx.new("dev", "acme", team="ops"), TenantCtx.new("dev", "other")


@pytest.fixture(params=["sqlite", "redis"])
def cli(request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    """The command line on a store with three conversations."""
    url = f"sqlite:///{tmp_path}/bot.db" if request.param == "sqlite" else request.getfixturevalue("redis_url")
    namespace = request.getfixturevalue("namespace")

    async def fill() -> None:
        async with create_conversation_store(url, namespace=namespace) as conversations:
            for ctx in (ACME, OPS, OTHER):
                await conversations.create(ctx, id="order-7")
                await conversations.append(ctx, "order-7", Message.user("hello"))

    asyncio.run(fill())
    return Cli(capsys, "--store", url, "--namespace", namespace)


def test_from_one_store_to_another(cli: Cli, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = str(tmp_path / "export")
    assert cli("export-conversations", directory) == (
        0,
        "exported             3\nunreadable messages  0\nleft out             0\n",
        "",
    )
    (tmp_path / "export" / "notes.txt").touch()
    target = Cli(capsys, "--store", f"sqlite:///{tmp_path}/other.db")
    assert target("import-conversations", directory) == (
        0,
        (
            "imported                    3\n"
            "there already               0\n"
            "changed later in the store  0\n"
            "expired                     0\n"
            "unreadable messages         0\n"
            "left out                    1\n"
            "     notes.txt: no file of a conversation\n"
        ),
        "",
    )
    assert target.json("import-conversations", directory) == {
        "imported": 0,
        "unchanged": 3,
        "kept": 0,
        "expired": 0,
        "unreadable_messages": 0,
        "skipped": [{"path": "notes.txt", "reason": "no file of a conversation"}],
    }


@pytest.mark.parametrize(("team", "count"), [((), 2), (("--team", "ops"), 1)])
def test_of_one_tenant(cli: Cli, tmp_path: Path, team: tuple[str, ...], count: int) -> None:
    found: Any = cli.json("export-conversations", str(tmp_path / "export"), "--env", "dev", "--tenant", "acme", *team)
    assert found == {"exported": count, "unreadable_messages": 0, "skipped": []}


@pytest.mark.parametrize("half", [("--env", "dev"), ("--tenant", "acme"), ("--team", "ops")])
def test_half_a_tenant_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], half: tuple[str, str]) -> None:
    cli = Cli(capsys, "--store", f"sqlite:///{tmp_path}/bot.db")
    code, _, error = cli("export-conversations", str(tmp_path / "export"), *half)
    assert (code, error) == (2, "error: a tenant is told by --env and --tenant, a team by --team besides\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["export-conversations", "import-conversations"])
def test_a_store_must_be_named(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, error = Cli(capsys)(command, str(tmp_path))
    assert code == 2
    assert "no store is named" in error


def test_what_is_wrong_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli = Cli(capsys, "--store", f"sqlite:///{tmp_path}/bot.db")
    assert cli("import-conversations", str(tmp_path / "missing")) == (
        2,
        "",
        "error: there is no such directory to import from\n",
    )
    code, _, error = Cli(capsys, "--store", "memory://")("import-conversations", str(tmp_path))
    assert (code, error) == (2, "error: memory:// is this process's own memory, and would be gone: name another store\n")
