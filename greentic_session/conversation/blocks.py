"""The blocks of the content of a message.

All of them are frozen. Unknown fields are kept in `extra`, unknown blocks as `OtherBlock`.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final, TypeAlias, get_args

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import force_setattr

from greentic_session._base.hiding import Hiding, outline
from greentic_session._json.fields import check_bool, check_object, check_text, make_plain
from greentic_session.conversation.extra import Extra
from greentic_session.errors import InvalidInputError

__all__ = [
    "BLOCKS",
    "FORM",
    "REQUIRED",
    "Block",
    "Extensible",
    "ImageBlock",
    "OtherBlock",
    "TextBlock",
    "ThinkingBlock",
    "ToolResultBlock",
    "ToolUseBlock",
    "block_from_json",
    "text_of",
    "to_fields",
]

# The field is never on the wire: its content is written beside the other fields. msgspec cannot do
# that: its encoder and decoder fail for an Extra, and then slower functions below are used.
_OFF_THE_WIRE: Final = "*"
FORM: Final = "**"
"""The same for how a message writes its content."""


class Extensible(Hiding, Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of structs that may have unknown fields.

    Attributes:
        extra: Unknown fields, unchanged; UNSET without any.
    """

    extra: Extra | UnsetType = msgspec.field(default=UNSET, name=_OFF_THE_WIRE)
    _texts: ClassVar[tuple[str, ...]] = ()
    """The fields that are checked to be texts, first of all."""

    def __post_init__(self) -> None:
        _check_texts(self, *self._texts)
        if self.extra is UNSET:
            return
        if not isinstance(self.extra, Mapping):
            raise TypeError(f"extra must be a mapping, not {type(self.extra).__name__}")
        if not all(isinstance(name, str) for name in self.extra):
            raise TypeError("the names in extra must be str")
        if any(name in self.extra for name in _names(type(self))):
            raise InvalidInputError("extra holds a field that has a name of its own")
        force_setattr(self, "extra", Extra(self.extra) if self.extra else UNSET)

    def __repr__(self) -> str:
        names = [name for name in self.__struct_fields__ if name != "extra"]
        return outline(self, *names, *(["extra"] if getattr(self, "extra", UNSET) is not UNSET else []))


class TextBlock(Extensible, frozen=True, tag_field="type", tag="text"):
    """Text.

    Attributes:
        text: The text.
        extra: Unknown fields.
    """

    text: str
    _texts: ClassVar[tuple[str, ...]] = ("text",)


class ImageBlock(Extensible, frozen=True, tag_field="type", tag="image"):
    """An image.

    Attributes:
        media_type: The media type, as ``"image/png"``.
        data: The bytes in base64, as models use them. Not checked.
        extra: Unknown fields.
    """

    media_type: str
    data: str
    _texts: ClassVar[tuple[str, ...]] = ("media_type", "data")


class ToolUseBlock(Extensible, frozen=True, tag_field="type", tag="tool_use"):
    """Call of a tool, requested by the model.

    Attributes:
        id: The id to which the result refers.
        name: The name of the tool.
        input: The arguments: any JSON, usually an object.
        extra: Unknown fields.
    """

    id: str
    name: str
    input: Any
    _texts: ClassVar[tuple[str, ...]] = ("id", "name")


class ToolResultBlock(Extensible, frozen=True, tag_field="type", tag="tool_result"):
    """Result of a call of a tool.

    Attributes:
        tool_use_id: The `ToolUseBlock.id` of the call.
        content: Any JSON; often a text, or a list of blocks in JSON. UNSET without any.
        is_error: Whether the tool failed; UNSET, which counts as false, if nobody said so.
        extra: Unknown fields.
    """

    tool_use_id: str
    content: Any = UNSET
    is_error: bool | UnsetType = UNSET

    def __post_init__(self) -> None:
        _check_texts(self, "tool_use_id")
        if self.is_error is not UNSET:
            check_bool("is_error", self.is_error)
        super().__post_init__()


class ThinkingBlock(Extensible, frozen=True, tag_field="type", tag="thinking"):
    """Reasoning of the model before its answer.

    Attributes:
        thinking: The text of the reasoning.
        signature: The signature with which the provider of the model verifies the text; UNSET,
            which counts as false, without one.
        extra: Unknown fields.
    """

    thinking: str
    signature: str | UnsetType = UNSET

    def __post_init__(self) -> None:
        _check_texts(self, "thinking")
        if self.signature is not UNSET:
            _check_texts(self, "signature")
        super().__post_init__()


class OtherBlock(Hiding, Struct, frozen=True, tag_field="type", tag=_OFF_THE_WIRE):
    """Block of an unknown type, or a known type in another program's form, unchanged.

    Attributes:
        fields: All fields, ``type`` included.

    Raises:
        InvalidInputError: The block has its own class.
        TypeError: `fields` is no mapping with texts as names.

    >>> OtherBlock({"type": "citation", "page": 7}).fields["page"]
    7
    """

    fields: Extra

    def __post_init__(self) -> None:
        if not isinstance(self.fields, Mapping):
            raise TypeError(f"fields must be a mapping, not {type(self.fields).__name__}")
        if not all(isinstance(name, str) for name in self.fields):
            raise TypeError("the names in fields must be str")
        if _class_of(self.fields) is not None:
            raise InvalidInputError("a block of this type has a class of its own")
        force_setattr(self, "fields", Extra(self.fields))

    def __repr__(self) -> str:
        return outline(self, "fields")


Block: TypeAlias = TextBlock | ImageBlock | ToolUseBlock | ToolResultBlock | ThinkingBlock | OtherBlock
"""A part of a message."""

_KNOWN: Final[dict[str, type[Struct]]] = {
    "text": TextBlock,
    "image": ImageBlock,
    "tool_use": ToolUseBlock,
    "tool_result": ToolResultBlock,
    "thinking": ThinkingBlock,
}
BLOCKS: Final = frozenset(get_args(Block))
"""The classes of blocks."""
REQUIRED: Final[dict[str, frozenset[str]]] = {
    "text": frozenset(["text"]),
    "image": frozenset(["media_type", "data"]),
    "tool_use": frozenset(["id", "name", "input"]),
    "tool_result": frozenset(["tool_use_id"]),
    "thinking": frozenset(["thinking"]),
}
"""By type: the fields without which a block has no class."""
_TEXTS: Final = frozenset(["input_text", "output_text"])
"""Types of OpenAI's blocks with a text."""


def to_fields(value: Struct) -> dict[str, Any]:
    """Return the fields of a message or a block, without those that are not written."""
    if isinstance(value, OtherBlock):
        return dict(value.fields)
    tag = value.__struct_config__.tag
    fields: dict[str, Any] = {} if tag is None else {"type": tag}
    known = {name: getattr(value, name) for name in value.__struct_fields__ if name not in ("extra", "_form")}
    fields |= {name: part for name, part in known.items() if part is not UNSET}
    extra = getattr(value, "extra")  # noqa: B009  # all others are Extensible
    return fields if extra is UNSET else {**fields, **extra}


def block_from_json(value: Any) -> Block:
    """Return the block of a decoded JSON value.

    Raises:
        InvalidInputError: The value is no block.
        TypeError: A field has a wrong type.
        msgspec.ValidationError: A field has a wrong type.
    """
    check_object("a block", value)
    block_type = _class_of(value)
    if block_type is None:
        return OtherBlock(Extra(value))
    names = _names(block_type)
    block: Any = msgspec.convert({name: part for name, part in value.items() if name in names}, block_type)
    extra = {name: part for name, part in value.items() if name not in names}
    if extra:
        force_setattr(block, "extra", Extra(extra))
    folded: Block = block
    return folded


def text_of(block: Block) -> str | None:
    """Return the text of a block that is one."""
    if type(block) is TextBlock:
        return block.text
    if type(block) is OtherBlock and block.fields.get("type") in _TEXTS:
        text = block.fields.get("text")
        return text if isinstance(text, str) else None
    return None


def _class_of(fields: Mapping[str, Any]) -> type[Struct] | None:
    """Return the class of a block; None for a block of another type, or in another form."""
    kind = fields.get("type")
    if not isinstance(kind, str) or kind not in _KNOWN:
        return None
    if REQUIRED[kind] <= fields.keys() or fields.keys() <= _names(_KNOWN[kind]):
        return _KNOWN[kind]
    return None


def _names(open_type: type[Struct]) -> set[str]:
    """Return the names of the known fields on the wire."""
    names = set(open_type.__struct_encode_fields__) - {_OFF_THE_WIRE, FORM}
    return names if open_type.__struct_config__.tag is None else names | {"type"}


def _check_texts(block: Struct, *fields: str) -> None:
    for field in fields:
        if type(getattr(block, field)) is not str:
            check_text(field, getattr(block, field), optional=False)
            make_plain(block, field)
