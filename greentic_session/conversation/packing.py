"""Conversion of conversations to headers, with checks and copies of all values, and back."""

from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from greentic_session._json import codec
from greentic_session._json.faults import key_path
from greentic_session._json.fields import check_int
from greentic_session.conversation.conversation import Conversation
from greentic_session.conversation.envelope import FIELDS, STATE_FIELDS, USAGE_FIELDS
from greentic_session.conversation.header import MAX_COUNT, MAX_TURNS, Change, Header
from greentic_session.conversation.moments import MAX_MOMENT, as_datetime, as_moment, later
from greentic_session.conversation.rules import corrupt
from greentic_session.conversation.state import ConversationState, TokenUsage
from greentic_session.errors import InvalidInputError
from greentic_session.ids import plain

__all__ = ["pack", "pack_change", "unpack"]

M = TypeVar("M")


def pack(conversation: Conversation[Any], birth: str, now: int | None = None) -> Header:
    """Return the header of a conversation.

    Args:
        conversation: The conversation to store.
        birth: A fresh token.
        now: The time of the save, for `updated_at`, which always grows. None keeps its times.

    Raises:
        InvalidInputError: A value is out of range, or cannot be written as JSON.
        TypeError: A value has a wrong type.
    """
    state = conversation.state
    if not isinstance(state, ConversationState):
        raise TypeError(f"state must be a ConversationState, not {type(state).__name__}")
    usage = _check_usage("token_usage", state.token_usage)
    created_at = as_moment(conversation.created_at, "created_at")
    updated_at = as_moment(conversation.updated_at, "updated_at")
    if now is not None:
        updated_at = min(later(max(now, created_at), updated_at), MAX_MOMENT)
    return Header(
        birth=birth,
        created_at=created_at,
        updated_at=updated_at,
        model=_text("model", conversation.model),
        max_turns=_count("max_turns", conversation.max_turns, MAX_TURNS),
        system_message=None if conversation.system_message is None else _text("system_message", conversation.system_message),
        metadata=_texts("metadata", conversation.metadata),
        cwd=_text("cwd", state.cwd),
        usage=usage.counts(),
        event_count=_count("event_count", state.event_count),
        custom=_json("custom", state.custom),
        extra=_json("extra", conversation.extra, FIELDS),
        state_extra=_json("extra", state.extra, STATE_FIELDS),
        usage_extra=_json("extra", usage.extra, USAGE_FIELDS),
    )


def pack_change(
    cwd: str | None,
    add_usage: TokenUsage | None,
    add_events: int,
    custom: Mapping[str, Any] | None,
    metadata: Mapping[str, str] | None,
    remove_custom: Collection[str] = (),
    remove_metadata: Collection[str] = (),
) -> Change:
    """Return the change for arguments of `update_state`.

    Raises:
        InvalidInputError: An argument is out of range, or cannot be written as JSON.
        TypeError: An argument has a wrong type.
    """
    usage = _check_usage("add_usage", TokenUsage() if add_usage is None else add_usage)
    if usage.extra:
        raise InvalidInputError("add_usage has fields that nobody knows how to add")
    return Change(
        cwd=None if cwd is None else _text("cwd", cwd),
        usage=usage.counts(),
        events=_count("add_events", add_events),
        custom={} if custom is None else _json("custom", custom),
        metadata={} if metadata is None else _texts("metadata", metadata),
        remove_custom=_names("custom", remove_custom, custom),
        remove_metadata=_names("metadata", remove_metadata, metadata),
    )


def unpack(conversation_id: str, header: Header, messages: list[M]) -> Conversation[M]:
    """Return the conversation of a stored header and decoded messages.

    Raises:
        CorruptSessionError: A value in the header is no JSON.
    """
    try:
        usage_extra, custom = _values(header.usage_extra), _values(header.custom)
        state_extra, extra = _values(header.state_extra), _values(header.extra)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise corrupt(conversation_id) from error
    return Conversation(
        id=conversation_id,
        messages=messages,
        state=ConversationState(
            cwd=header.cwd,
            token_usage=TokenUsage(**header.usage, extra=usage_extra),
            event_count=header.event_count,
            custom=custom,
            extra=state_extra,
        ),
        model=header.model,
        max_turns=header.max_turns,
        system_message=header.system_message,
        metadata=dict(header.metadata),
        created_at=as_datetime(header.created_at),
        updated_at=as_datetime(header.updated_at),
        extra=extra,
        _revision=header.revision,
    )


def _values(fields: Mapping[str, Raw]) -> dict[str, Any]:
    return {name: msgspec.json.decode(text) for name, text in fields.items()}


def _check_usage(name: str, value: object) -> TokenUsage:
    if not isinstance(value, TokenUsage):
        raise TypeError(f"{name} must be a TokenUsage, not {type(value).__name__}")
    return value


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    if not value.isascii():
        try:
            str.encode(value)
        except UnicodeEncodeError as error:
            raise InvalidInputError(f"{name} must be valid Unicode: it holds a lone surrogate") from error
    return plain(value)


def _texts(name: str, value: object) -> dict[str, str]:
    return {_text(f"a name in {name}", key): _text(f"a value in {name}", text) for key, text in _items(name, value)}


def _names(name: str, removed: object, merged: Mapping[str, Any] | None) -> frozenset[str]:
    if isinstance(removed, str) or not isinstance(removed, Collection):
        raise TypeError(f"remove_{name} must be a list of names, not {type(removed).__name__}")
    names = frozenset([_text(f"a name in remove_{name}", key) for key in removed])
    if merged and not names.isdisjoint(merged):
        raise InvalidInputError(f"a name is in {name} and in remove_{name}")
    return names


def _json(name: str, value: object, reserved: frozenset[str] = frozenset()) -> dict[str, Raw]:
    fields: dict[str, Raw] = {}
    for key, part in _items(name, value):
        key = _text(f"a name in {name}", key)  # noqa: PLW2901  # as plain str
        if key in reserved:
            raise InvalidInputError(f"{name} holds a field that has a name of its own")
        fields[key] = Raw(codec.encode_alike(codec.SNAPSHOT_ENCODER, part, name, key_path("$", key)))
    return fields


def _items(name: str, value: object) -> list[tuple[object, object]]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a mapping, not {type(value).__name__}")
    return list(value.items())


def _count(name: str, value: int, most: int = MAX_COUNT) -> int:
    check_int(name, value, 0, most)
    return int.__int__(value)
