"""Names of files and directories: no two texts share one, and none leads outside."""

# ruff: noqa: ASYNC240  # calls that block the event loop are fine in a test

import os
import shutil
from pathlib import Path
from typing import Any

import anyio
import pytest
from conversation_files import make
from hypothesis import given
from hypothesis import strategies as st

from greentic_session.conversation.backends.file import file
from greentic_session.conversation.header import Header
from greentic_session.conversation.jsonl import names
from greentic_session.conversation.rules import partition_of
from greentic_session.errors import CorruptSessionError
from greentic_session.models import TenantCtx
from greentic_session.testing._conversations.samples import ODD_IDS, OPS, said, texts

ids = st.sampled_from(ODD_IDS) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=255
)
parts = st.sampled_from(["..", ".", "CON", "-a", "a", "A"]) | st.from_regex(r"[A-Za-z0-9._-]{1,300}", fullmatch=True)
some_partitions = st.tuples(parts, parts, st.none() | parts)


@given(ids, ids)
def test_two_ids_have_two_names(one: str, two: str) -> None:
    first, second = names.conversation_name(one), names.conversation_name(two)
    assert (first == second) == (one == two)
    assert names.base_of(first + ".log") == (first, ".log")
    assert first.isascii()
    assert first == first.lower()
    assert len(first) + len(".lock") <= 100
    assert not set(first) & set('/\\:*?"<>|. %\0')


@given(some_partitions, some_partitions)
def test_two_partitions_have_two_names(one: Any, two: Any) -> None:
    first, second = names.partition_name(one), names.partition_name(two)
    assert (first == second) == (one == two)
    assert not set(first) & set('/\\:*?"<>|. %\0')
    assert first == first.lower()
    assert len(first) < 100


@given(st.lists(ids, max_size=4, unique=True))
def test_every_file_stays_inside(several: list[str]) -> None:
    async def run(directory: Path) -> None:
        async with make(directory / "store") as store:
            for id in several:
                await store.create(OPS, id=id)
                await store.append(OPS, id, *said(id))
            assert sorted(summary.id for summary in await store.list(OPS)) == sorted(several)
            assert [await texts(store, id=id) for id in several] == [[id] for id in several]
        found = [path.relative_to(directory).parts for path in directory.rglob("*") if not path.is_dir()]
        assert {parts[:2] for parts in found} <= {("store", names.partition_name(partition_of(OPS)))}
        assert len(found) == 2 * len(several)

    directory = Path(os.path.realpath(os.environ.get("TMPDIR", "/tmp"))) / f"inside-{os.getpid()}"
    try:
        anyio.run(run, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.mark.asyncio
async def test_a_partition_with_a_very_long_name(tmp_path: Path) -> None:
    ctx = TenantCtx.new("e" * 255, "t" * 255, team="m" * 255)
    async with make(tmp_path) as store:
        await store.create(ctx, id="\1" * 255)
        assert await store.append(ctx, "\1" * 255, *said("x")) == 1
        assert [summary.message_count for summary in await store.list(ctx)] == [1]


def test_a_partition_with_a_name_that_is_longer_than_any_now(tmp_path: Path) -> None:
    """Ids had no bound once: such a file tells whose it is."""
    partition = ("e" * 10_000, "t" * 10_000, None)
    with (tmp_path / "c.log").open("w+b", buffering=0) as opened:
        fd = opened.fileno()
        header = Header(created_at=1, updated_at=1)
        state = file.write_new(fd, partition, "c", header, [b"{}"], 0, sync=False)
        seen = file.examine(fd, state.end, "c")
        assert (seen.partition, seen.id, seen.state) == (partition, "c", state)
        os.ftruncate(fd, 9000)
        with pytest.raises(CorruptSessionError):
            file.examine(fd, 9000, "c")
