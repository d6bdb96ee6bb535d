"""States, isolation, routing and durable updates of bots of aiogram."""

from datetime import UTC, datetime
from typing import Any

import anyio
import pytest

from greentic_session import ReplyScope, Runner, SessionData, SessionStore, Start, TenantCtx
from greentic_session.errors import OperationTimeoutError, UnavailableError

pytest.importorskip("aiogram", reason="install the extra: python -m pip install 'greentic-session[aiogram]'")
import anyio.lowlevel
from aiogram import Bot, Dispatcher  # it needs the framework
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State, StatesGroup
from aiogram.fsm.storage.base import StorageKey
from aiogram.types import CallbackQuery, Chat, Message, Update, User

from greentic_session.integrations.aiogram import (
    SessionIsolation,
    SessionStorage,
    UpdateRouting,
    UpdateTurns,
    Waiting,
    place_of,
)

pytestmark = pytest.mark.asyncio

ACME = TenantCtx.new("dev", "acme")
ADA = StorageKey(bot_id=1, chat_id=7, user_id=7)
BOT = Bot("1:token")


class Order(StatesGroup):
    size = State()


def said(number: int, text: str, user: int = 7, topic: int | None = None) -> Update:
    in_topic: dict[str, Any] = {} if topic is None else {"message_thread_id": topic, "is_topic_message": True}
    message = Message(
        message_id=number,
        date=datetime(2026, 11, 28, tzinfo=UTC),
        chat=Chat(id=user, type="private"),
        from_user=User(id=user, is_bot=False, first_name="Ada"),
        text=text,
        **in_topic,
    )
    return Update(update_id=number, message=message)


async def test_storage(store: SessionStore) -> None:
    storage = SessionStorage(store, ACME)
    assert (await storage.get_state(ADA), await storage.get_data(ADA)) == (None, {})
    await storage.set_state(ADA, Order.size)
    await storage.set_data(ADA, {"pizza": "funghi", "count": 2})
    assert await storage.update_data(ADA, {"count": 3}) == {"pizza": "funghi", "count": 3}
    assert await storage.get_state(ADA) == "Order:size"
    for other in (
        StorageKey(bot_id=2, chat_id=7, user_id=7),
        StorageKey(bot_id=1, chat_id=8, user_id=7),
        StorageKey(bot_id=1, chat_id=7, user_id=8),
        StorageKey(bot_id=1, chat_id=7, user_id=7, thread_id=1),
        StorageKey(bot_id=1, chat_id=7, user_id=7, business_connection_id="1"),
        StorageKey(bot_id=1, chat_id=7, user_id=7, destiny="other"),
    ):
        assert await storage.get_data(other) == {}
    assert await SessionStorage(store, TenantCtx.new("dev", "globex")).get_data(ADA) == {}
    await storage.set_state(ADA, None)
    await storage.set_state(ADA, None)
    assert (await storage.get_state(ADA), await storage.get_data(ADA)) == (None, {"pizza": "funghi", "count": 3})
    await storage.set_data(ADA, {})
    assert [wait async for wait in store.iter_sessions(ACME)] == []


async def test_values_that_are_set_at_the_same_time(store: SessionStore) -> None:
    storage = SessionStorage(store, ACME, ttl=600)
    async with anyio.create_task_group() as group:
        for number in range(10):
            group.start_soon(storage.update_data, ADA, {f"n{number}": number})
        group.start_soon(storage.set_state, ADA, Order.size)
    assert await storage.get_data(ADA) == {f"n{number}": number for number in range(10)}
    assert await storage.get_state(ADA) == "Order:size"


async def test_isolation_in_two_processes(store: SessionStore) -> None:
    isolations = [SessionIsolation(store, ACME) for _ in range(2)]  # as two processes have them
    inside = 0
    entered: list[int] = []

    async def enter(number: int) -> None:
        nonlocal inside
        async with isolations[number % 2].lock(ADA):
            inside += 1
            assert inside == 1
            entered.append(number)
            await anyio.sleep(0.001)
            inside -= 1

    async with anyio.create_task_group() as group:
        for number in range(10):
            group.start_soon(enter, number)
            await anyio.lowlevel.checkpoint()
    for half in (0, 1):
        assert [number for number in entered if number % 2 == half] == list(range(half, 10, 2))
    async with isolations[0].lock(ADA), isolations[0].lock(StorageKey(bot_id=1, chat_id=7, user_id=8)):
        pass  # others do not wait


async def test_isolation_after_an_error(store: SessionStore) -> None:
    isolation = SessionIsolation(store, ACME)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            async with isolation.lock(ADA):
                _ = 1 / 0


async def test_places() -> None:
    assert place_of(said(1, "hi")) == ("7", ReplyScope("telegram:7"))
    assert place_of(said(1, "hi", topic=3)) == ("7", ReplyScope("telegram:7", thread="3"))
    message = said(1, "hi").message
    query = CallbackQuery(
        id="1", from_user=User(id=9, is_bot=False, first_name="Bob"), chat_instance="c", data="x", message=message
    )
    assert place_of(Update(update_id=1, callback_query=query)) == ("9", ReplyScope("telegram:7"))


class Desk:
    """A bot whose updates are queued in the store."""

    def __init__(self, store: SessionStore) -> None:
        self.heard: list[str] = []
        self.failures = 0
        self.done = anyio.Semaphore(0)
        self.dispatcher = Dispatcher(storage=SessionStorage(store, ACME), events_isolation=SessionIsolation(store, ACME))
        self.dispatcher.message.register(self.on_text)
        self.runner = Runner(store, UpdateTurns(self.dispatcher, BOT).work)
        self.dispatcher.update.outer_middleware(UpdateRouting(self.runner, ACME, start=self.start))

    def start(self, ctx: TenantCtx, update: Update) -> Start:
        return Start(SessionData.new(ctx, "desk", "begin"), ttl=600)

    async def on_text(self, message: Message, state: FSMContext, **data: Any) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError
        assert data["claim"].reply is not None
        assert message.bot is BOT
        count = (await state.update_data(count=(await state.get_data()).get("count", 0) + 1))["count"]
        self.heard.append(f"{count} {message.text}")
        self.done.release()

    async def hear(self, count: int) -> None:
        for _ in range(count):
            with anyio.fail_after(60):
                await self.done.acquire()


async def test_updates_survive_a_restart_in_their_order(store: SessionStore) -> None:
    first = Desk(store)  # its runner does not run: it only takes updates in, and dies
    for number in range(5):
        await first.dispatcher.feed_update(BOT, said(number, f"m{number}"))
    await first.dispatcher.feed_update(BOT, said(2, "m2"))  # Telegram delivers it again
    assert first.heard == []
    second = Desk(store)
    async with second.runner:
        await second.hear(5)
        await second.dispatcher.feed_update(BOT, said(9, "m9"))
        await second.hear(1)
    assert second.heard == ["1 m0", "2 m1", "3 m2", "4 m3", "5 m4", "6 m9"]


async def test_a_handler_that_fails_is_called_again(store: SessionStore) -> None:
    desk = Desk(store)
    desk.failures = 1
    async with desk.runner:
        await desk.dispatcher.feed_update(BOT, said(1, "m1"))
        await desk.hear(1)
    assert desk.heard == ["1 m1"]


async def test_an_update_is_not_dropped_while_the_store_is_away(
    store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(store)
    deliver, failures = desk.runner.deliver, [UnavailableError("away"), OperationTimeoutError("late")]

    async def failing(*args: Any, **options: Any) -> Any:
        if failures:
            raise failures.pop()
        return await deliver(*args, **options)

    monkeypatch.setattr(desk.runner, "deliver", failing)
    monkeypatch.setattr("greentic_session.integrations.aiogram._RETRY_PAUSE_S", 0.001)
    async with desk.runner:
        await desk.dispatcher.feed_update(BOT, said(1, "m1"))
        await desk.hear(1)
        failures.append(UnavailableError("away"))
        webhook = Dispatcher(disable_fsm=True)
        webhook.update.outer_middleware(UpdateRouting(desk.runner, ACME, retries=False))
        with pytest.raises(UnavailableError):
            await webhook.feed_update(BOT, said(2, "m2"))
    assert desk.heard == ["1 m1"]


async def test_only_answers_go_to_their_wait(store: SessionStore) -> None:
    answers: list[str] = []
    done = anyio.Event()
    small_talk: list[str] = []

    async def work(claim: Any) -> None:
        message = Update.model_validate_json(claim.reply.body).message
        answers.append(str(message and message.text))
        await claim.complete()
        done.set()

    async def on_text(message: Message, **data: Any) -> None:
        small_talk.append(str(message.text))

    async def on_waiting(message: Message, wait: Any) -> None:
        small_talk.append(f"{message.text} for {wait.data.flow_id}")

    runner = Runner(store, work)
    routing, filtering = Dispatcher(disable_fsm=True), Dispatcher(disable_fsm=True)
    routing.update.outer_middleware(UpdateRouting(runner, ACME))
    filtering.message.register(on_waiting, Waiting(store, ACME))
    for dispatcher in (routing, filtering):
        dispatcher.message.register(on_text)
        await dispatcher.feed_update(BOT, said(1, "hello"))
    ada = ACME.with_user("7")
    await store.register_wait(ada, "7", ReplyScope("telegram:7"), "order-7", SessionData.new(ada, "order", "size"), ttl=600)
    await filtering.feed_update(BOT, said(2, "large"))
    async with runner:
        await routing.feed_update(BOT, said(2, "large"))
        with anyio.fail_after(30):
            await done.wait()
    assert (answers, small_talk) == (["large"], ["hello", "hello", "large for order"])


async def test_what_is_refused(store: SessionStore) -> None:
    wrong: Any = "memory://"
    for make in (SessionStorage, SessionIsolation, UpdateRouting, Waiting):
        with pytest.raises(TypeError):
            make(wrong, ACME)
    with pytest.raises(ValueError, match="longer than zero"):
        SessionStorage(store, ACME, ttl=0)
