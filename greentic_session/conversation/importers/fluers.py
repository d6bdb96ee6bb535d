"""Importer of the session files of fluers_runtime.

Our envelope is based on theirs; their images are nested in an object.
"""

from typing import Any, Final

from greentic_session._json.fields import check_int
from greentic_session.conversation.blocks import REQUIRED
from greentic_session.conversation.envelope import FIELDS
from greentic_session.conversation.header import MAX_TURNS
from greentic_session.conversation.moments import as_datetime, utc_now
from greentic_session.conversation.rules import check_conversation_id, check_schema
from greentic_session.errors import InvalidInputError

from .reading import Fields, as_object, keep, read_messages, read_object, take, take_count

__all__ = ["read_fluers"]

_PROGRAM: Final = "fluers"
_NEWEST_VERSION: Final = 1
"""The newest version of their envelope that can be read."""


def read_fluers(text: str | bytes, conversation_id: str) -> Fields:
    """Return the fields of a `Conversation` for a session of fluers_runtime.

    Args:
        text: The content of the file.
        conversation_id: The id of the conversation, which is not in the text.

    Raises:
        InvalidInputError: The text is no such session, or the id is not valid.
        SchemaVersionError: A newer version of fluers_runtime wrote the text.
        TypeError: `text` is neither str nor bytes, or the id is no str.
    """
    id = check_conversation_id(conversation_id)
    fields = read_object(text, "session of fluers_runtime")
    version: int = take(fields, "schema_version", int)
    check_schema(version, id, newest=_NEWEST_VERSION)
    check_int("schema_version", version, 0, _NEWEST_VERSION)
    now = as_datetime(utc_now())
    return {
        "id": id,
        "created_at": now,
        "updated_at": now,
        "model": take(fields, "model", str, ""),
        "max_turns": take_count(fields, "max_turns", MAX_TURNS),
        "system_message": take(fields, "system_message", str | None, None),
        "messages": read_messages(take(fields, "messages", list[Any]), _message),
        "metadata": take(fields, "metadata", dict[str, str], {}),
        "extra": keep(fields, FIELDS, _PROGRAM),
    }


def _message(value: Any) -> Any:
    fields: Fields = dict(as_object(value))
    content: list[Any] = take(fields, "content", list[Any], [])
    return {"content": [_block(block) for block in content], **fields}


def _block(value: Any) -> Any:
    """Return a block in our JSON; a block without counterpart stays as it is."""
    fields: Fields = dict(as_object(value))
    match fields.get("type"):
        case "image":
            image: Fields = take(fields, "image", Fields)
            block = {"type": "image", "media_type": take(image, "media_type", str), "data": take(image, "data", str)}
            return block | keep(fields, {"media_type", "data"}, _PROGRAM) | ({"image": image} if image else {})
        case "tool_result" if not isinstance(fields.get("is_error", False), bool):
            return keep(fields, {"is_error"}, _PROGRAM)
        case "thinking":
            return {_PROGRAM: value}  # a name of ours that fluers does not have
        case str(kind) if not REQUIRED.get(kind, frozenset()) <= fields.keys():
            raise InvalidInputError("a field of a block is missing")
    return fields
