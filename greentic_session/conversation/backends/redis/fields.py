"""Conversion of a header to the fields of a hash, and back.

``schema_version``, ``created_at``, ``updated_at`` (microseconds since the epoch), ``birth``,
``model``, ``max_turns``, ``cwd`` and ``event_count`` are always there; ``system_message`` if there
is one; ``usage:{name}``, ``metadata:{name}`` and ``custom:{name}`` (JSON) for each name; ``extra``
(JSON) if there is any. So a counter is incremented, and a value set, without reading the others.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Raw, Struct

from greentic_session._redis.executor import Arg
from greentic_session.conversation.envelope import COUNTERS
from greentic_session.conversation.header import MAX_COUNT, MAX_TURNS, Change, Header
from greentic_session.conversation.rules import corrupt

__all__ = ["Counter", "counters_of", "fields_of", "merged_of", "read_counter", "read_fields", "removed_of"]

Counter = tuple[str, int]
"""The name of a field, and a number."""

_USAGE: Final = "usage:"
_METADATA: Final = "metadata:"
_CUSTOM: Final = "custom:"
_EVENTS: Final = "event_count"


class _Extra(Struct, omit_defaults=True):
    """Unknown fields of a conversation, by the object that holds them."""

    extra: dict[str, Raw] = {}
    state: dict[str, Raw] = {}
    usage: dict[str, Raw] = {}


_EXTRA: Final = msgspec.json.Decoder(_Extra)


def fields_of(header: Header) -> list[Arg]:
    """Return names and values of all fields except the two times."""
    found: list[Arg] = ["schema_version", header.schema_version, "birth", header.birth, "model", header.model]
    found += ["max_turns", header.max_turns, "cwd", header.cwd, _EVENTS, header.event_count]
    if header.system_message is not None:
        found += ["system_message", header.system_message]
    for name, count in header.usage.items():
        found += [_USAGE + name, count]
    found += _maps(header)
    if header.extra or header.state_extra or header.usage_extra:
        found += ["extra", msgspec.json.encode(_Extra(header.extra, header.state_extra, header.usage_extra))]
    return found


def counters_of(change: Change) -> list[Counter]:
    """Return the counters that a change increments, and the increments."""
    found = [(_USAGE + name, count) for name, count in change.usage.items()]
    return [*found, (_EVENTS, change.events)] if change.events else found


def merged_of(change: Change) -> list[Arg]:
    """Return names and values of the other fields that a change sets."""
    return [*([] if change.cwd is None else ["cwd", change.cwd]), *_maps(change)]


def removed_of(change: Change) -> list[Arg]:
    """Return the names of the fields that a change removes."""
    custom = [_CUSTOM + name for name in change.remove_custom]
    return [*custom, *(_METADATA + name for name in change.remove_metadata)]


def read_counter(name: str, count: int) -> Header:
    """Return a header with one counter, by the name of its field."""
    return Header(event_count=count) if name == _EVENTS else Header(usage={name.removeprefix(_USAGE): count})


def read_fields(fields: Sequence[bytes], conversation_id: str) -> Header:
    """Return the header for names and values of fields; unknown fields are left out.

    Raises:
        CorruptSessionError: A field is missing, or has a value that cannot be read.
    """
    try:
        found = dict(zip(map(_text, fields[::2]), fields[1::2], strict=True))
        extra = _EXTRA.decode(found.get("extra", b"{}"))
        said = found.get("system_message")
        header = Header(
            birth=_text(found.get("birth", b"")),
            created_at=int(found["created_at"]),
            updated_at=int(found["updated_at"]),
            schema_version=int(found["schema_version"]),
            model=_text(found["model"]),
            max_turns=_count(found["max_turns"], MAX_TURNS),
            system_message=None if said is None else _text(said),
            metadata={name: _text(value) for name, value in _fields_with(found, _METADATA).items()},
            cwd=_text(found["cwd"]),
            usage={name: _count(value) for name, value in _fields_with(found, _USAGE).items() if name in COUNTERS},
            event_count=_count(found[_EVENTS]),
            custom={name: Raw(value) for name, value in _fields_with(found, _CUSTOM).items()},
            extra=extra.extra,
            state_extra=extra.state,
            usage_extra=extra.usage,
        )
    except (KeyError, ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise corrupt(conversation_id) from error
    return header


def _maps(source: Header | Change) -> list[Arg]:
    found: list[Arg] = []
    for name, text in source.metadata.items():
        found += [_METADATA + name, text]
    for name, json in source.custom.items():
        found += [_CUSTOM + name, bytes(json)]
    return found


def _fields_with(found: dict[str, bytes], prefix: str) -> dict[str, bytes]:
    return {name[len(prefix) :]: value for name, value in found.items() if name.startswith(prefix)}


def _text(value: bytes) -> str:
    return value.decode()


def _count(value: bytes, most: int = MAX_COUNT) -> int:
    count = int(value) if value.isdigit() else -1
    if not 0 <= count <= most:
        raise ValueError("this is no counter")
    return count
