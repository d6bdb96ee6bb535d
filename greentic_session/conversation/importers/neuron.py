"""Importer of the session files of neuron_runtime.

A session is one JSON object; its blocks are externally tagged.
"""

from typing import Any, Final

from greentic_session.conversation.envelope import COUNTERS, FIELDS
from greentic_session.conversation.rules import check_conversation_id
from greentic_session.conversation.state import ConversationState, TokenUsage
from greentic_session.errors import InvalidInputError

from .reading import Fields, as_object, keep, read_messages, read_object, take, take_count, take_moment

__all__ = ["read_neuron"]

_PROGRAM: Final = "neuron"
_ROLES: Final = {"User": "user", "Assistant": "assistant", "System": "system"}
_KINDS: Final = {"Thinking": "thinking", "ToolUse": "tool_use"}
"""Types of blocks that have the same fields as ours."""


def read_neuron(text: str | bytes) -> Fields:
    """Return the fields of a `Conversation` for a session of neuron_runtime.

    Raises:
        InvalidInputError: The text is no such session.
        TypeError: `text` is neither str nor bytes.
    """
    fields = read_object(text, "session of neuron_runtime")
    state: Fields = take(fields, "state", Fields)
    usage: Fields = take(state, "token_usage", Fields, {})
    counters = {name: take(usage, name, int | None, None) for name in COUNTERS}
    return {
        "id": check_conversation_id(take(fields, "id", str)),
        "messages": read_messages(take(fields, "messages", list[Any]), _message),
        "created_at": take_moment(fields, "created_at"),
        "updated_at": take_moment(fields, "updated_at"),
        "state": ConversationState(
            cwd=take(state, "cwd", str, ""),
            token_usage=TokenUsage(**{name: count for name, count in counters.items() if count is not None}, extra=usage),
            event_count=take_count(state, "event_count"),
            custom=take(state, "custom", Fields, {}),
            extra=state,
        ),
        "extra": keep(fields, FIELDS, _PROGRAM),
    }


def _message(value: Any) -> Any:
    fields: Fields = dict(as_object(value))
    role = _ROLES.get(take(fields, "role", str))
    if role is None:
        raise InvalidInputError("role must be one of 'User', 'Assistant' and 'System'")
    content: list[Any] = take(fields, "content", list[Any], [])
    return {"role": role, "content": [_block(block) for block in content], **fields}


def _block(value: Any) -> Any:
    """Return a block in our JSON; a block without counterpart stays as it is."""
    block = _translated(as_object(value))
    # With the tag "type" it could be read as one of ours.
    return {_PROGRAM: value} if block is value and "type" in block else block


def _translated(value: Fields) -> Fields:
    if len(value) != 1:
        return value
    ((tag, inside),) = value.items()
    match tag:
        case "Text":
            return {"type": "text", "text": inside}
        case "Image":
            return _image(inside) or value
        case "ToolResult":
            fields = dict(as_object(inside))
            items: list[Any] = take(fields, "content", list[Any])
            fields["content"] = [_translated(as_object(item)) for item in items]
            return {"type": "tool_result", **keep(fields, {"type"}, _PROGRAM)}
        case _ if tag in _KINDS:
            return {"type": _KINDS[tag], **keep(as_object(inside), {"type"}, _PROGRAM)}
    return value


def _image(value: Any) -> Fields | None:
    """Return an image in our JSON; None for an image at a URL."""
    fields = dict(as_object(value))
    source: Fields = take(fields, "source", Fields)
    if set(source) != {"Base64"}:
        return None
    data: Fields = take(source, "Base64", Fields)
    block = {"type": "image", "media_type": take(data, "media_type", str), "data": take(data, "data", str)}
    return block | keep(fields, block, _PROGRAM) | ({"source": data} if data else {})
