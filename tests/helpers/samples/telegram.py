"""Updates as Telegram sends them, and recordings made of them."""

import json
from typing import Any

from greentic_session.conversation import InMemoryConversationStore
from greentic_session.conversation import Message as Said
from greentic_session.demo.telegram import Update, decode_update

Transcripts = InMemoryConversationStore[Said]
TTL = 60.0  # seconds: nothing expires while a test runs
DATE = 1_767_261_600
GROUP, PRIVATE = -1_002_000_000_077, 5202


def update(
    update_id: int,
    message_id: int = 10,
    text: str | None = "hello",
    *,
    chat: int = PRIVATE,
    user: int | None = 5202,
    date: int = DATE,
    **more: object,
) -> dict[str, Any]:
    kind = "private" if chat > 0 else "supergroup"
    message: dict[str, object] = {"message_id": message_id, "chat": {"id": chat, "type": kind}, "date": date, **more}
    if user is not None:
        message["from"] = {"id": user, "is_bot": False, "first_name": "Somebody"}
    if text is not None:
        message["text"] = text
    return {"update_id": update_id, "message": message}


def reply_to(message_id: int, *, is_bot: bool = True) -> dict[str, object]:
    return {"message_id": message_id, "from": {"id": 7_000_000_001, "is_bot": is_bot, "first_name": "Order Bot"}}


def decoded(*args: Any, **kwargs: Any) -> Update:
    return decode_update(json.dumps(update(*args, **kwargs)).encode())


def blocks(output: str) -> dict[int, str]:
    """Split the demo's output into what it tells of each line."""
    found: dict[int, str] = {}
    for block in output.split("\n\n"):
        if block.startswith("line "):
            found[int(block.removeprefix("line ").partition(":")[0])] = block
    return found
