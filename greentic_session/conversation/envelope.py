"""Envelope: a whole conversation as one JSON text, also of other programs and older versions.

The fields are those of fluers_runtime (schema_version, model, max_turns, system_message, messages,
metadata) and ours: id, state, created_at, updated_at (RFC 3339), birth. Unknown fields are kept.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Raw

from greentic_session._json import codec
from greentic_session.conversation.header import MAX_COUNT, MAX_TURNS, Header
from greentic_session.conversation.moments import as_datetime, as_moment
from greentic_session.conversation.rules import SCHEMA_VERSION, check_schema, corrupt
from greentic_session.errors import InvalidInputError

__all__ = ["COUNTERS", "FIELDS", "STATE_FIELDS", "USAGE_FIELDS", "read_envelope", "write_envelope"]

COUNTERS: Final = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_creation_tokens", "reasoning_tokens")
"""The counters of a token usage, in wire order. The first two are always present."""
USAGE_FIELDS: Final = frozenset(COUNTERS)
"""The known fields of a token usage; unknown ones are kept in its `extra`."""
STATE_FIELDS: Final = frozenset(["cwd", "token_usage", "event_count", "custom"])
"""The known fields of a state; unknown ones are kept in its `extra`."""
FIELDS: Final = frozenset(
    [
        "schema_version",
        "id",
        "model",
        "max_turns",
        "system_message",
        "messages",
        "metadata",
        "state",
        "created_at",
        "updated_at",
        "birth",
    ]
)
"""The known fields of the envelope."""

_Fields = dict[str, Raw]
_DECODER: Final = msgspec.json.Decoder(_Fields)


def write_envelope(header: Header, messages: Sequence[bytes], conversation_id: str) -> bytes:
    """Return a conversation as JSON."""
    usage: dict[str, Any] = dict.fromkeys(COUNTERS[:2], 0) | header.usage | header.usage_extra
    state = {
        "cwd": header.cwd,
        "token_usage": usage,
        "event_count": header.event_count,
        "custom": header.custom,
        **header.state_extra,
    }
    envelope = {
        "schema_version": header.schema_version,
        "id": conversation_id,
        "model": header.model,
        "max_turns": header.max_turns,
        "system_message": header.system_message,
        "messages": [Raw(message) for message in messages],
        "metadata": header.metadata,
        "state": state,
        "created_at": as_datetime(header.created_at),
        "updated_at": as_datetime(header.updated_at),
        "birth": header.birth,
        **header.extra,
    }
    return codec.encode(codec.SNAPSHOT_ENCODER, envelope, "conversation")


def read_envelope(text: bytes, conversation_id: str) -> tuple[Header, list[bytes]]:
    """Return header and messages of a JSON text; an envelope of an older version is migrated.

    Args:
        text: The JSON text.
        conversation_id: The id for errors; an id in the text is ignored.

    Raises:
        CorruptSessionError: The text is no conversation.
        SchemaVersionError: A newer version wrote the text.
    """
    try:
        fields = _DECODER.decode(text)
        version = _take(fields, "schema_version", int, 0)
        if version < 0:
            raise corrupt(conversation_id)
        check_schema(version, conversation_id)
        for older in range(version, SCHEMA_VERSION):
            fields = _MIGRATIONS[older](fields)
        return _read_fields(fields)
    except (msgspec.MsgspecError, InvalidInputError, UnicodeError, RecursionError) as error:
        raise corrupt(conversation_id) from error


def _read_fields(fields: _Fields) -> tuple[Header, list[bytes]]:
    _take(fields, "id", Any, None)
    state = _take(fields, "state", _Fields, {})
    usage = _take(state, "token_usage", _Fields, {})
    counters = {name: _take(usage, name, int | None, None) for name in COUNTERS}
    messages: list[Raw] = _take(fields, "messages", list[Raw], [])
    header = Header(
        birth=_take(fields, "birth", str, ""),
        created_at=_take_moment(fields, "created_at"),
        updated_at=_take_moment(fields, "updated_at"),
        model=_take(fields, "model", str, ""),
        max_turns=_take_count(fields, "max_turns", MAX_TURNS),
        system_message=_take(fields, "system_message", str | None, None),
        metadata=_take(fields, "metadata", dict[str, str], {}),
        cwd=_take(state, "cwd", str, ""),
        usage={name: _check_count(count) for name, count in counters.items() if count is not None},
        event_count=_take_count(state, "event_count"),
        custom=_take(state, "custom", _Fields, {}),
        extra=fields,
        state_extra=state,
        usage_extra=usage,
    )
    return header, [bytes(message) for message in messages]


def _take(fields: _Fields, name: str, expected: Any, default: Any) -> Any:
    text = fields.pop(name, None)
    return default if text is None else msgspec.json.decode(text, type=expected)


def _take_count(fields: _Fields, name: str, most: int = MAX_COUNT) -> int:
    return _check_count(_take(fields, name, int, 0), most)


def _take_moment(fields: _Fields, name: str) -> int:
    moment = _take(fields, name, datetime, None)
    return 0 if moment is None else as_moment(moment, name)


def _check_count(count: int, most: int = MAX_COUNT) -> int:
    if not 0 <= count <= most:
        raise InvalidInputError("a counter is out of range")
    return count


def _same_fields(fields: _Fields) -> _Fields:
    """Migrate an envelope without version to version 1: missing fields have defaults."""
    return fields


_MIGRATIONS: Final[dict[int, Callable[[_Fields], _Fields]]] = {0: _same_fields}
