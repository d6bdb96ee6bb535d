"""The conversation store on a user's adapter: the contract, and what only this backend does."""

import json
from datetime import UTC, datetime
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from adapter import Adapter
from hypothesis import settings
from time_passing import OnATimer
from timers import Timer

from greentic_session import (
    CorruptSessionError,
    GreenticError,
    InternalError,
    OperationTimeoutError,
    TenantCtx,
    UnavailableError,
)
from greentic_session.conversation import AdapterConversationStore, Conversation, Message
from greentic_session.testing import ConversationStoreContract, MakeConversationStore, conversation_store_machine


class DeletingAdapter(Adapter):
    async def delete_session(self, id: str) -> None:
        await anyio.lowlevel.checkpoint()
        del self.kept[id]


TIMER = Timer()
Machine = conversation_store_machine(
    lambda **options: AdapterConversationStore(Adapter(), timer=TIMER, **options), TIMER.advance
)
Machine.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestMachine = Machine.TestCase


@pytest.mark.parametrize("adapter", [Adapter, DeletingAdapter])
class TestContract(OnATimer, ConversationStoreContract):
    @pytest.fixture
    def make_store(self, adapter: type[Adapter], timer: Timer) -> MakeConversationStore:
        return lambda **options: AdapterConversationStore(adapter(), timer=timer, **options)


OPS = TenantCtx.new("dev", "acme", team="ops")


@pytest.mark.asyncio
async def test_what_an_adapter_is_given() -> None:
    adapter = Adapter()
    async with AdapterConversationStore(adapter, ttl=60, clock=lambda: 1_700_000_000_000_007, timer=TIMER) as store:
        conversation = await store.create(OPS, id="a:b", model="m", max_turns=3, metadata={"k": "v"}, cwd="/srv")
        await store.append(OPS, "a:b", Message.user("hi"))
    name, data = "dev:acme:ops:a:b", json.loads(adapter.kept["dev:acme:ops:a:b"])
    assert list(adapter.kept) == [name]
    assert len(data.pop("birth")) == 16
    assert data == {
        "schema_version": 1,
        "id": "a:b",
        "model": "m",
        "max_turns": 3,
        "system_message": None,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        "metadata": {"k": "v"},
        "state": {
            "cwd": "/srv",
            "token_usage": {"input_tokens": 0, "output_tokens": 0},
            "event_count": 0,
            "custom": {},
        },
        "created_at": "2023-11-14T22:13:20.000007Z",
        "updated_at": "2023-11-14T22:13:20.000008Z",
        "expires_at_ms": round(TIMER.now * 1000) + 60_000,
    }
    assert conversation.created_at.isoformat() == "2023-11-14T22:13:20.000007+00:00"


@pytest.mark.asyncio
async def test_an_older_envelope_is_migrated() -> None:
    adapter = Adapter()
    for text in ({"schema_version": 0, "model": "m", "messages": []}, {"model": "m"}, {"schema_version": 1, "model": "m"}):
        adapter.kept["dev:acme:ops:c"] = json.dumps(text | {"later": [1]})
        async with AdapterConversationStore(adapter) as store:
            loaded = await store.load(OPS, "c")
            assert (loaded.model, loaded.messages, loaded.schema_version, loaded.extra) == ("m", [], 1, {"later": [1]})
            assert loaded.created_at == loaded.updated_at == datetime(1970, 1, 1, tzinfo=UTC)
            await store.append(OPS, "c", Message.user("hi"))
        data = json.loads(adapter.kept["dev:acme:ops:c"])
        assert (data["schema_version"], data["later"], len(data["messages"])) == (1, [1], 1)


@pytest.mark.asyncio
async def test_what_is_no_conversation(caplog: pytest.LogCaptureFixture) -> None:
    adapter = Adapter()
    async with AdapterConversationStore(adapter) as store:
        for text in (
            "7",
            "[]",
            '{"schema_version":-1}',
            '{"schema_version":"1"}',
            '{"messages":{}}',
            '{"metadata":{"a":1}}',
            '{"state":{"token_usage":{"input_tokens":-1}}}',
            '{"state":{"event_count":9007199254740992}}',
            '{"max_turns":-1}',
            '{"created_at":"1969-01-01T00:00:00Z"}',
            '{"created_at":"2024-01-01T00:00:00"}',
            '{"created_at":7}',
        ):
            adapter.kept["dev:acme:ops:c"] = text
            for call in (
                store.load(OPS, "c"),
                store.append(OPS, "c", Message.user("hi")),
                store.update_state(OPS, "c"),
                store.create(OPS, id="c"),
            ):
                with pytest.raises(CorruptSessionError) as caught:
                    await call
                assert caught.value.conversation_id == "c"
            caplog.clear()
            assert await store.list(OPS) == []
            assert [record.message for record in caplog.records] == [
                "left out what cannot be read: 1 conversations of a partition"
            ]
            await store.delete(OPS, "c")
            adapter.kept["dev:acme:ops:c"] = text
            assert await store.purge(OPS) == 1
            adapter.kept["dev:acme:ops:c"] = text
            await store.save(OPS, Conversation[Message].new("c"), force=True)
            assert len(await store.list(OPS)) == 1


@pytest.mark.asyncio
async def test_what_belongs_to_others_is_left_alone() -> None:
    adapter = Adapter()
    adapter.kept |= {"": "{}", "dev:acme:ops:": "{}", "dev:acme:ops:" + "x" * 256: "{}", "dev:acme:opsx:c": "{}", "c": "{}"}
    before = dict(adapter.kept)
    async with AdapterConversationStore(adapter) as store:
        assert await store.list(OPS) == []
        assert await store.purge(OPS) == 0
        await store.health()
    assert adapter.kept == before


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("make_adapter", "left"), [(Adapter, {"dev:acme:ops:c": '{"deleted": true}'}), (DeletingAdapter, {})]
)
@pytest.mark.parametrize("operation", ["list", "purge"])
async def test_what_has_expired_is_erased_when_it_is_met(
    operation: str, make_adapter: type[Adapter], left: dict[str, str]
) -> None:
    timer, adapter = Timer(), make_adapter()
    async with AdapterConversationStore(adapter, ttl=60, timer=timer) as store:
        await store.create(OPS, id="c")
        timer.advance(59.999)
        assert len(await store.list(OPS)) == 1
        timer.advance(0.001)
        assert not await getattr(store, operation)(OPS)
        assert adapter.kept == left
        await store.list(OPS)  # a second time there is nothing to erase
        assert adapter.kept == left
        await store.create(OPS, id="c")
        assert len(await store.list(OPS)) == 1


@pytest.mark.asyncio
async def test_a_list_erases_nothing_that_begins_anew_meanwhile() -> None:
    timer, adapter = Timer(), DeletingAdapter()
    async with AdapterConversationStore(adapter, ttl=60, timer=timer) as store:
        for _ in range(20):
            await store.create(OPS, id="c")
            timer.advance(60)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(store.list, OPS)
                tasks.start_soon(partial(store.create, OPS, id="c"))
            assert (await store.load(OPS, "c")).messages == []
            timer.advance(60)


@pytest.mark.asyncio
async def test_a_list_is_right_where_nothing_can_be_erased() -> None:
    class ReadOnly(Adapter):
        async def delete_session(self, id: str) -> None:
            raise PermissionError("read-only")

    timer, adapter = Timer(), ReadOnly()
    async with AdapterConversationStore(adapter, ttl=60, timer=timer) as store:
        await store.create(OPS, id="c")
        timer.advance(60)
        assert await store.list(OPS) == []
        assert await store.purge(OPS) == 0
        assert len(adapter.kept) == 1


class FailingAdapter(Adapter):
    error: BaseException = OSError("secret")

    async def load_session(self, id: str) -> dict[str, Any] | None:
        raise self.error

    async def list_sessions(self) -> list[str]:
        raise self.error


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (OSError("secret"), UnavailableError),
        (ConnectionResetError("secret"), UnavailableError),
        (TimeoutError("secret"), OperationTimeoutError),
        (RuntimeError("secret"), InternalError),
        (GreenticError("rate_limited", "slow down"), GreenticError),
    ],
)
async def test_what_an_adapter_raises(raised: Exception, expected: type[Exception]) -> None:
    adapter = FailingAdapter()
    adapter.error = raised
    async with AdapterConversationStore(adapter) as store:
        for call in (store.load(OPS, "c"), store.create(OPS), store.list(OPS), store.purge(OPS), store.health()):
            with pytest.raises(expected) as caught:
                await call
            assert caught.type is expected
            assert "secret" not in str(caught.value)


@pytest.mark.asyncio
@pytest.mark.parametrize("error", [OSError("secret"), None])
async def test_an_adapter_that_is_not_async(error: OSError | None) -> None:
    class Plain:
        def save_session(self, id: str, data: dict[str, Any]) -> None:
            if error:
                raise error

        load_session = list_sessions = save_session

    plain: Any = Plain()
    async with AdapterConversationStore(plain) as store:
        for call in (store.load(OPS, "c"), store.list(OPS), store.save(OPS, Conversation[Message].new("c"), force=True)):
            with pytest.raises(GreenticError) as caught:
                await call
            assert "secret" not in str(caught.value)


@pytest.mark.asyncio
@pytest.mark.parametrize("listed", [None, 7, [7], [["dev:acme:ops:c"]], [b"dev:acme:ops:c"]])
async def test_what_is_no_list_of_names(listed: Any) -> None:
    class Odd(Adapter):
        async def list_sessions(self) -> list[str]:
            names: list[str] = listed
            return names

    async with AdapterConversationStore(Odd()) as store:
        for call in (store.list(OPS), store.purge(OPS)):
            with pytest.raises(InternalError):
                await call


@pytest.mark.asyncio
async def test_a_cancelled_call_leaves_the_conversation_to_the_next() -> None:
    class Slow(Adapter):
        pause = 0.0

        async def save_session(self, id: str, data: dict[str, Any]) -> None:
            await anyio.sleep(self.pause)
            await super().save_session(id, data)

    adapter = Slow()
    async with AdapterConversationStore(adapter) as store:
        await store.create(OPS, id="c")
        adapter.pause = 30
        with anyio.move_on_after(0.05) as scope:
            async with anyio.create_task_group() as tasks:
                for word in ("a", "b", "c"):  # one writes, and two wait for it
                    tasks.start_soon(store.append, OPS, "c", Message.user(word))
        assert scope.cancelled_caught
        adapter.pause = 0
        assert await store.append(OPS, "c", Message.user("d")) == 1
        assert len(await store.list(OPS)) == 1


@pytest.mark.asyncio
async def test_something_that_is_no_json() -> None:
    class Odd(Adapter):
        async def load_session(self, id: str) -> dict[str, Any] | None:
            return {"model": object()}

    async with AdapterConversationStore(Odd()) as store:
        with pytest.raises(CorruptSessionError):
            await store.load(OPS, "c")


def test_what_is_no_adapter() -> None:
    nothing: Any = object()
    with pytest.raises(TypeError, match="PersistenceAdapter"):
        AdapterConversationStore(nothing)
