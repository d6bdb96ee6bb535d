"""The Telegram bot: updates come through its dispatcher, and its answers are recorded."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

import pytest
import pytest_asyncio
from aiogram import Bot
from aiogram.client.session.base import BaseSession
from aiogram.methods import SendMessage, TelegramMethod
from aiogram.types import Chat, Message, Update, User
from aiogram_bot import make_dispatcher

from greentic_session import InMemorySessionStore, RedisSessionStore, SessionStore, TenantCtx

pytestmark = pytest.mark.asyncio

T = TypeVar("T")
ADA, BOB = 11, 22


class Notebook(BaseSession):
    """Stands where aiogram's HTTP client would be, and notes what is said, each with the chat."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[tuple[int | str, str]] = []
        self.failures: list[Exception] = []

    async def make_request(self, bot: Bot, method: TelegramMethod[T], timeout: int | None = None) -> T:  # noqa: ASYNC109
        assert isinstance(method, SendMessage)  # the bot does nothing else
        if self.failures:
            raise self.failures.pop()
        self.said.append((method.chat_id, method.text))
        sent = Message(message_id=1, date=datetime.now(UTC), chat=Chat(id=1, type="private"))
        return cast("T", sent)

    def stream_content(self, *_: Any, **__: Any) -> AsyncGenerator[bytes, None]:
        raise NotImplementedError

    async def close(self) -> None:
        pass


class Telegram:
    """One bot, and the people who write to it. `restart` puts it on another store object."""

    def __init__(self, store: SessionStore) -> None:
        self.notebook = Notebook()
        self.bot = Bot("42:TOKEN", session=self.notebook)
        self.restart(store)

    def restart(self, store: SessionStore) -> None:
        self.dispatcher = make_dispatcher(store)

    async def write(self, update_id: int, text: str, *, user: int = ADA, chat: int = 1) -> list[str]:
        """Deliver one update; return what the bot says to it."""
        before = len(self.notebook.said)
        message = Message(
            message_id=update_id,
            date=datetime.now(UTC),
            chat=Chat(id=chat, type="group"),
            from_user=User(id=user, is_bot=False, first_name="x"),
            text=text,
        )
        await self.dispatcher.feed_update(self.bot, Update(update_id=update_id, message=message))
        said = self.notebook.said[before:]
        assert {where for where, _ in said} <= {chat}
        return [words for _, words in said]


@pytest_asyncio.fixture
async def store() -> AsyncIterator[InMemorySessionStore]:
    async with InMemorySessionStore() as store:
        yield store


@pytest.fixture
def telegram(store: InMemorySessionStore) -> Telegram:
    return Telegram(store)


async def test_an_order(telegram: Telegram, store: SessionStore) -> None:
    assert await telegram.write(1, "hello") == []
    assert await telegram.write(2, "/order") == ["Which pizza?"]
    assert await telegram.write(3, "Margherita") == ["How many Margherita?"]
    assert await telegram.write(4, "a few") == ["As a number, please."]
    assert await telegram.write(5, "3") == ["3 x Margherita, coming up!"]
    assert await telegram.write(6, "thanks") == []
    assert await store.purge(TenantCtx.new("prod", "pizzeria")) == 0


async def test_two_people_in_one_chat(telegram: Telegram) -> None:
    await telegram.write(1, "/order", user=ADA)
    await telegram.write(2, "/order", user=BOB)
    assert await telegram.write(3, "Funghi", user=BOB) == ["How many Funghi?"]
    assert await telegram.write(4, "Marinara", user=ADA) == ["How many Marinara?"]
    assert await telegram.write(5, "1", user=BOB) == ["1 x Funghi, coming up!"]
    assert await telegram.write(6, "2", user=ADA) == ["2 x Marinara, coming up!"]


async def test_an_answer_in_another_chat_is_none(telegram: Telegram) -> None:
    await telegram.write(1, "/order", chat=1)
    assert await telegram.write(2, "Funghi", chat=2) == []
    assert await telegram.write(3, "Funghi", chat=1) == ["How many Funghi?"]


async def test_what_is_delivered_twice_counts_once(telegram: Telegram) -> None:
    for number, (text, said) in enumerate([("/order", "Which pizza?"), ("7", "How many 7?"), ("2", "2 x 7, coming up!")]):
        assert await telegram.write(number, text) == [said]
        assert await telegram.write(number, text) == []


async def test_an_answer_delivered_to_two_processes_at_once(telegram: Telegram, store: InMemorySessionStore) -> None:
    await telegram.write(1, "/order")
    other = Telegram(store)
    answers = await asyncio.gather(telegram.write(2, "Funghi"), other.write(2, "Funghi"))
    assert sorted(answers) == [[], ["How many Funghi?"]]
    assert await other.write(3, "1") == ["1 x Funghi, coming up!"]


async def test_a_message_that_cannot_be_sent_leaves_the_flow_waiting(telegram: Telegram) -> None:
    await telegram.write(1, "/order")
    telegram.notebook.failures = [ConnectionError("no network")]
    with pytest.raises(ConnectionError):
        await telegram.write(2, "Funghi")
    assert await telegram.write(2, "Funghi") == ["How many Funghi?"]


async def test_a_restart_between_question_and_answer(redis_url: str, namespace: str) -> None:
    async with RedisSessionStore.from_url(redis_url, namespace=namespace) as first:
        telegram = Telegram(first)
        await telegram.write(1, "/order")
        await telegram.write(2, "Funghi")
    async with RedisSessionStore.from_url(redis_url, namespace=namespace) as second:
        telegram.restart(second)
        assert await telegram.write(2, "Funghi") == []
        assert await telegram.write(3, "4") == ["4 x Funghi, coming up!"]
