"""A Telegram bot that takes orders, with aiogram.

The bot keeps nothing: the questions that it asked are in the store, so that a restart between a
question and its answer loses nothing. Run it with::

    BOT_TOKEN=... STORE_URL=redis://localhost python aiogram_bot.py
"""

import asyncio
import os

import msgspec
from aiogram import Bot, Dispatcher, F
from aiogram.filters import Command
from aiogram.types import Message, Update, User

from greentic_session import ClaimedError, ReplyScope, SessionData, SessionKey, SessionStore, TenantCtx, create_session_store
from greentic_session.mapping import telegram_update_to_session_key

DAY = 24 * 3600


class Order(msgspec.Struct, frozen=True):
    """The state of the flow; `last_update` is the update that it has seen last.

    Telegram may deliver one again.
    """

    last_update: int
    pizza: str = ""


def place_of(message: Message, user: User, bot: Bot) -> tuple[TenantCtx, ReplyScope, SessionKey]:
    """Say whose flow it is, where its answer comes in, and what its session is called.

    One for each user in each chat.
    """
    ctx = TenantCtx.new("prod", "pizzeria", user=str(user.id))
    topic = message.message_thread_id if message.is_topic_message else None
    scope = ReplyScope(f"telegram:{message.chat.id}", thread=None if topic is None else str(topic))
    return ctx, scope, telegram_update_to_session_key(bot.id, message.chat.id, user.id, ctx=ctx)


def paused(ctx: TenantCtx, node: str, order: Order) -> SessionData:
    """Return the snapshot of a flow that waits at `node`."""
    return SessionData.new(ctx, "order", node, context=order)


async def begin(message: Message, user: User, bot: Bot, event_update: Update, store: SessionStore) -> None:
    """Answer /order.

    Ask the first question, and park. An unfinished order of this user in this chat gives way.
    """
    ctx, scope, key = place_of(message, user, bot)
    unfinished = await store.get_session(key, ctx=ctx)
    if unfinished is not None and event_update.update_id <= unfinished.context(Order).last_update:
        return  # delivered again
    await message.answer("Which pizza?")  # before it is parked: a question asked twice is better than one never asked
    data = paused(ctx, "pizza", Order(event_update.update_id))
    await store.register_wait(ctx, str(user.id), scope, key, data, ttl=DAY)


async def resume(message: Message, text: str, user: User, bot: Bot, event_update: Update, store: SessionStore) -> None:
    """Take any other text for an answer, if a flow waits for one."""
    ctx, scope, _ = place_of(message, user, bot)
    try:
        claim = await store.claim_wait(ctx, str(user.id), scope, lease=30)
    except ClaimedError:
        return  # this very update, or the answer before it, is being worked on
    if claim is None:
        return  # small talk, or the last answer delivered again: nothing waits for it
    async with claim:  # if sending fails, the flow waits on
        order = claim.data.context(Order)
        if event_update.update_id <= order.last_update:
            return  # delivered again: this answer belonged to the question before
        order = msgspec.structs.replace(order, last_update=event_update.update_id)
        if claim.data.cursor.node_pointer == "pizza":
            await message.answer(f"How many {text}?")
            await claim.park(scope, paused(ctx, "count", msgspec.structs.replace(order, pizza=text)), ttl=DAY)
        elif not text.isdecimal():
            await message.answer("As a number, please.")
            await claim.park(scope, paused(ctx, "count", order), ttl=DAY)
        else:
            await message.answer(f"{text} x {order.pizza}, coming up!")
            await claim.complete()


def make_dispatcher(store: SessionStore) -> Dispatcher:
    """Return a dispatcher that hands `store` to its handlers, by the name of their argument."""
    dispatcher = Dispatcher(store=store, disable_fsm=True)
    dispatcher.message.register(begin, Command("order"), F.from_user.as_("user"))
    dispatcher.message.register(resume, F.text.as_("text"), F.from_user.as_("user"))
    return dispatcher


async def main() -> None:
    """Serve until stopped."""
    async with create_session_store(os.environ["STORE_URL"]) as store, Bot(os.environ["BOT_TOKEN"]) as bot:
        await make_dispatcher(store).start_polling(bot)


if __name__ == "__main__":
    asyncio.run(main())
