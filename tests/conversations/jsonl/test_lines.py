"""The format of exported files: for people, for jq, and for the importer."""

# ruff: noqa: ASYNC240  # what a test looks at may block it

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from samples.damage import changed

from greentic_session.conversation import (
    InMemoryConversationStore,
    Message,
    TokenUsage,
    export_conversations,
    import_conversations,
)
from greentic_session.conversation.header import Header
from greentic_session.conversation.jsonl.archived import Archived, UnreadableFileError
from greentic_session.conversation.jsonl.lines import read_lines, write_lines
from greentic_session.testing._conversations.samples import OPS, StandingClock, said

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def text(tmp_path: Path) -> bytes:
    """The file of a conversation."""
    async with InMemoryConversationStore(clock=StandingClock()) as store:
        await store.create(OPS, id="order-7", model="some-model", metadata={"lang": "de"}, cwd="/srv")
        await store.append(OPS, "order-7", *said("hello\nthere", "good day"))
        await store.update_state(OPS, "order-7", add_usage=TokenUsage(12, 5), custom={"mood": "calm"})
        await export_conversations(store, tmp_path / "export")
    (path,) = tmp_path.glob("export/dev_acme_ops-*/order_7-*.jsonl")
    return path.read_bytes()


async def test_each_line_is_json(text: bytes) -> None:
    first, *messages = map(json.loads, text.decode().splitlines())
    birth = first["conversation"].pop("birth")
    assert len(birth) == 16
    assert first == {
        "format": "greentic-session.conversation",
        "version": 1,
        "env": "dev",
        "tenant": "acme",
        "team": "ops",
        "message_count": 2,
        "expires_at_ms": None,
        "conversation": {
            "schema_version": 1,
            "id": "order-7",
            "model": "some-model",
            "max_turns": 0,
            "system_message": None,
            "metadata": {"lang": "de"},
            "state": {
                "cwd": "/srv",
                "token_usage": {"input_tokens": 12, "output_tokens": 5},
                "event_count": 0,
                "custom": {"mood": "calm"},
            },
            "created_at": "2023-11-14T22:13:20Z",
            "updated_at": "2023-11-14T22:13:20.000002Z",
        },
    }
    assert [message["content"][0]["text"] for message in messages] == ["hello\nthere", "good day"]


async def test_what_was_edited_by_hand_is_read(text: bytes) -> None:
    sound = read_lines(text)
    assert read_lines(text.removesuffix(b"\n")) == sound
    assert read_lines(text.replace(b"\n", b"\r\n")) == sound
    assert read_lines(text.replace(b'":', b'" : ')).messages == [part.replace(b'":', b'" : ') for part in sound.messages]
    edited = read_lines(text.replace(b"good day", "schönen Tag".encode()))
    assert b"sch" in edited.messages[1]


DAMAGES: dict[str, list[Callable[[bytes], bytes]]] = {
    "its first line is not that of a conversation": [
        lambda _: b"",
        lambda _: b"{}\n",
        lambda _: b'"\xff"\n',
        lambda _: b"[" * 100_000,
        lambda text: text.split(b"\n", 1)[1],
        changed(b'"env":"dev",', b""),
        changed(b'"id":"order-7"', b'"id":7'),
    ],
    "it is no conversation": [changed(b"greentic-session.conversation", b"x")],
    "a newer version of greentic_session wrote it": [
        changed(b'"version":1', b'"version":2'),
        changed(b'"version":1,"env":"dev"', b'"version":2,"later":"dev"'),
        changed(b'"schema_version":1', b'"schema_version":2'),
    ],
    "env, tenant, team or id in it is not valid": [
        changed(b'"env":"dev"', b'"env":"d/v"'),
        changed(b'"team":"ops"', b'"team":"-"'),
        changed(b'"id":"order-7"', b'"id":""'),
    ],
    "its header cannot be read": [
        changed(b'"model":"some-model"', b'"model":7'),
        changed(b'"event_count":0', b'"event_count":-1'),
    ],
    "expires_at_ms in it is out of range": [changed(b'"expires_at_ms":null', b'"expires_at_ms":-1')],
    "it has messages in its first line": [changed(b'"conversation":{', b'"conversation":{"messages":[{}],')],
    "it has 1 messages, and its first line says 2": [lambda text: text[: text.rindex(b"\n", 0, -1)]],
    "it has 3 messages, and its first line says 2": [lambda text: text + b"{}\n"],
}
"""Damages of a file, by the reason that is given for leaving it out."""


@pytest.mark.parametrize(("reason", "damage"), [(reason, each) for reason, found in DAMAGES.items() for each in found])
async def test_what_is_not_whole_is_left_out(damage: Callable[[bytes], bytes], reason: str, text: bytes) -> None:
    with pytest.raises(UnreadableFileError) as caught:
        read_lines(damage(text))
    assert str(caught.value) == reason


async def test_a_damaged_line_is_an_unreadable_message(text: bytes) -> None:
    for line in (b"", b"{", b'"\xff"', b"hello", b'{"role":"user"} {}'):
        lines = text.split(b"\n")
        lines[1] = line
        found = read_lines(b"\n".join(lines))
        assert found.messages == [b"", lines[2]]


async def test_a_text_of_several_lines_is_written_on_one() -> None:
    """Other programs may have written messages like that to a Redis."""
    messages = [b'{\n  "role": "user"\n}', b"{\n", b'"\xff"', b"", b"7"]
    archived = Archived(partition=("dev", "acme", None), id="c", header=Header(), messages=messages, expires_at_ms=None)
    text, unreadable = write_lines(archived)
    assert text.split(b"\n")[1:] == [b'{"role":"user"}', b"", b"", b"", b"7", b""]
    assert unreadable == 3
    assert write_lines(read_lines(text)) == (text, 3)


async def test_unknown_fields_come_back(tmp_path: Path) -> None:
    async with InMemoryConversationStore() as store, InMemoryConversationStore[Any]() as other:
        conversation = await store.create(OPS, id="c")
        # Names of the first line, and of the fields of the envelope within others.
        conversation.extra = {"env": "theirs", "format": {"messages": 1}, "message_count": None}
        conversation.state.extra = {"metadata": "theirs"}
        conversation.messages.append(Message.user("hello"))
        await store.save(OPS, conversation)
        await export_conversations(store, tmp_path / "export")
        await import_conversations(tmp_path / "export", other)
        assert await other.load(OPS, "c") == await store.load(OPS, "c")
