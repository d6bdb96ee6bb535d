"""The conversation that a snapshot names: kept by every store and on the wire."""

import doctest
from typing import Any

import pytest

from greentic_session import InMemorySessionStore, InvalidInputError, ReplyScope, SessionCursor, SessionData, TenantCtx
from greentic_session.conversation import LINK_ATTRIBUTE, InMemoryConversationStore, Message, link_conversation, session_link
from greentic_session.conversation import linked_conversation as linked

CTX = TenantCtx.new("dev", "acme", team="ops", user="ada")
DATA = SessionData(tenant_ctx=CTX, flow_id="order", cursor=SessionCursor("ask"), context_json="{}")


def test_a_link_is_one_attribute() -> None:
    assert linked(DATA) is None
    data = link_conversation(DATA, "a/b ä")
    assert linked(data) == "a/b ä"
    assert data.tenant_ctx == CTX.with_attributes({LINK_ATTRIBUTE: "a/b ä"})
    assert linked(SessionData.from_json(data.to_json())) == "a/b ä"
    assert data.to_json() == DATA.to_json().replace(
        b'"attempt":0', f'"attributes":{{"{LINK_ATTRIBUTE}":"a/b ä"}},"attempt":0'.encode()
    )


def test_other_attributes_stay() -> None:
    data = SessionData(
        tenant_ctx=CTX.with_attributes({"lang": "fr"}), flow_id="order", cursor=SessionCursor("ask"), context_json="{}"
    )
    moved = link_conversation(link_conversation(data, "a"), "b")
    assert moved.tenant_ctx.attributes == {"lang": "fr", LINK_ATTRIBUTE: "b"}
    assert link_conversation(moved, None) == data
    assert link_conversation(DATA, None).to_json() == DATA.to_json()


@pytest.mark.parametrize(
    ("data", "id", "error"),
    [(DATA, "", InvalidInputError), (DATA, "\0", InvalidInputError), (DATA, 7, TypeError), (CTX, "c", TypeError)],
)
def test_what_cannot_be_linked(data: Any, id: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        link_conversation(data, id)


def test_what_has_no_link() -> None:
    nothing: Any = None
    with pytest.raises(TypeError):
        linked(nothing)


@pytest.mark.asyncio
async def test_a_flow_finds_its_transcript_when_it_is_resumed() -> None:
    scope = ReplyScope("chat")
    async with InMemorySessionStore() as sessions, InMemoryConversationStore() as conversations:
        conversation = await conversations.create(CTX)
        await sessions.register_wait(CTX, "ada", scope, "k", link_conversation(DATA, conversation.id))
        for words in (["Hello?", "Who is it?"], ["Ada", "Welcome."]):
            claim = await sessions.claim_wait(CTX, "ada", scope)
            assert claim is not None
            async with claim:
                ctx = claim.data.tenant_ctx
                id = linked(claim.data)
                assert id is not None
                await conversations.append(ctx, id, Message.user(words[0]), Message.assistant(words[1]))
                data = SessionData(tenant_ctx=ctx, flow_id="order", cursor=SessionCursor("next"), context_json="{}")
                await claim.park(scope, data)
        said = [message.text for message in await conversations.messages(CTX, conversation.id)]
        assert said == ["Hello?", "Who is it?", "Ada", "Welcome."]


def test_the_example() -> None:
    assert doctest.testmod(session_link).failed == 0
