"""The command line on a SQLite file: what doctor says of it, and moving from it and to it."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from runs.cli import Cli, fill, in_file, in_redis

from greentic_session import SessionStore, TenantCtx
from greentic_session._sqlite.inspection import Condition, is_on_a_network, type_of_file_system
from greentic_session.backends.sqlite.admin import judge

ACME = TenantCtx.new("dev", "acme")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "bot.db"
    in_file(f"sqlite:///{path}", fill)
    return path


@pytest.fixture
def cli(path: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys, "--store", f"sqlite:///{path}")


def settings_of(told: Any) -> dict[str, str]:
    return {setting["name"]: setting["level"] for setting in told["settings"]}


def test_doctor_tells_of_the_file(cli: Cli) -> None:
    code, out, err = cli("doctor")
    assert code == 0
    assert "looked at 6 keys" in err
    lines = [line.split(maxsplit=1) for line in out.splitlines()]
    assert {level for level, _ in lines} == {"ok"}
    for name in ("version", "journal", "size", "free pages", "log", "file system", "rights", "indices"):
        assert any(said.startswith(name) for _, said in lines), name
    assert any("wal" in said for _, said in lines)


def test_doctor_on_a_damaged_file(cli: Cli, path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: 3 * 4096] + b"\xff" * 4096 + content[4 * 4096 :])
    code, out, _ = cli("doctor")
    assert code == 1
    assert "problems that SQLite finds in the file" in out
    assert cli.json("doctor", code=1)["indices"]["agree"] is False


def test_doctor_on_rows_that_somebody_changed(cli: Cli, path: Path) -> None:
    raw = sqlite3.connect(path, isolation_level=None)
    raw.execute("UPDATE sessions SET tenant = 'other' WHERE key = 'k5'")
    raw.execute("UPDATE sessions SET place = x'00' WHERE key = 'k3'")
    raw.execute("UPDATE sessions SET text = 'no session' WHERE key = 'k2'")
    raw.close()
    told = cli.json("doctor", "--reveal", code=1)
    found = {finding["name"]: finding["keys"] for finding in told["indices"]["findings"]}
    assert found == {"owner": ["k5"], "unreachable": ["k3"], "unreadable": ["k2"]}


def test_doctor_on_a_file_that_others_may_read(cli: Cli, path: Path) -> None:
    path.chmod(0o644)
    told = cli.json("doctor")
    assert settings_of(told)["rights"] == "warning"


def test_what_is_said_of_a_database() -> None:
    well = Condition(
        version="3.40.1",
        journal="wal",
        page_bytes=4096,
        pages=100_000,
        free_pages=10,
        wal_bytes=0,
        private=True,
        file_system="ext4",
    )
    assert {setting.level for setting in judge(well)} == {"ok"}
    ill = replace(well, journal="delete", free_pages=60_000, wal_bytes=2**30, private=False, file_system="nfs4")
    warned = {setting.name: setting.advice for setting in judge(ill) if setting.level == "warning"}
    assert set(warned) == {"journal", "free pages", "log", "file system", "rights"}
    assert "use Redis" in warned["file system"]
    assert all(warned.values())


MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/data /mnt/with\\040space nfs4 rw 0 0
tmpfs /mnt/with\\040space/fast tmpfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind", "network"),
    [
        ("/srv/bot.db", "ext4", False),
        ("/mnt/with space/bot.db", "nfs4", True),
        ("/mnt/with space/fast/bot.db", "tmpfs", False),
    ],
)
def test_network_file_systems(path: str, kind: str, network: bool) -> None:  # noqa: FBT001
    assert type_of_file_system(path, MOUNTS) == kind
    assert is_on_a_network(kind) is network


def test_a_namespace_is_refused(cli: Cli) -> None:
    code, out, err = cli("stats", "--namespace", "n")
    assert (code, out) == (2, "")
    assert "have no namespaces" in err


def test_moving_to_redis_and_back(cli: Cli, path: Path, redis_url: str, namespace: str, tmp_path: Path) -> None:
    file, back = f"sqlite:///{path}", f"sqlite:///{tmp_path}/back.db"
    assert cli("migrate", file, redis_url, "--namespace", namespace)[0] == 0
    code, out, err = cli("migrate", redis_url, back, "--namespace", namespace)
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "sessions       6 copied, 0 there already, 0 left alone, 0 removed, 0 unreadable"
    found: list[set[str]] = []

    async def note(store: SessionStore) -> None:
        found.append({wait.key async for wait in store.iter_sessions(ACME)})

    in_file(file, note)
    in_redis(redis_url, namespace, note)
    in_file(back, note)
    assert found == [{"k1", "k2", "k3", "k4", "k5"}] * 3


def test_a_file_that_is_not_there(cli: Cli, tmp_path: Path, redis_url: str) -> None:
    code, _, err = cli("migrate", f"sqlite:///{tmp_path}/missing.db", redis_url)
    assert code == 1
    assert "there is no such file" in err
