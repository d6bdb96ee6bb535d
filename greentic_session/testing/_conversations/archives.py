"""Export to JSON Lines, and import: what comes back is the same, with its lifetime."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from greentic_session.conversation import (
    ConversationBackend,
    ConversationStore,
    Message,
    TextBlock,
    TokenUsage,
    ToolUseBlock,
    export_conversations,
    import_conversations,
)
from greentic_session.conversation.rules import partition_of
from greentic_session.models import TenantCtx
from greentic_session.testing._sessions.samples import DAY

from .samples import ODD_IDS, OPS, PARTITIONS, MakeConversationStore, said, texts

__all__ = ["ConversationArchivesContract"]


@contextmanager
def directory_for(store: ConversationStore[Any]) -> Iterator[Path]:
    """Yield a directory for an export; skip the test of a backend that cannot name what it has."""
    if type(store.backend).walk is ConversationBackend.walk:
        pytest.skip("this backend does not walk: it cannot be exported")
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory, "export")


async def fill(store: ConversationStore[Any], ctx: TenantCtx, id: str) -> None:
    """Make a conversation with something in every field."""
    await store.create(
        ctx, id=id, model="m", max_turns=2**64 - 1, system_message="Be\nbrief.", cwd="/srv", metadata={"ä": "ö", "a": ""}
    )
    call = Message("assistant", (TextBlock("one\u2028\n"), ToolUseBlock("t", "look", {"at": [1.5, None, "😀"]})))
    await store.append(ctx, id, *said("hello\r\n"), call)
    await store.update_state(ctx, id, add_usage=TokenUsage(1, 2, reasoning_tokens=3), add_events=4, custom={"x": [None]})


class ConversationArchivesContract:
    """Export to files, and import from them."""

    async def test_an_export_is_imported_alike(self, make_store: MakeConversationStore) -> None:
        async with make_store() as store, make_store() as other:
            names = [*((ctx, "c") for ctx in PARTITIONS), *((OPS, id) for id in ODD_IDS[1:])]
            for ctx, id in names:
                await fill(store, ctx, id)
            await store.create(OPS, id="nothing said")
            with directory_for(store) as directory:
                report = await export_conversations(store, directory)
                assert (report.exported, report.unreadable_messages, report.skipped) == (len(names) + 1, 0, [])
                imported = await import_conversations(directory, other)
            assert (imported.imported, imported.unreadable_messages, imported.skipped) == (len(names) + 1, 0, [])
            for ctx, id in [*names, (OPS, "nothing said")]:
                assert await other.load(ctx, id) == await store.load(ctx, id)
            assert await other.list(OPS) == await store.list(OPS)

    async def test_an_import_may_be_repeated(self, make_store: MakeConversationStore) -> None:
        async with make_store() as store, make_store() as other:
            for id in ("kept", "changed", "new"):
                await fill(store, OPS, id)
            with directory_for(store) as directory:
                await export_conversations(store, directory)
                await import_conversations(directory, other)
                await other.append(OPS, "kept", *said("in the store"))
                await store.append(OPS, "changed", *said("in the file"))
                await other.delete(OPS, "new")
                await export_conversations(store, directory)
                report = await import_conversations(directory, other)
                assert (report.imported, report.unchanged, report.kept) == (2, 0, 1)
                report = await import_conversations(directory, other)
                assert (report.imported, report.unchanged, report.kept) == (0, 2, 1)
            assert (await texts(other, id="kept"))[-1] == "in the store"
            assert (await texts(other, id="changed"))[-1] == "in the file"

    async def test_lifetimes_go_on(self, make_store: MakeConversationStore) -> None:
        async with make_store(ttl=DAY) as mortal, make_store() as other:
            await fill(mortal, OPS, "c")
            with directory_for(mortal) as directory:
                await export_conversations(mortal, directory)
                await import_conversations(directory, other)
            found = await other.backend.peek(partition_of(OPS), "c")
            assert found is not None
            assert found.ttl_ms is not None
            assert 0.9 * DAY < found.ttl_ms / 1000 <= DAY

    async def test_the_export_of_one_tenant(self, make_store: MakeConversationStore) -> None:
        async with make_store() as store, make_store() as other:
            for ctx in PARTITIONS:
                await store.create(ctx, id="c")
            with directory_for(store) as directory:
                report = await export_conversations(store, directory / "team", ctx=PARTITIONS[1])
                assert report.exported == 1
                report = await export_conversations(store, directory / "all teams", ctx=TenantCtx.new("dev", "acme"))
                assert report.exported == 4
                await import_conversations(directory / "all teams", other)
            assert [len(await other.list(ctx)) for ctx in PARTITIONS] == [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]

    async def test_a_message_that_cannot_be_read_keeps_its_position(self, make_store: MakeConversationStore) -> None:
        async with make_store() as store, make_store() as other:
            with directory_for(store) as directory:
                await fill(store, OPS, "c")
                await store.append(OPS, "c", *said("last"))
                await export_conversations(store, directory)
                (path,) = directory.glob("*/*.jsonl")
                lines = path.read_bytes().split(b"\n")
                lines[2] = b'{"role":'
                path.write_bytes(b"\n".join(lines))
                report = await import_conversations(directory, other)
                assert (report.imported, report.unreadable_messages) == (1, 1)
                loaded = await other.messages(OPS, "c", skip_corrupt=True)
                assert [message.text for message in loaded] == ["hello\r\n", "last"]
                assert await other.append(OPS, "c", *said("more")) == 4
