"""Directories of the conversation store in files: missing, foreign, writable for others."""

# what a test looks at may block it; most of what is tried here may fail or not

import os
import re
from pathlib import Path

import pytest
from conversation_files import make, warnings

from greentic_session.conversation.backends.file import disk
from greentic_session.conversation.jsonl import names
from greentic_session.conversation.rules import partition_of
from greentic_session.errors import NotFoundError, UnavailableError
from greentic_session.testing._conversations.samples import OPS


@pytest.mark.asyncio
async def test_places_where_no_directory_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "partition").mkdir()
    (tmp_path / "partition" / names.partition_name(partition_of(OPS))).write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "outside").mkdir()
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / names.partition_name(partition_of(OPS))).symlink_to(tmp_path / "outside")
    for directory, healthy in (
        ("file", False),
        ("file/deeper", False),
        ("partition", True),
        ("loop", False),
        ("linked", True),
    ):
        async with make(tmp_path / directory) as store:
            with pytest.raises(UnavailableError):
                await store.create(OPS, id="c")
            with pytest.raises((UnavailableError, NotFoundError)):
                await store.load(OPS, "c")
            with pytest.raises(UnavailableError):
                await store.list(OPS)
            if healthy:
                await store.health()
            else:
                with pytest.raises(UnavailableError):
                    await store.health()
    assert list((tmp_path / "outside").iterdir()) == []


@pytest.mark.asyncio
async def test_health_of_a_directory_that_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    async with make(tmp_path) as store:
        with pytest.raises(UnavailableError, match="EACCES"):
            await store.health()


def test_a_directory_that_another_makes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.mkdir

    def late(path: str, mode: int) -> None:
        real(path, mode)
        real(path, mode)

    monkeypatch.setattr(os, "mkdir", late)
    disk.make_directory(str(tmp_path / "a" / "b"), sync=True)
    assert (tmp_path / "a" / "b").is_dir()


def named(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return why directories were named in the log, as `directory: reasons`."""
    pattern = r"the directory (.*) of a conversation store is (.*): check that nobody else can put files there"
    found = [re.fullmatch(pattern, line) for line in warnings(caplog)]
    return [f"{Path(match[1]).name}: {match[2]}" for match in found if match is not None]


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.parametrize("namespace", [None, "space"])
@pytest.mark.asyncio
async def test_a_base_that_others_can_change_is_named_once(
    namespace: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is used: containers' volumes are writable for a group, and links lead to larger disks."""
    for base, mode in (("own", 0o700), ("read", 0o755), ("group", 0o770), ("all", 0o1777)):
        (tmp_path / base).mkdir()
        (tmp_path / base).chmod(mode)
    (tmp_path / "link").symlink_to(tmp_path / "own")
    (tmp_path / "bad-link").symlink_to(tmp_path / "all")
    found = []
    for base in ("own", "read", "missing", "group", "all", "link", "bad-link"):
        for _ in range(2):
            async with make(tmp_path / base, namespace=namespace) as store:
                await store.create(OPS)
                await store.list(OPS)
                found += named(caplog)
    assert found == [
        "group: writable by other users",
        "all: writable by other users",
        "link: a symbolic link",
        "bad-link: a symbolic link and writable by other users",
    ]


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.asyncio
async def test_a_directory_is_looked_at_when_it_is_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with make(tmp_path / "later") as store:
        assert await store.list(OPS) == []
        assert named(caplog) == []
        (tmp_path / "later").mkdir()
        (tmp_path / "later").chmod(0o777)
        assert await store.list(OPS) == []
        assert named(caplog) == ["later: writable by other users"]


def directory(mode: int, user: int) -> os.stat_result:
    return os.stat_result((mode, 0, 0, 1, user, 0, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("found", "reasons"),
    [
        ([directory(0o40700, 7)], []),
        ([directory(0o40755, 0)], []),
        ([directory(0o40700, 8)], ["owned by another user"]),
        ([directory(0o42770, 0)], ["writable by other users"]),
        ([directory(0o40702, 8)], ["owned by another user", "writable by other users"]),
        ([directory(0o120777, 7), directory(0o40700, 7)], ["a symbolic link"]),
        ([directory(0o120777, 8), directory(0o40700, 7)], ["a symbolic link", "owned by another user"]),
    ],
)
def test_who_can_change_a_directory(found: list[os.stat_result], reasons: list[str]) -> None:
    assert disk.exposures(found, 7) == reasons
