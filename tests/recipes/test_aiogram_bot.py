"""The Telegram bot: updates come through its dispatcher, and what it says is recorded."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar, cast

import pytest
import pytest_asyncio
from aiogram import Bot
from aiogram.client.session.base import BaseSession
from aiogram.exceptions import TelegramForbiddenError
from aiogram.methods import AnswerCallbackQuery, SendMessage, TelegramMethod
from aiogram.types import CallbackQuery, Chat, InlineKeyboardMarkup, Message, Update, User
from aiogram_bot import DAY, MINUTE, REMINDER, make_dispatcher, take_order
from conftest import Open
from turns import Turns

from greentic_session import ReplyScope, Runner, SessionStore, TenantCtx, UnavailableError
from greentic_session.testing import later

pytestmark = pytest.mark.asyncio

T = TypeVar("T")
ADA, BOB = 11, 22
ADAS = (TenantCtx.new("prod", "pizzeria", user=str(ADA)), str(ADA), ReplyScope("telegram:1"))


class Notebook(BaseSession):
    """Stands where aiogram's HTTP client would be, and notes what is said, each with the chat."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[tuple[int | str, str]] = []
        self.buttons: dict[str, str] = {}
        self.popups: list[str | None] = []
        self.failures: list[Exception] = []

    async def make_request(self, bot: Bot, method: TelegramMethod[T], timeout: int | None = None) -> T:  # noqa: ASYNC109
        if isinstance(method, AnswerCallbackQuery):
            self.popups.append(method.text)
            return cast("T", True)  # noqa: FBT003
        assert isinstance(method, SendMessage)  # the bot does nothing else
        if self.failures:
            raise self.failures.pop()
        self.said.append((method.chat_id, method.text))
        if isinstance(method.reply_markup, InlineKeyboardMarkup):
            for button in method.reply_markup.inline_keyboard[0]:
                self.buttons[button.text] = button.callback_data or ""
        return cast("T", message_from(User(id=42, is_bot=True, first_name="bot"), 1, 1, method.text))

    def stream_content(self, *_: Any, **__: Any) -> AsyncGenerator[bytes, None]:
        raise NotImplementedError

    async def close(self) -> None:
        pass


def message_from(user: User, chat: int, number: int, text: str) -> Message:
    place = Chat(id=chat, type="group")
    return Message(message_id=number, date=datetime.now(UTC), chat=place, from_user=user, text=text)


class Telegram:
    """One bot, and the people who write to it."""

    def __init__(self) -> None:
        self.notebook = Notebook()
        self.bot = Bot("42:TOKEN", session=self.notebook)

    @asynccontextmanager
    async def at_work(self, store: SessionStore) -> AsyncIterator[None]:
        """The bot's process: within the block it works."""
        self.turns = Turns(partial(take_order, self.bot))
        async with Runner(store, self.turns) as runner:
            self.dispatcher = make_dispatcher(runner)
            yield

    async def write(self, update_id: int, text: str, *, user: int = ADA, chat: int = 1) -> None:
        """Deliver a message."""
        message = message_from(User(id=user, is_bot=False, first_name="x"), chat, update_id, text)
        await self.dispatcher.feed_update(self.bot, Update(update_id=update_id, message=message))

    async def press(self, update_id: int, data: str) -> str | None:
        """Deliver that Ada has pressed a button; return what pops up."""
        user = User(id=ADA, is_bot=False, first_name="x")
        query = CallbackQuery(
            id="q", from_user=user, chat_instance="c", message=message_from(user, 1, 1, "question"), data=data
        )
        await self.dispatcher.feed_update(self.bot, Update(update_id=update_id, callback_query=query))
        return self.notebook.popups.pop()

    async def says(self, turns: int) -> list[str]:
        """Return what was said since the last time, when so many turns have ended."""
        await self.turns.reach(turns)
        said = [text for _, text in self.notebook.said]
        self.notebook.said.clear()
        return said


@pytest_asyncio.fixture
async def store(open_store: Open) -> AsyncIterator[SessionStore]:
    async with open_store() as store:
        yield store


@pytest.fixture
def telegram() -> Telegram:
    return Telegram()


async def test_an_order(telegram: Telegram, store: SessionStore) -> None:
    async with telegram.at_work(store):
        await telegram.write(1, "hello")  # nothing waits: small talk
        for number, (text, said) in enumerate(
            [
                ("/order", "Which pizza?"),
                ("Margherita", "How many Margherita?"),
                ("a few", "As a number, please."),
                ("3", "3 x Margherita, coming up!"),
            ]
        ):
            await telegram.write(2 + number, text)
            assert await telegram.says(number + 1) == [said]
        await telegram.write(6, "thanks")
        assert await telegram.says(5) == []
        await later(store, MINUTE)
        assert await store.purge(TenantCtx.new("prod", "pizzeria")) == 0


async def test_a_burst_is_worked_on_in_order_and_none_is_dropped(telegram: Telegram, store: SessionStore) -> None:
    async with telegram.at_work(store):
        for number, text in enumerate(["/order", "Funghi", "2", "thanks", "/order", "Margherita", "many", "1"]):
            await telegram.write(number, text)
        assert await telegram.says(8) == [
            "Which pizza?",
            "How many Funghi?",
            "2 x Funghi, coming up!",
            "Which pizza?",
            "How many Margherita?",
            "As a number, please.",
            "1 x Margherita, coming up!",
        ]


async def test_two_people_in_one_chat(telegram: Telegram, store: SessionStore) -> None:
    async with telegram.at_work(store):
        for number, (user, text) in enumerate([(ADA, "/order"), (BOB, "/order"), (BOB, "Funghi"), (ADA, "Marinara")]):
            await telegram.write(number, text, user=user)
        await telegram.says(4)
        await telegram.write(5, "1", user=BOB)
        assert await telegram.says(5) == ["1 x Funghi, coming up!"]
        await telegram.write(6, "2", user=ADA)
        assert await telegram.says(6) == ["2 x Marinara, coming up!"]


async def test_an_answer_in_another_chat_is_none(telegram: Telegram, store: SessionStore) -> None:
    async with telegram.at_work(store):
        await telegram.write(1, "/order", chat=1)
        await telegram.write(2, "Funghi", chat=2)
        await telegram.write(3, "Marinara", chat=1)
        assert await telegram.says(2) == ["Which pizza?", "How many Marinara?"]


async def test_what_is_delivered_twice_counts_once(telegram: Telegram, store: SessionStore) -> None:
    async with telegram.at_work(store):
        for number, text in enumerate(["/order", "7", "2"]):
            await telegram.write(number, text)
            await telegram.write(number, text)
        assert await telegram.says(3) == ["Which pizza?", "How many 7?", "2 x 7, coming up!"]
        await telegram.write(0, "/order")
        await telegram.write(9, "/order")
        assert await telegram.says(4) == ["Which pizza?"]


async def test_buttons(telegram: Telegram, store: SessionStore) -> None:
    async with telegram.at_work(store):
        await telegram.write(1, "/order")
        assert await telegram.says(1) == ["Which pizza?"]
        funghi = telegram.notebook.buttons["Funghi"]
        assert await telegram.press(2, funghi) == ""
        assert await telegram.says(2) == ["How many Funghi?"]
        await telegram.press(3, telegram.notebook.buttons["2"])
        assert await telegram.says(3) == ["2 x Funghi, coming up!"]


async def test_an_old_button_is_told_that_it_is_old(telegram: Telegram, store: SessionStore) -> None:
    async with telegram.at_work(store):
        await telegram.write(1, "/order")
        await telegram.says(1)
        old = telegram.notebook.buttons["Funghi"]
        await telegram.write(2, "/order")
        await telegram.says(2)
        await telegram.press(3, old)
        assert await telegram.says(3) == ["That button is old."]
        await telegram.press(4, telegram.notebook.buttons["Funghi"])
        await telegram.write(5, "2")
        assert await telegram.says(5) == ["How many Funghi?", "2 x Funghi, coming up!"]
        await telegram.press(6, old)
        assert await telegram.says(6) == ["That button is old."]
        await later(store, MINUTE)
        assert await telegram.press(7, old) == "This order is closed."


async def test_a_reminder_after_ten_minutes_and_an_end_after_a_day(telegram: Telegram, store: SessionStore) -> None:
    async with telegram.at_work(store):
        await telegram.write(1, "/order")
        await telegram.says(1)
        button = telegram.notebook.buttons["Funghi"]
        await later(store, REMINDER - 60)
        assert await store.claim_ready() == []
        await later(store, 60)
        assert await telegram.says(2) == ["Are you still there?"]
        await telegram.press(2, button)  # the question is still the same
        assert await telegram.says(3) == ["How many Funghi?"]
        await later(store, REMINDER)
        assert await telegram.says(4) == ["Are you still there?"]
        await later(store, DAY - REMINDER)
        assert await telegram.says(5) == ["I let your order go."]
        await later(store, MINUTE)
        assert await store.find_wait(*ADAS) is None


async def test_a_message_that_cannot_be_sent_is_sent_later(telegram: Telegram, store: SessionStore) -> None:
    telegram.notebook.failures = [ConnectionError("no network")]
    async with telegram.at_work(store):
        await telegram.write(1, "/order")
        await telegram.write(2, "Funghi")
    assert telegram.notebook.said == []
    await later(store, 1)  # it was put off for so long
    async with telegram.at_work(store):
        assert await telegram.says(2) == ["Which pizza?", "How many Funghi?"]


async def test_who_has_blocked_the_bot_is_let_go(telegram: Telegram, store: SessionStore) -> None:
    async with telegram.at_work(store):
        telegram.notebook.failures = [TelegramForbiddenError(SendMessage(chat_id=1, text=""), "blocked")]
        await telegram.write(1, "/order")
        assert await telegram.says(1) == []
        assert await store.find_wait(*ADAS) is None


async def test_while_the_store_is_away_updates_wait(
    telegram: Telegram, store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with telegram.at_work(store):
        deliver, failures = store.deliver, [UnavailableError("away")]

        async def away_at_first(*args: Any, **options: Any) -> Any:
            if failures:
                raise failures.pop()
            return await deliver(*args, **options)

        monkeypatch.setattr(store, "deliver", away_at_first)
        sleep = asyncio.sleep
        monkeypatch.setattr("aiogram_bot.asyncio.sleep", lambda _: sleep(0))
        await telegram.write(1, "/order")
        assert await telegram.says(1) == ["Which pizza?"]


async def test_a_hundred_messages_at_once_are_enough(store: SessionStore, telegram: Telegram) -> None:
    async with telegram.at_work(store):
        await telegram.write(0, "/order")
        await telegram.says(1)
    async with Runner(store, telegram.turns) as closing:
        pass
    telegram.dispatcher = make_dispatcher(closing)  # it takes nothing any more
    for number in range(101):
        await telegram.write(1 + number, "Funghi")
    assert [text for _, text in telegram.notebook.said] == ["One at a time, please."]
    assert await telegram.press(200, "question:Funghi") == "One at a time, please."


async def test_a_restart_between_question_and_answer(telegram: Telegram, open_store: Open) -> None:
    async with open_store() as store, telegram.at_work(store):
        await telegram.write(1, "/order")
        await telegram.write(2, "Funghi")
        await telegram.says(2)
    async with open_store() as store, telegram.at_work(store):
        await telegram.write(2, "Funghi")  # delivered again, for nobody had confirmed it
        await telegram.write(3, "4")
        assert await telegram.says(1) == ["4 x Funghi, coming up!"]


async def test_a_reminder_that_was_due_while_the_bot_was_down(telegram: Telegram, open_store: Open) -> None:
    async with open_store() as store:
        async with telegram.at_work(store):
            await telegram.write(1, "/order")
            await telegram.says(1)
        await later(store, DAY)
    async with open_store() as store, telegram.at_work(store):
        assert await telegram.says(1) == ["Are you still there?"]
