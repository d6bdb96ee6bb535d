"""Directories of exports: whose they may be, what is in them, and interrupted writes."""

# ruff: noqa: ASYNC240  # what a test looks at may block it

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from conversation_databases import connected, make

from greentic_session.conversation import (
    ConversationStore,
    InMemoryConversationStore,
    Skipped,
    SQLiteConversationStore,
    export_conversations,
    import_conversations,
)
from greentic_session.conversation.jsonl import folder
from greentic_session.errors import InvalidInputError, UnavailableError
from greentic_session.testing._conversations.samples import OPS, said

pytestmark = [pytest.mark.asyncio, pytest.mark.skipif(os.name != "posix", reason="modes and links of POSIX")]


@pytest_asyncio.fixture
async def store() -> AsyncIterator[ConversationStore[Any]]:
    """A store with one conversation."""
    async with InMemoryConversationStore() as store:
        await store.create(OPS, id="c")
        await store.append(OPS, "c", *said("hello"))
        yield store


@pytest_asyncio.fixture
async def exported(tmp_path: Path, store: ConversationStore[Any]) -> Path:
    """The file of its export."""
    await export_conversations(store, tmp_path / "export")
    (path,) = tmp_path.glob("export/*/*")
    return path


async def skipped(directory: Path) -> list[Skipped]:
    """Import a directory of which nothing can be imported; return what was left out."""
    async with InMemoryConversationStore() as other:
        report = await import_conversations(directory, other)
        assert report.imported == 0
        assert await other.list(OPS) == []
    return report.skipped


async def test_only_the_owner_may_look(tmp_path: Path, store: ConversationStore[Any]) -> None:
    before = os.umask(0)
    try:
        await export_conversations(store, tmp_path / "a" / "b")
    finally:
        os.umask(before)
    found = list(tmp_path.rglob("*"))
    assert len(found) == 4
    for path in found:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def linked(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def replaced_by_a_file(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.touch()


EXPOSED: dict[str, Callable[[Path], object]] = {
    "is a symbolic link": linked,
    "is writable by other users": lambda path: path.chmod(0o722),
    "is no directory": replaced_by_a_file,
}


@pytest.mark.parametrize("reason", EXPOSED)
async def test_a_directory_that_others_can_change_is_refused(
    reason: str, exported: Path, store: ConversationStore[Any]
) -> None:
    top = exported.parent.parent
    EXPOSED[reason](top)
    before = sorted(top.parent.rglob("*"))
    with pytest.raises(InvalidInputError, match=reason):
        await export_conversations(store, top)
    with pytest.raises(InvalidInputError, match=reason):
        await import_conversations(top, store)
    assert sorted(top.parent.rglob("*")) == before


async def test_a_directory_of_another_user_is_refused(
    exported: Path, store: ConversationStore[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: exported.stat().st_uid + 1)
    if exported.stat().st_uid == 0:
        os.chown(exported.parent.parent, 4711, -1)
    with pytest.raises(InvalidInputError, match="belongs to another user"):
        await export_conversations(store, exported.parent.parent)
    with pytest.raises(InvalidInputError, match="belongs to another user"):
        await import_conversations(exported.parent.parent, store)


@pytest.mark.parametrize("reason", ["is a symbolic link", "is writable by other users"])
async def test_a_partition_that_others_can_change_is_left_out(
    reason: str, exported: Path, store: ConversationStore[Any]
) -> None:
    below = exported.parent
    EXPOSED[reason](below)
    if below.is_symlink():
        below.with_name("elsewhere").rename(below.parent.parent / "elsewhere")
        below.unlink()
        below.symlink_to(below.parent.parent / "elsewhere")
    assert await skipped(below.parent) == [Skipped(below.name, reason)]
    with pytest.raises(InvalidInputError, match=reason):
        await export_conversations(store, below.parent)


async def test_links_pipes_and_other_files_are_left_out(exported: Path) -> None:
    top = exported.parent.parent
    exported.rename(top.parent / "outside")
    exported.symlink_to(top.parent / "outside")
    os.mkfifo(top / "pipe.jsonl")
    (top / "empty.jsonl").touch()
    (top / "notes.txt").write_text("mine")
    (top / "service.log").write_text("started\n")
    (exported.parent / "below").mkdir()
    found = {one.path: one.reason for one in await skipped(top)}
    assert found == {
        f"{exported.parent.name}/{exported.name}": "the file system cannot read it: ELOOP",
        f"{exported.parent.name}/below": (
            "a directory below one, as 0.1.0 made them for a namespace: import the one above by itself"
        ),
        "pipe.jsonl": "it is no regular file",
        "empty.jsonl": "its first line is not that of a conversation",
        "notes.txt": "no file of a conversation",
        "service.log": "it is no conversation",
    }


async def test_files_may_be_moved_and_renamed(exported: Path) -> None:
    exported.rename(exported.parent.parent / "order 7.jsonl")
    async with InMemoryConversationStore() as other:
        assert (await import_conversations(exported.parent.parent, other)).imported == 1
        assert [summary.id for summary in await other.list(OPS)] == ["c"]


async def test_a_write_that_fails_leaves_the_old_file(
    exported: Path, store: ConversationStore[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = exported.read_bytes()
    await store.append(OPS, "c", *said("more"))

    def fail(_: int) -> None:
        raise OSError(28, "no space left on the device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(UnavailableError, match="ENOSPC") as caught:
            await export_conversations(store, exported.parent.parent)
    assert str(exported.parent.parent) not in str(caught.value)
    assert [path.name for path in exported.parent.iterdir()] == [exported.name]
    assert exported.read_bytes() == before
    await export_conversations(store, exported.parent.parent)
    assert exported.read_bytes().count(b"\n") == 3


async def test_what_a_killed_export_left_is_removed_later(
    exported: Path, store: ConversationStore[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    left = exported.with_name(f"{exported.name}.{'0' * 16}.tmp")
    left.write_bytes(b"{")
    (exported.parent / "mine.tmp").touch()
    await export_conversations(store, exported.parent.parent)
    assert left.exists(), "it may be of an export that goes on"
    monkeypatch.setattr(folder, "_ABANDONED_AFTER_S", -1.0)
    await export_conversations(store, exported.parent.parent)
    assert sorted(path.name for path in exported.parent.iterdir()) == [exported.name, "mine.tmp"]


async def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    async with make(tmp_path / "bot.db") as store:
        for id in ("good", "header", "newer"):
            await store.create(OPS, id=id)
            await store.append(OPS, id, *said("one", "two"))
        with connected(tmp_path / "bot.db") as connection:
            connection.execute("UPDATE conversation_header SET text = x'7b' WHERE conversation = 2")
            connection.execute("UPDATE conversation SET schema_version = 2 WHERE number = 3")
            connection.execute("DELETE FROM conversation_message WHERE conversation = 1 AND position = 0")
        report = await export_conversations(store, tmp_path / "export")
        assert (report.exported, report.unreadable_messages) == (1, 1)
        assert sorted((one.path.split("/")[1].split("-")[0], one.reason) for one in report.skipped) == [
            ("header", "its header cannot be read"),
            ("newer", "a newer version of greentic_session wrote it"),
        ]
    async with SQLiteConversationStore(tmp_path / "other.db") as other:
        imported = await import_conversations(tmp_path / "export", other)
        assert (imported.imported, imported.unreadable_messages) == (1, 1)
        assert [message.text for message in await other.messages(OPS, "good", skip_corrupt=True)] == ["two"]


@pytest.mark.parametrize("directory", ["", "a\0b", 7, b"bytes", None])
async def test_what_is_no_directory(directory: Any, store: ConversationStore[Any]) -> None:
    for call in (export_conversations(store, directory), import_conversations(directory, store)):
        with pytest.raises((InvalidInputError, TypeError), match="directory"):
            await call


async def test_bad_arguments(tmp_path: Path, store: ConversationStore[Any]) -> None:
    with pytest.raises(InvalidInputError, match="no such directory"):
        await import_conversations(tmp_path / "missing", store)
    bad: Any = "memory://"
    with pytest.raises(TypeError, match="ConversationStore"):
        await export_conversations(bad, tmp_path / "export")
    with pytest.raises(TypeError, match="ConversationStore"):
        await import_conversations(tmp_path, bad)
    with pytest.raises(InvalidInputError, match="team"):
        await export_conversations(store, tmp_path / "export", ctx=OPS.with_team("-"))
    await store.aclose()
    with pytest.raises(UnavailableError, match="closed"):
        await export_conversations(store, tmp_path / "export")
    with pytest.raises(UnavailableError, match="closed"):
        await import_conversations(tmp_path, store)
    assert list(tmp_path.iterdir()) == []
