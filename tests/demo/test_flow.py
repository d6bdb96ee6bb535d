"""The flow of the demo, how it reads updates of Telegram, and where questions and answers meet."""

from typing import Any

import pytest
from samples.telegram import GROUP, PRIVATE, decoded, reply_to

from greentic_session import ReplyScope
from greentic_session.demo import flow
from greentic_session.demo.flow import Order
from greentic_session.demo.routing import answer_scopes, question_scope, session_key, tenant_partition
from greentic_session.demo.telegram import InvalidUpdateError, Message, User, decode_update


def message_of(*args: Any, **kwargs: Any) -> Message:
    message = decoded(1, *args, **kwargs).message
    assert message is not None
    return message


# -- the flow


def test_the_flow_parks_three_times() -> None:
    first = flow.start()
    assert (first.order, first.node) == (Order(), "ask_item")
    second = flow.resume("ask_item", first.order, "  two\nwords ")
    assert (second.order, second.node) == (Order("two words"), "ask_quantity")
    third = flow.resume("ask_quantity", second.order, " 3 ")
    assert (third.order, third.node) == (Order("two words", 3), "confirm")
    last = flow.resume("confirm", third.order, " YES ")
    assert (last.order, last.node, last.says) == (Order("two words", 3), None, "Ordered: 3 x two words.")
    refused = flow.resume("confirm", third.order, "no")
    assert (refused.node, refused.says) == (None, "Nothing ordered.")


@pytest.mark.parametrize(
    ("node", "text"),
    [
        ("ask_item", "  "),
        ("ask_item", "x" * 41),
        ("ask_quantity", "two"),
        ("ask_quantity", "0"),
        ("ask_quantity", "100"),
        ("ask_quantity", "-1"),
        ("ask_quantity", "²"),
        ("ask_quantity", "9" * 5000),
        ("confirm", "perhaps"),
    ],
)
def test_an_answer_that_does_not_fit_is_asked_for_again(node: str, text: str) -> None:
    order = Order("soup", 2)
    step = flow.resume(node, order, text)
    assert (step.node, step.order) == (node, order)
    assert step.says.startswith("Please ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("/order", True), (" /order@TheBot now", True), ("/orders", False), ("order", False), ("", False), ("I /order", False)],
)
def test_what_starts_an_order(text: str, expected: bool) -> None:  # noqa: FBT001  # a table
    assert flow.is_start(text) is expected


# -- Telegram


def test_fields_of_an_update_that_nobody_reads_are_ignored() -> None:
    read = decoded(1, 10, "hi", sticker={"emoji": "x"}, entities=[], reply_to_message=reply_to(9) | {"text": "?"})
    assert read.update_id == 1
    assert read.message is not None
    assert read.message.sender == User(5202)
    assert read.message.is_private
    assert read.message.replied is not None
    assert read.message.replied.message_id == 9


def test_a_topic_is_a_place_and_a_thread_of_replies_is_not() -> None:
    assert message_of(message_thread_id=7, is_topic_message=True).topic == 7
    assert message_of(message_thread_id=7).topic is None
    opened = message_of(message_thread_id=7, is_topic_message=True, reply_to_message=reply_to(7, is_bot=False))
    assert opened.replied is None
    assert message_of(message_thread_id=7, reply_to_message=reply_to(7)).replied is not None


@pytest.mark.parametrize(
    "line",
    [b"", b"null", b"[]", b"\x00", b'{"update_id":"1"}', b'{"update_id":1,"message":{}}', b'{"update_id":4503599627370497}'],
)
def test_what_is_no_update_is_refused(line: bytes) -> None:
    with pytest.raises(InvalidUpdateError, match=r"^not a valid update: "):
        decode_update(line)


# -- routing


def test_where_a_question_waits() -> None:
    assert question_scope(message_of(10)) == ReplyScope("telegram:5202")
    assert question_scope(message_of(10, chat=GROUP)) == ReplyScope(f"telegram:{GROUP}", reply_to="11")
    topic = message_of(10, chat=GROUP, message_thread_id=7, is_topic_message=True)
    assert question_scope(topic) == ReplyScope(f"telegram:{GROUP}", thread="7", reply_to="11")


def test_where_an_answer_is_looked_for() -> None:
    replying = {"reply_to_message": reply_to(11)}
    assert answer_scopes(message_of(12)) == [ReplyScope("telegram:5202")]
    assert answer_scopes(message_of(12, **replying)) == [
        ReplyScope("telegram:5202", reply_to="11"),
        ReplyScope("telegram:5202"),
    ]
    assert answer_scopes(message_of(12, chat=GROUP, **replying)) == [ReplyScope(f"telegram:{GROUP}", reply_to="11")]


def test_every_user_chat_and_tenant_has_a_key_of_its_own() -> None:
    acme = tenant_partition("acme")
    keys = [
        session_key(ctx, message_of(chat=chat), User(user))
        for ctx in (acme, tenant_partition("other"))
        for chat in (PRIVATE, GROUP)
        for user in (1, 2)
    ]
    assert len(set(keys)) == 8
    assert session_key(acme, message_of(99), User(1)) == session_key(acme.with_user("tg-1"), message_of(12), User(1))
