"""The tables of conversations in a database: what is kept, and what is freed.

Also the store's options.
"""

# ruff: noqa: ASYNC240  # what a test looks at may block it

import os
from pathlib import Path

import pytest
from conversation_databases import connected, make, rows
from races.threads import wait_until
from timers import Timer

from greentic_session import ConflictError, InvalidInputError, NotFoundError, TenantCtx, UnavailableError
from greentic_session.conversation import Conversation, SQLiteConversationStore, create_conversation_store
from greentic_session.conversation.backends.sqlite import backend, removal
from greentic_session.testing._conversations.samples import OPS, PARTITIONS, said, texts


def counts(conversations: int, messages: int, *, garbage: int = 0) -> dict[str, int]:
    """Return how many rows each table has then."""
    return {
        "conversation": conversations,
        "conversation_header": conversations,
        "conversation_message": messages,
        "conversation_garbage": garbage,
    }


EMPTY = counts(0, 0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bot.db"


@pytest.mark.asyncio
async def test_the_constructor_does_nothing_and_the_first_operation_makes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "bot.db"
    async with make(path):
        assert list(tmp_path.iterdir()) == []
    async with make(path) as store:
        await store.health()
        assert path.stat().st_mode & 0o777 == 0o600
        await store.create(OPS, id="c")
    assert rows(path) == counts(1, 0)


@pytest.mark.asyncio
async def test_what_is_removed_leaves_nothing_behind(path: Path) -> None:
    async with make(path) as store:
        for partition in PARTITIONS:
            held = await store.create(partition, id="c")
            await store.append(partition, "c", *said("one", "two"))
            held = await store.load(partition, "c")
            await store.save(partition, held)
            await store.delete(partition, "c")
            with pytest.raises(ConflictError):
                await store.save(partition, held)
            await store.create(partition, id="d")
            await store.append(partition, "d", *said("three"))
            assert await store.purge(partition) == 1
        assert rows(path) == EMPTY


@pytest.mark.asyncio
async def test_a_long_conversation_is_removed_in_steps_and_before_delete_returns(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "_MAX_MESSAGES_AT_ONCE", 5)
    monkeypatch.setattr(removal, "_MAX_GARBAGE_PER_STEP", 7)
    async with make(path) as store:
        for id in ("kept", "deleted", "purged"):
            ctx = OPS if id != "purged" else OPS.with_team(None)
            await store.create(ctx, id=id)
            await store.append(ctx, id, *said("x") * 100)
        await store.delete(OPS, "deleted")
        assert rows(path) == counts(2, 200)
        assert await store.purge(OPS.with_team(None)) == 1
        assert rows(path) == counts(1, 100)
        assert len(await texts(store, OPS, "kept")) == 100


@pytest.mark.asyncio
async def test_a_delete_does_not_wait_for_what_others_have_left(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "_MAX_MESSAGES_AT_ONCE", 5)
    monkeypatch.setattr("greentic_session.conversation.backends.sqlite.Upkeep", lambda timer: lambda connection: 60.0)
    async with make(path) as store:
        for id in ("replaced", "deleted"):
            await store.create(OPS, id=id)
            await store.append(OPS, id, *said("x") * 20)
        await store.save(OPS, Conversation(id="replaced"), force=True)
        await store.delete(OPS, "deleted")
        assert rows(path) == counts(1, 20, garbage=1)


@pytest.mark.asyncio
async def test_what_is_replaced_or_expired_is_freed_by_the_upkeep_of_a_store(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "_MAX_MESSAGES_AT_ONCE", 5)
    timer = Timer()
    async with make(path, timer=timer, ttl=60) as store:
        for id in ("replaced", "a", "b"):
            await store.create(OPS, id=id)
            await store.append(OPS, id, *said("x") * 20)
        await store.save(OPS, Conversation(id="replaced", messages=said("new")), force=True)
        assert rows(path)["conversation_message"] == 61
        wait_until(lambda: rows(path)["conversation_message"] == 41)
        assert rows(path)["conversation_garbage"] == 0
        timer.advance(61)
        wait_until(lambda: rows(path) == EMPTY)  # nobody calls


@pytest.mark.asyncio
async def test_an_expired_conversation_may_be_made_again(path: Path) -> None:
    timer = Timer()
    async with make(path, timer=timer, ttl=60) as store:
        await store.create(OPS, id="c", model="old")
        await store.append(OPS, "c", *said("old"))
        timer.advance(60)
        with pytest.raises(NotFoundError):
            await store.load(OPS, "c")
        await store.create(OPS, id="c", model="new")
        assert (await store.load(OPS, "c")).model == "new"
        assert await texts(store) == []


@pytest.mark.asyncio
async def test_namespaces_share_a_file_and_nothing_else(path: Path) -> None:
    async with make(path) as first, make(path, namespace="b") as second, make(path, namespace="") as same:
        await first.create(OPS, id="c")
        with pytest.raises(NotFoundError):
            await second.load(OPS, "c")
        await second.create(OPS, id="c", model="other")
        assert (await same.load(OPS, "c")).model == ""
        assert await first.purge(OPS) == 1
        assert (await second.load(OPS, "c")).model == "other"


@pytest.mark.asyncio
async def test_a_purge_of_a_tenant_finds_its_teams_and_no_other_tenant(path: Path) -> None:
    tenants = ["acme", "acme2", "acme-", "acme.b", "acm"]
    async with make(path) as store:
        for tenant in tenants:
            for team in (None, "ops", "x"):
                await store.create(TenantCtx.new("prod", tenant, team=team), id="c")
            await store.create(TenantCtx.new("pro", tenant), id="c")
        removed = [step.removed async for step in store.backend.purging("prod", "acme", None)]
        assert sum(removed) == 3
        assert rows(path)["conversation"] == 4 * len(tenants) - 3
        removed = [step.removed async for step in store.backend.purging("prod", "acme2", "ops")]
        assert sum(removed) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("sliding", [False, True])
async def test_long_reads_have_their_own_connection(path: Path, monkeypatch: pytest.MonkeyPatch, *, sliding: bool) -> None:
    monkeypatch.setattr(backend, "_MAX_SHORT_READ", 10)
    timer = Timer()
    async with make(path, timer=timer, ttl=60, sliding=sliding) as store:
        await store.create(OPS, id="c")
        await store.append(OPS, "c", *said(*map(str, range(50))))
        timer.advance(59)
        assert len((await store.load(OPS, "c")).messages) == 50
        timer.advance(2)
        if not sliding:
            with pytest.raises(NotFoundError):
                await store.messages(OPS, "c")
            return
        assert [message.text for message in await store.messages(OPS, "c", last=30)] == list(map(str, range(20, 50)))
        for id in map(str, range(20)):
            await store.create(OPS, id=id)
        assert len(await store.list(OPS)) == len(await store.list(OPS, limit=1000)) == 21


@pytest.mark.asyncio
async def test_a_list_in_pages_is_the_list(path: Path) -> None:
    async with make(path, clock=lambda: 1000) as store:  # equal moments
        for id in ("b", "a", "ä", "Z", "a/b", "\U0001f600"):
            await store.create(OPS, id=id)
        await store.append(OPS, "a", *said("x"))
        whole = await store.list(OPS)
        assert [summary.id for summary in whole] == ["a", "Z", "a/b", "b", "ä", "\U0001f600"]
        for by_summary in (True, False):
            found = await store.list(OPS, limit=1)
            while page := await store.list(OPS, limit=1, after=found[-1] if by_summary else found[-1].id):
                found += page
            assert found == whole


@pytest.mark.asyncio
async def test_a_file_that_cannot_be_made_is_an_unavailable_store(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    async with make(tmp_path / "file" / "bot.db") as store:
        with pytest.raises(UnavailableError):
            await store.create(OPS, id="c")


@pytest.mark.asyncio
async def test_a_relative_path_is_resolved_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    async with create_conversation_store("sqlite:///bot%20data.db", durability="process") as store:
        monkeypatch.chdir(tmp_path / "elsewhere")
        await store.create(OPS, id="c")
    assert rows(tmp_path / "bot data.db")["conversation"] == 1


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"path": ""}, InvalidInputError),
        ({"path": ":memory:"}, InvalidInputError),
        ({"path": "a\0b"}, InvalidInputError),
        ({"path": b"bot.db"}, TypeError),
        ({"path": 7}, TypeError),
        ({"durability": "none"}, InvalidInputError),
        ({"timeout": 0}, InvalidInputError),
        ({"timeout": "1"}, TypeError),
        ({"namespace": 7}, TypeError),
        ({"ttl": -1}, InvalidInputError),
    ],
)
def test_options_that_are_refused(options: dict[str, object], error: type[Exception], tmp_path: Path) -> None:
    arguments: dict[str, object] = {"path": os.fspath(tmp_path / "bot.db")} | options
    with pytest.raises(error):
        SQLiteConversationStore(**arguments)  # type: ignore[call-overload]  # options of wrong types
    assert list(tmp_path.iterdir()) == []


@pytest.mark.asyncio
async def test_another_program_may_read_what_is_there(path: Path) -> None:
    async with make(path) as store:
        await store.create(OPS, id="c")
        await store.append(OPS, "c", *said("good morning"))
        with connected(path) as connection:
            found = connection.execute(
                "SELECT partition_key, id, position, CAST(text AS TEXT) FROM conversation_message"
                " JOIN conversation ON conversation.number = conversation"
            ).fetchall()
    (row,) = found
    assert row[:3] == (f"{OPS.env}/{OPS.tenant_id}/{OPS.effective_team}", "c", 0)
    assert "good morning" in row[3]
