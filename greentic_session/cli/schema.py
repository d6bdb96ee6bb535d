"""``schema``: the wire types as JSON Schema, for programs in other languages."""

import argparse
import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from greentic_session.conversation import Conversation, Message
from greentic_session.conversation.blocks import FORM, REQUIRED, Block, OtherBlock
from greentic_session.conversation.extra import Extra
from greentic_session.conversation.rules import MAX_ID_CHARACTERS
from greentic_session.ids import MAX_SESSION_KEY_BYTES
from greentic_session.models import Impersonation, InvocationDeadline, ReplyScope, SessionCursor, SessionData, TenantCtx

from .command import Command, Exit
from .console import Console

__all__ = ["SCHEMA", "wire_schema"]

_Schema = dict[str, Any]

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_TYPES: Final[Sequence[Any]] = (
    *(SessionData, TenantCtx, SessionCursor, ReplyScope, InvocationDeadline, Impersonation),
    *(Conversation[Message], Message),
)
_ENVELOPE: Final = "Conversation_Message_"
"""What msgspec calls a conversation of messages."""
_ID: Final[Mapping[str, Any]] = {"type": "string", "pattern": "^[A-Za-z0-9._-]+$"}
_IDS: Final[Mapping[str, Mapping[str, str]]] = {
    "TenantCtx": {
        "env": "EnvId",
        **dict.fromkeys(("tenant", "tenant_id"), "TenantId"),
        **dict.fromkeys(("team", "team_id"), "TeamId"),
        **dict.fromkeys(("user", "user_id"), "UserId"),
    },
    "SessionData": {"flow_id": "FlowId", "pack_id": "PackId"},
    "Impersonation": {"actor_id": "UserId"},
}
"""The fields that hold an identifier: of which kind."""
_NOT_WRITTEN: Final = {"*", FORM, "extra", "_revision"}
"""Fields that are no fields on the wire."""
_U32: Final[Mapping[str, Any]] = {"type": "integer", "minimum": 0, "maximum": 2**32 - 1}


def wire_schema() -> _Schema:
    """Return the JSON Schema (2020-12) of all wire types, each at ``#/$defs`` under its name."""
    _, components = msgspec.json.schema_components(_TYPES, schema_hook=_hook, ref_template="#/$defs/{name}")
    found = cast("dict[str, _Schema]", _renamed(components))
    for schema in found.values():
        _clean(schema)
    for name, fields in _IDS.items():
        _set_ids(found[name], fields)
    found["TenantCtx"]["properties"]["attempt"] = dict(_U32)
    content = found["Message"]["properties"]["content"]
    found["Message"]["properties"]["content"] = {"anyOf": [content, {"type": "string"}, {"type": "null"}]}
    found["OtherBlock"] = _other_block(found["OtherBlock"])
    _complete_envelope(found["Conversation"])
    del found["Revision"]  # what a store remembers
    kinds = sorted({kind for fields in _IDS.values() for kind in fields.values()})
    ids = {kind: {"title": kind, **_ID} for kind in kinds}
    key = {
        "title": "SessionKey",
        "description": f"Opaque; at most {MAX_SESSION_KEY_BYTES} bytes of UTF-8.",
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_SESSION_KEY_BYTES,
    }
    title = "The wire types of greentic_session"
    return {"$schema": _DIALECT, "title": title, "$defs": dict(sorted({**found, **ids, "SessionKey": key}.items()))}


def _hook(kind: type) -> _Schema:
    return {"type": "object"} if kind is Extra else {"type": "string"}  # or how a message writes its content


def _renamed(value: Any) -> Any:
    """Call the envelope by its own name, wherever it is named."""
    if isinstance(value, dict):
        return {_renamed(name): _renamed(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_renamed(part) for part in value]
    return value.replace(_ENVELOPE, "Conversation") if isinstance(value, str) else value


def _clean(value: Any) -> None:
    """Take away what is not on the wire, and what is no JSON Schema.

    Fields that we do not know are always allowed.
    """
    if isinstance(value, list):
        for part in value:
            _clean(part)
    if not isinstance(value, dict):
        return
    value.pop("discriminator", None)
    if value.get("additionalProperties") is False:
        del value["additionalProperties"]
    if isinstance(value.get("description"), str):
        # The first paragraph: what follows tells of Python.
        value["description"] = " ".join(inspect.cleandoc(value["description"]).split("\n\n")[0].split())
    properties = value.get("properties")
    if isinstance(properties, dict):
        for name in _NOT_WRITTEN & properties.keys():
            del properties[name]
    for part in value.values():
        _clean(part)


def _set_ids(schema: _Schema, fields: Mapping[str, str]) -> None:
    for name, kind in fields.items():
        reference = {"$ref": f"#/$defs/{kind}"}
        optional = name not in schema["required"]
        schema["properties"][name] = {"anyOf": [reference, {"type": "null"}], "default": None} if optional else reference


def _other_block(schema: _Schema) -> _Schema:
    known = [_tag(block) for block in Block.__args__ if block is not OtherBlock]
    another_form = [
        {"properties": {"type": {"const": kind}}, "not": {"required": sorted(fields)}} for kind, fields in REQUIRED.items()
    ]
    return {
        "title": schema["title"],
        "description": schema["description"],
        "type": "object",
        "properties": {"type": {"type": "string"}},
        "required": ["type"],
        "anyOf": [{"properties": {"type": {"not": {"enum": known}}}}, *another_form],
    }


def _tag(block: type[msgspec.Struct]) -> str:
    return str(block.__struct_config__.tag)


def _complete_envelope(schema: _Schema) -> None:
    schema["title"] = "Conversation"
    properties: _Schema = schema["properties"]
    properties["id"] |= {"minLength": 1, "maxLength": MAX_ID_CHARACTERS}
    properties["birth"] = {"description": "A token of this writing of it.", "type": "string", "default": ""}
    for name in ("created_at", "updated_at"):
        properties[name]["format"] = "date-time"


def _configure(_: argparse.ArgumentParser) -> None:
    pass


def _run(_: argparse.Namespace, console: Console) -> int:
    console.json(wire_schema())
    return Exit.FINE


SCHEMA: Final = Command("schema", "write the JSON Schema of the wire types", _configure, _run)
"""See its help."""
