"""A `TypeAdapter` of pydantic as the type of messages: models and dataclasses."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, TypeAdapter

from greentic_session import InvalidInputError
from greentic_session.conversation import ConversationStore, InMemoryConversationStore
from greentic_session.errors import CorruptSessionError
from greentic_session.testing._conversations.samples import OPS

pytestmark = pytest.mark.asyncio


class Asked(BaseModel):
    kind: Literal["asked"] = "asked"
    text: str


@dataclass
class Answered:
    text: str
    score: float
    kind: Literal["answered"] = "answered"


class Secret(BaseModel):
    kind: Literal["asked"] = "asked"
    code: str


Said = Annotated[Asked | Answered, Field(discriminator="kind")]


def make(**options: Any) -> ConversationStore[Any]:
    return InMemoryConversationStore(message_type=TypeAdapter(Said), **options)


async def test_models_and_dataclasses_come_out_as_they_went_in() -> None:
    said = [Asked(text="how much?\n"), Answered("7", 0.5)]
    async with make() as store:
        await store.create(OPS, id="c")
        await store.append(OPS, "c", *said)
        read = await store.messages(OPS, "c")
        assert read == said
        await store.compact(OPS, "c", 1, [Asked(text="sum")], version=read.version)
        assert (await store.load(OPS, "c")).messages == [Asked(text="sum"), said[1]]
        assert await store.pop(OPS, "c") == said[1:]


@pytest.mark.parametrize("wrong", ["hello", None, 7, {"kind": "asked"}, Secret(code="s3cret"), Asked(text="x" * 100)])
async def test_what_would_not_come_out_is_refused(wrong: Any) -> None:
    async with make(max_message_bytes=100) as store:
        await store.create(OPS, id="c")
        with pytest.raises(InvalidInputError) as caught:
            await store.append(OPS, "c", Asked(text="first"), wrong)
        assert "s3cret" not in str(caught.value)
        assert await store.messages(OPS, "c") == []


async def test_what_does_not_validate_is_corrupt() -> None:
    async with make() as store:
        await store.create(OPS, id="c")
        await store.backend.append(("dev", "acme", "ops"), "c", [b'{"kind":"asked","text":7}', b"{"], 1, store._life)
        with pytest.raises(CorruptSessionError):
            await store.messages(OPS, "c", last=1)
        assert await store.messages(OPS, "c", skip_corrupt=True) == []
