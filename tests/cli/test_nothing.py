"""Hints where a tenant or a namespace holds nothing: its name may be misspelt."""

from pathlib import Path
from typing import Any

import pytest
from reference_fleet import Reference
from runs.cli import Cli, data_of, fill, in_file, in_redis

from greentic_session import ReplyScope, TenantCtx


@pytest.fixture
def cli(redis_url: str, namespace: str, capsys: pytest.CaptureFixture[str]) -> Cli:
    in_redis(redis_url, namespace, fill)
    return Cli(capsys, "--store", redis_url)


@pytest.mark.parametrize("command", [("waits",), ("purge", "--yes")])
def test_a_tenant_that_holds_nothing(cli: Cli, namespace: str, command: tuple[str, ...]) -> None:
    code, _, err = cli(*command, "--env", "dev", "--tenant", "acmee", "--namespace", namespace)
    assert code == 0
    assert "env dev, tenant acmee holds nothing; env/tenant that do: dev/acme, dev/other\n" in err


def test_a_user_who_waits_for_nothing_is_no_mistake(cli: Cli, namespace: str) -> None:
    code, _, err = cli("waits", "--env", "dev", "--tenant", "acme", "--user", "zoe", "--namespace", namespace)
    assert (code, err) == (0, "0 waits\n")


@pytest.mark.parametrize("command", [("stats",), ("doctor",), ("waits", "--env", "dev", "--tenant", "acme")])
def test_a_namespace_that_holds_nothing(
    cli: Cli, redis_url: str, namespace: str, raw: Any, command: tuple[str, ...]
) -> None:
    theirs = Reference(raw, f"{namespace}-theirs")
    theirs.register_wait(ReplyScope("c9"), "k", data_of(TenantCtx.new("dev", "acme", user="alice")), 60_000)
    code, _, err = cli(*command, "--namespace", f"{namespace}-misspelt")
    assert code == 0
    assert f"namespace {namespace}-misspelt holds nothing; namespaces that do: " in err
    (line,) = (line for line in err.splitlines() if "holds nothing" in line)
    named = line.rpartition(": ")[2].partition(" and ")[0].split(", ")
    assert {namespace, f"{namespace}-theirs"} <= set(named) or len(named) == 10


def test_a_file_that_holds_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path}/bot.db"
    cli = Cli(capsys, "--store", url)
    code, _, err = cli("stats")
    assert code == 0
    assert "this file holds nothing\n" in err
    in_file(url, fill)
    assert "dev/acme, dev/other" in cli("waits", "--env", "prod", "--tenant", "acme")[2]
