"""`Message`, the default type of messages, and the blocks of its content.

All of them are frozen. Unknown fields are kept in `extra`, unknown blocks as `OtherBlock`.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, Self, TypeAlias, get_args

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import force_setattr

from greentic_session._base.hiding import Hiding, outline
from greentic_session._json import codec
from greentic_session._json.fields import check_bool, check_text, make_plain
from greentic_session.conversation.extra import Extra
from greentic_session.errors import InvalidInputError

__all__ = [
    "Block",
    "ImageBlock",
    "Message",
    "OtherBlock",
    "Role",
    "TextBlock",
    "ThinkingBlock",
    "ToolResultBlock",
    "ToolUseBlock",
    "is_plain_text",
    "message_from_json",
    "read_message",
    "write_message",
]

Role: TypeAlias = Literal["system", "user", "assistant", "tool", "signal"]
"""Author of a message; a signal comes from the runtime itself."""

_ROLES: Final = frozenset(get_args(Role))
# The field is never on the wire: its content is written beside the other fields. msgspec cannot do
# that: its encoder and decoder fail for an Extra, and then slower functions below are used.
_OFF_THE_WIRE: Final = "*"


class _Extensible(Hiding, Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of structs that may have unknown fields.

    Attributes:
        extra: Unknown fields, unchanged; UNSET without any.
    """

    extra: Extra | UnsetType = msgspec.field(default=UNSET, name=_OFF_THE_WIRE)

    def __post_init__(self) -> None:
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


class TextBlock(_Extensible, frozen=True, tag_field="type", tag="text"):
    """Text.

    Attributes:
        text: The text.
        extra: Unknown fields.
    """

    text: str

    def __post_init__(self) -> None:
        _check_texts(self, "text")
        super().__post_init__()


class ImageBlock(_Extensible, frozen=True, tag_field="type", tag="image"):
    """An image.

    Attributes:
        media_type: The media type, as ``"image/png"``.
        data: The bytes in base64, as models use them. Not checked.
        extra: Unknown fields.
    """

    media_type: str
    data: str

    def __post_init__(self) -> None:
        _check_texts(self, "media_type", "data")
        super().__post_init__()


class ToolUseBlock(_Extensible, frozen=True, tag_field="type", tag="tool_use"):
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

    def __post_init__(self) -> None:
        _check_texts(self, "id", "name")
        super().__post_init__()


class ToolResultBlock(_Extensible, frozen=True, tag_field="type", tag="tool_result"):
    """Result of a call of a tool.

    Attributes:
        tool_use_id: The `ToolUseBlock.id` of the call.
        content: Any JSON; often a text, or a list of blocks in JSON.
        is_error: Whether the tool failed.
        extra: Unknown fields.
    """

    tool_use_id: str
    content: Any
    is_error: bool = False

    def __post_init__(self) -> None:
        _check_texts(self, "tool_use_id")
        check_bool("is_error", self.is_error)
        super().__post_init__()


class ThinkingBlock(_Extensible, frozen=True, tag_field="type", tag="thinking"):
    """Reasoning of the model before its answer.

    Attributes:
        thinking: The text of the reasoning.
        signature: The signature with which the provider of the model verifies the text.
        extra: Unknown fields.
    """

    thinking: str
    signature: str = ""

    def __post_init__(self) -> None:
        _check_texts(self, "thinking", "signature")
        super().__post_init__()


class OtherBlock(Hiding, Struct, frozen=True, tag_field="type", tag=_OFF_THE_WIRE):
    """Block of an unknown type, unchanged.

    Attributes:
        fields: All fields, ``type`` included.

    Raises:
        InvalidInputError: The type is known and has its own class.
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
        kind = self.fields.get("type")
        if isinstance(kind, str) and kind in _KNOWN:
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
_BLOCKS: Final = frozenset(get_args(Block))


class Message(_Extensible, frozen=True):
    """One message of a conversation.

    Attributes:
        role: The author.
        content: The content, a tuple of blocks; any iterable of blocks may be given.
        extra: Unknown fields.

    Raises:
        InvalidInputError: The role is unknown.
        TypeError: A field has a wrong type.

    >>> use = ToolUseBlock("u1", "look_up", {"parcel": 7})
    >>> message = Message("assistant", [TextBlock("Let me see."), use])
    >>> (message.text, message.content[1].input)
    ('Let me see.', {'parcel': 7})
    >>> Message("tool", [ToolResultBlock("u1", "lost")]).content[0].is_error
    False
    """

    role: Role
    content: tuple[Block, ...] = ()

    def __post_init__(self) -> None:
        if self.role not in _ROLES:
            check_text("role", self.role, optional=False)
            raise InvalidInputError("role must be one of 'system', 'user', 'assistant', 'tool' and 'signal'")
        make_plain(self, "role")
        if type(self.content) is not tuple:
            force_setattr(self, "content", _as_tuple(self.content))
        for block in self.content:
            if type(block) not in _BLOCKS:  # a subclass is refused, too: its fields are unknown
                raise TypeError(f"content must consist of blocks, not {type(block).__name__}")
        super().__post_init__()

    def __repr__(self) -> str:
        # No content. Attributes may have any type: an error tracker may ask during their checks.
        role, content = getattr(self, "role", None), getattr(self, "content", ())
        kinds = [type(block).__name__ for block in content] if isinstance(content, tuple) else type(content).__name__
        return f"Message(role={role if role in _ROLES else None!r}, content=<{kinds}>)"

    @classmethod
    def user(cls, text: str) -> Self:
        """Return a message of the user.

        >>> Message.user("hello").text
        'hello'
        """
        return cls("user", (TextBlock(text),))

    @classmethod
    def assistant(cls, text: str) -> Self:
        """Return a message of the model.

        >>> Message.assistant("hello").role
        'assistant'
        """
        return cls("assistant", (TextBlock(text),))

    @classmethod
    def system(cls, text: str) -> Self:
        """Return an instruction to the model."""
        return cls("system", (TextBlock(text),))

    @property
    def text(self) -> str:
        """The joined text of the text blocks."""
        return "".join(block.text for block in self.content if type(block) is TextBlock)


class _HasExtra(Exception):  # noqa: N818  # not an error
    """Raised for unknown fields, which msgspec cannot write beside known ones."""


def _hook(value: Any) -> Any:
    if type(value) is Extra:
        raise _HasExtra
    return codec.write_plain(value)


_ENCODER: Final = msgspec.json.Encoder(enc_hook=_hook)
_DECODER: Final = msgspec.json.Decoder(Message)


def write_message(message: Message) -> bytes:
    """Return a message as JSON.

    Raises:
        InvalidInputError: A text holds a lone surrogate, or a value cannot be written as JSON.
        TypeError: A value has a type that msgspec does not write.
    """
    try:
        encode = codec.encode if is_plain_text(message) else codec.encode_alike
        return encode(_ENCODER, message, "message")
    except _HasExtra:
        pass
    unfolded = _to_fields(message) | {"content": [_to_fields(block) for block in message.content]}
    return codec.encode_alike(codec.SNAPSHOT_ENCODER, unfolded, "message")


def is_plain_text(message: Message) -> bool:
    """Return whether a message has text blocks only, and no unknown fields.

    The JSON of such a message always reads back.
    """
    return not message.extra and all(type(block) is TextBlock and not block.extra for block in message.content)


def read_message(text: bytes) -> Message:
    """Return the message of a JSON text.

    Raises:
        InvalidInputError: The text is no message.
        TypeError: A field has a wrong type.
        msgspec.DecodeError: A field has a wrong type, or the text is no JSON.
    """
    try:
        return _DECODER.decode(text)
    except msgspec.ValidationError:
        pass
    return message_from_json(msgspec.json.decode(text))


def message_from_json(value: Any) -> Message:
    """Return the message of a decoded JSON value.

    Raises:
        InvalidInputError: The value is no message.
        TypeError: A field has a wrong type.
        msgspec.ValidationError: A field has a wrong type.
    """
    if not isinstance(value, dict):
        raise InvalidInputError("a message must be an object")
    content = value.get("content", [])
    if not isinstance(content, list):
        raise InvalidInputError("the content of a message must be a list")
    role: Any = value.get("role")
    extra = {name: part for name, part in value.items() if name not in ("role", "content")}
    return Message(role, tuple(_block_from_json(block) for block in content), extra=Extra(extra))


def _to_fields(value: Struct) -> dict[str, Any]:
    if isinstance(value, OtherBlock):
        return dict(value.fields)
    tag = value.__struct_config__.tag
    fields: dict[str, Any] = {} if tag is None else {"type": tag}
    fields |= {name: getattr(value, name) for name in value.__struct_fields__ if name != "extra"}
    extra = getattr(value, "extra")  # noqa: B009  # all others are _Extensible
    return fields if extra is UNSET else {**fields, **extra}


def _block_from_json(value: Any) -> Block:
    if not isinstance(value, dict):
        raise InvalidInputError("a block must be an object")
    kind = value.get("type")
    block_type = _KNOWN.get(kind) if isinstance(kind, str) else None
    if block_type is None:
        return OtherBlock(Extra(value))
    names = _names(block_type)
    block: Any = msgspec.convert({name: part for name, part in value.items() if name in names}, block_type)
    extra = {name: part for name, part in value.items() if name not in names}
    if extra:
        force_setattr(block, "extra", Extra(extra))
    folded: Block = block
    return folded


def _names(open_type: type[Struct]) -> set[str]:
    """Return the names of the known fields on the wire."""
    names = set(open_type.__struct_encode_fields__) - {_OFF_THE_WIRE}
    return names if open_type.__struct_config__.tag is None else names | {"type"}


def _check_texts(block: Struct, *fields: str) -> None:
    for field in fields:
        if type(getattr(block, field)) is not str:
            check_text(field, getattr(block, field), optional=False)
            make_plain(block, field)


def _as_tuple(content: object) -> tuple[Any, ...]:
    if isinstance(content, str) or not isinstance(content, Iterable):
        raise TypeError(f"content must be a tuple of blocks, not {type(content).__name__}")
    return tuple(content)
