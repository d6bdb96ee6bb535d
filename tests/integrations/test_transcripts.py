"""Transcripts of the libraries themselves, in and out: the ways that the table in README shows."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from greentic_session.conversation import InMemoryConversationStore
from greentic_session.testing._conversations.samples import OPS

pytestmark = pytest.mark.asyncio

RECORDED = Path(__file__).parents[1] / "conversations/providers"
INSTALL = "install the extra: python -m pip install 'greentic-session[integrations]'"


def recorded(name: str) -> list[Any]:
    messages: list[Any] = json.loads((RECORDED / f"{name}.json").read_text())["messages"]
    return messages


async def there_and_back(message_type: Any, messages: list[Any]) -> list[Any]:
    async with InMemoryConversationStore(message_type=message_type) as store:
        await store.create(OPS, id="c")
        await store.append(OPS, "c", *messages)
        return list(await store.messages(OPS, "c"))


async def test_langchain() -> None:
    messages: Any = pytest.importorskip("langchain_core.messages", reason=INSTALL)
    talk = messages.messages_from_dict([said for said in recorded("langchain") if said["type"] != "remove"])
    assert await there_and_back(TypeAdapter(messages.AnyMessage), talk) == talk


async def test_pydantic_ai() -> None:
    messages: Any = pytest.importorskip("pydantic_ai.messages", reason=INSTALL)
    talk = messages.ModelMessagesTypeAdapter.validate_python(recorded("pydantic_ai"))
    assert await there_and_back(TypeAdapter(messages.ModelMessage), talk) == talk


async def test_gemini() -> None:
    types: Any = pytest.importorskip("google.genai.types", reason=INSTALL)
    talk = [types.Content.model_validate(said) for said in recorded("gemini")]
    dumped = [content.model_dump(mode="json", exclude_none=True, by_alias=True) for content in talk]
    found = await there_and_back(dict[str, Any], dumped)
    assert found == recorded("gemini")
    assert [types.Content.model_validate(said) for said in found] == talk


async def test_openai_responses() -> None:
    responses: Any = pytest.importorskip("openai.types.responses", reason=INSTALL)
    item = TypeAdapter(responses.ResponseOutputItem)
    kinds = ("reasoning", "function_call", "custom_tool_call", "web_search_call")
    talk = [item.validate_python(said) for said in recorded("openai_responses") if said.get("type") in kinds]
    dumped = [said.model_dump(mode="json", exclude_unset=True) for said in talk]
    assert [item.validate_python(said) for said in await there_and_back(dict[str, Any], dumped)] == talk
