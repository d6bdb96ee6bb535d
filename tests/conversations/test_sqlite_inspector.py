"""Inspection of conversations in a database."""

from pathlib import Path

import pytest
from conversation_databases import connected, make
from timers import Timer

from greentic_session._sqlite.database import Database
from greentic_session._sqlite.schema import SchemaPart
from greentic_session.conversation.backends.sqlite import inspector
from greentic_session.conversation.backends.sqlite.inspector import count_conversations, examine_conversations
from greentic_session.conversation.backends.sqlite.schema import CONVERSATIONS
from greentic_session.conversation.rules import partition_of
from greentic_session.testing._conversations.samples import OPS, PARTITIONS, said

pytestmark = pytest.mark.asyncio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bot.db"


async def counted(path: Path, timer: Timer) -> dict[tuple[str, str, str | None], int]:
    database = Database(path, [CONVERSATIONS])
    total: dict[tuple[str, str, str | None], int] = {}
    async for step in count_conversations(database, timer):
        for partition, live in step.live.items():
            total[partition] = total.get(partition, 0) + live
    await database.aclose()
    return total


async def examined(path: Path) -> tuple[int, list[tuple[str, str]]]:
    database = Database(path, [CONVERSATIONS])
    looked, found = 0, []
    async for more, inconsistencies in examine_conversations(database):
        looked += more
        found += [tuple(one) for one in inconsistencies]
    await database.aclose()
    return looked, found  # type: ignore[return-value]  # of two items each


async def test_live_conversations_are_counted_by_partition(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspector, "_STEP_ROWS", 2)
    timer = Timer()
    async with make(path, timer=timer, ttl=60) as store, make(path, timer=timer, namespace="other") as other:
        for number in range(3):
            await store.create(OPS, id=f"old {number}")
        timer.advance(60)
        for partition in PARTITIONS:
            await store.create(partition, id="c")
        await other.create(OPS, id="c")
        expected = {partition_of(ctx): 1 for ctx in PARTITIONS}
        expected[partition_of(OPS)] += 1
        assert await counted(path, timer) == expected


async def test_a_sound_database_has_no_inconsistency(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspector, "_STEP_ROWS", 2)
    assert await examined(path) == (0, [])
    async with make(path) as store:
        for id in "abcde":
            await store.create(OPS, id=id)
            await store.append(OPS, id, *said("one", "two"))
        await store.delete(OPS, "c")
        await store.save(OPS, await store.load(OPS, "d"))
        assert await examined(path) == (4, [])


@pytest.mark.parametrize("step_messages", [1, 1000])
async def test_what_does_not_agree_is_named(path: Path, step_messages: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspector, "_STEP_MESSAGES", step_messages)
    async with make(path) as store:
        for id in "abcdef":
            await store.create(OPS, id=id)
            await store.append(OPS, id, *said("one", "two"))
        with connected(path) as connection:
            for statement in (
                "DELETE FROM conversation_header WHERE conversation = 2",
                "DELETE FROM conversation_message WHERE conversation = 3 AND position = 0",
                "DELETE FROM conversation WHERE number = 4",
                "UPDATE conversation SET message_count = 7 WHERE number = 5",
                "INSERT INTO conversation_garbage VALUES (6)",
                "DELETE FROM conversation WHERE number = 6",
            ):
                connection.execute(statement)
    assert await examined(path) == (
        4,
        [
            ("conversation_headless", "b"),
            ("conversation_gaps", "c"),
            ("conversation_gaps", "e"),
            ("conversation_strays", "4"),
        ],
    )


async def test_a_file_without_conversations(path: Path) -> None:
    database = Database(path, [SchemaPart("others", 0, [["CREATE TABLE other (id INTEGER)"]])])
    assert [step async for step in count_conversations(database, Timer())] == [(0, {})]
    assert [step async for step in examine_conversations(database)] == [(0, []), (0, [])]
    await database.aclose()
