"""A Telegram bot that takes orders, with aiogram.

The bot keeps nothing: what it asked and what people answered is in the store. A burst of messages
is worked on in order, a button of an old question is told that it is old, who falls silent is
reminded after ten minutes and let go after a day. A restart in between loses nothing. Run it with::

    BOT_TOKEN=... STORE_URL=sqlite:///bot.db python aiogram_bot.py
"""

import asyncio
import os
from functools import partial

import msgspec
from aiogram import Bot, Dispatcher, F
from aiogram.exceptions import TelegramForbiddenError
from aiogram.types import CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup, Message, Update, User
from msgspec.structs import replace

from greentic_session import (
    Claim,
    DeliveryOutcome,
    InboxFullError,
    OperationTimeoutError,
    ReplyScope,
    Runner,
    SessionData,
    Start,
    TenantCtx,
    UnavailableError,
    create_session_store,
)

MINUTE, REMINDER, DAY = 60, 600, 24 * 3600


class Answer(msgspec.Struct, frozen=True):
    """What somebody wrote, or which button they pressed: then `question` says under which one."""

    text: str
    question: str | None = None


class Order(msgspec.Struct, frozen=True):
    """The state of the flow: where to ask, the question asked last, and what is known by now."""

    chat: int
    topic: int | None
    question: str = ""
    pizza: str = ""
    reminded: bool = False


def new_order(ctx: TenantCtx, chat: int, topic: int | None) -> SessionData:
    """Return the snapshot of a flow that has not asked anything yet."""
    return SessionData.new(ctx, "order", "new", context=Order(chat, topic))


async def deliver(runner: Runner, update: Update, message: Message, user: User, answer: Answer) -> DeliveryOutcome:
    """Hand an answer to the store; /order begins a flow where none waits."""
    ctx = TenantCtx.new("prod", "pizzeria", user=str(user.id))
    topic = message.message_thread_id if message.is_topic_message else None
    scope = ReplyScope(f"telegram:{message.chat.id}", thread=None if topic is None else str(topic))
    start = Start(new_order(ctx, message.chat.id, topic), ttl=DAY)
    while True:
        try:
            delivery = await runner.deliver(
                ctx,
                str(user.id),
                scope,
                answer,
                delivery_id=str(update.update_id),  # Telegram may deliver an update again
                start=start if answer.text == "/order" else None,
            )
        except (UnavailableError, OperationTimeoutError):
            await asyncio.sleep(1)  # aiogram would drop the update; what comes meanwhile waits at Telegram
        else:
            return delivery.outcome


async def on_text(message: Message, text: str, user: User, event_update: Update, runner: Runner) -> None:
    """Take any text for an answer; where nothing waits it is small talk."""
    try:
        await deliver(runner, event_update, message, user, Answer(text))
    except InboxFullError:
        await message.answer("One at a time, please.")  # a hundred are waiting


async def on_button(query: CallbackQuery, event_update: Update, runner: Runner) -> None:
    """Take a button for an answer to the question above it."""
    said = "This order is closed."
    if isinstance(query.message, Message) and query.data:  # else it is too old even for Telegram
        question, _, text = query.data.partition(":")
        try:
            outcome = await deliver(runner, event_update, query.message, query.from_user, Answer(text, question))
            said = said if outcome == "unmatched" else ""
        except InboxFullError:
            said = "One at a time, please."
    await query.answer(said)


async def take_order(bot: Bot, claim: Claim) -> None:
    """Work on one answer, or on a deadline. If this fails, or we die in it, it is tried again."""
    node, order = claim.data.cursor.node_pointer, claim.data.context(Order)

    async def say(text: str, *choices: str) -> str:
        """Say something; return what its buttons carry to tell this question from all others."""
        question = claim.idempotency_key[:16]  # asked again after a crash, it is the same question
        row = [InlineKeyboardButton(text=choice, callback_data=f"{question}:{choice}") for choice in choices]
        buttons = InlineKeyboardMarkup(inline_keyboard=[row]) if row else None
        await bot.send_message(order.chat, text, message_thread_id=order.topic, reply_markup=buttons)
        return question

    async def ask(node: str, order: Order, text: str, *choices: str) -> None:
        # First the question, then the verdict: asked twice is better than never asked.
        order = replace(order, question=await say(text, *choices), reminded=False)
        data = claim.data.new_cursor(node).new_context(order)
        await claim.park(claim.scope, data, ttl=REMINDER, on_timeout="resume")

    async def finish() -> None:
        # Not complete(): an answer that is behind this one, another /order for one, finds its flow.
        data = new_order(claim.data.tenant_ctx, order.chat, order.topic)
        await claim.park(claim.scope, data, ttl=MINUTE, on_timeout="forget")

    try:
        if claim.reply is None:  # the deadline
            if order.reminded:
                await say("I let your order go.")
                await finish()
            else:
                await say("Are you still there?")
                await claim.park(claim.scope, claim.data.new_context(replace(order, reminded=True)), ttl=DAY - REMINDER)
            return
        answer = claim.reply.value(Answer)
        if answer.question not in (None, order.question):
            await say("That button is old.")
            await claim.stay()
        elif answer.text == "/order":
            await ask("pizza", order, "Which pizza?", "Margherita", "Funghi")
        elif node == "new":
            await claim.stay()  # small talk
        elif node == "pizza":
            await ask("count", replace(order, pizza=answer.text), f"How many {answer.text}?", "1", "2")
        elif not answer.text.isdecimal():
            await say("As a number, please.")
            await claim.stay()
        else:
            await say(f"{answer.text} x {order.pizza}, coming up!")
            await finish()
    except TelegramForbiddenError:
        await claim.complete()  # they have blocked the bot


def make_dispatcher(runner: Runner) -> Dispatcher:
    """Return a dispatcher that hands `runner` to its handlers, by the name of their argument."""
    dispatcher = Dispatcher(runner=runner, disable_fsm=True)
    dispatcher.message.register(on_text, F.text.as_("text"), F.from_user.as_("user"))
    dispatcher.callback_query.register(on_button)
    return dispatcher


async def main() -> None:
    """Serve until stopped; aiogram listens to SIGTERM, and turns that have begun are finished."""
    async with (
        create_session_store(os.environ["STORE_URL"]) as store,
        Bot(os.environ["BOT_TOKEN"]) as bot,
        Runner(store, partial(take_order, bot)) as runner,
    ):
        # Not as tasks: they would race each other to the store, and be lost with the process.
        await make_dispatcher(runner).start_polling(bot, handle_as_tasks=False, close_bot_session=False)


if __name__ == "__main__":
    asyncio.run(main())
