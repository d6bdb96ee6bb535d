"""Messages of a conversation, unless its owner has a message type of their own.

Structs are frozen. A field or a block that we do not know is kept: in `extra`, or as an
`OtherBlock`.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, Self, TypeAlias, get_args

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import force_setattr

from greentic_session._hiding import Hiding, outline
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
"""Who speaks; a signal comes from the runtime itself."""

_ROLES: Final = frozenset(get_args(Role))
# Never a field of its own on the wire: what is in it is written beside the other fields. msgspec
# cannot do that, so the sight of an Extra stops its encoder and its decoder both, and the slower
# way below is taken.
_OFF_THE_WIRE: Final = "*"


class _Extensible(Hiding, Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that may have more fields than we know.

    Attributes:
        extra: Fields that we do not know, kept as they came; UNSET where there are none.
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
        extra: Fields that we do not know.
    """

    text: str

    def __post_init__(self) -> None:
        _check_texts(self, "text")
        super().__post_init__()


class ImageBlock(_Extensible, frozen=True, tag_field="type", tag="image"):
    """An image.

    Attributes:
        media_type: For one, ``"image/png"``.
        data: The bytes in base64, as models take and give them. Not checked.
        extra: Fields that we do not know.
    """

    media_type: str
    data: str

    def __post_init__(self) -> None:
        _check_texts(self, "media_type", "data")
        super().__post_init__()


class ToolUseBlock(_Extensible, frozen=True, tag_field="type", tag="tool_use"):
    """The model wants a tool to be called.

    Attributes:
        id: What the result will refer to.
        name: The tool.
        input: Its arguments: any JSON, usually an object.
        extra: Fields that we do not know.
    """

    id: str
    name: str
    input: Any

    def __post_init__(self) -> None:
        _check_texts(self, "id", "name")
        super().__post_init__()


class ToolResultBlock(_Extensible, frozen=True, tag_field="type", tag="tool_result"):
    """What a tool gave.

    Attributes:
        tool_use_id: The `ToolUseBlock.id` that it answers.
        content: Any JSON; often a text, or a list of blocks as they stand in JSON.
        is_error: Whether the tool failed.
        extra: Fields that we do not know.
    """

    tool_use_id: str
    content: Any
    is_error: bool = False

    def __post_init__(self) -> None:
        _check_texts(self, "tool_use_id")
        check_bool("is_error", self.is_error)
        super().__post_init__()


class ThinkingBlock(_Extensible, frozen=True, tag_field="type", tag="thinking"):
    """What the model thought before it spoke.

    Attributes:
        thinking: The thought.
        signature: By which the model's maker knows it again.
        extra: Fields that we do not know.
    """

    thinking: str
    signature: str = ""

    def __post_init__(self) -> None:
        _check_texts(self, "thinking", "signature")
        super().__post_init__()


class OtherBlock(Hiding, Struct, frozen=True, tag_field="type", tag=_OFF_THE_WIRE):
    """A block of a type that we do not know, kept as it came.

    Attributes:
        fields: The whole of it, ``type`` included.

    Raises:
        InvalidInputError: A block of this type has a class of its own.
        TypeError: It is no mapping of text to anything.

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
        role: Who speaks.
        content: What is said, as a tuple of blocks; any iterable of them may be given.
        extra: Fields that we do not know.

    Raises:
        InvalidInputError: The role is none.
        TypeError: A field has a wrong type.

    >>> message = Message("assistant", [TextBlock("Let me see."), ToolUseBlock("u1", "look_up", {"parcel": 7})])
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
            if type(block) not in _BLOCKS:  # also a subclass: how it would be written is not known
                raise TypeError(f"content must consist of blocks, not {type(block).__name__}")
        super().__post_init__()

    def __repr__(self) -> str:
        # Without what was said. And of anything: an error tracker may ask while it is checked.
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
        """The text in it: that of its text blocks, one after the other."""
        return "".join(block.text for block in self.content if type(block) is TextBlock)


class _HasExtra(Exception):  # noqa: N818  # no failure: a turn of the road
    """An object has fields that msgspec cannot write where they belong."""


def _hook(value: Any) -> Any:
    if type(value) is Extra:
        raise _HasExtra
    return codec.write_plain(value)


_ENCODER: Final = msgspec.json.Encoder(enc_hook=_hook)
_DECODER: Final = msgspec.json.Decoder(Message)


def write_message(message: Message) -> bytes:
    """Return a message as JSON.

    Raises:
        InvalidInputError: A text in it holds a lone surrogate, or something in it cannot be written
            as JSON.
        TypeError: It holds an object of a type that msgspec does not write.
    """
    try:
        encode = codec.encode if is_plain_text(message) else codec.encode_alike
        return encode(_ENCODER, message, "message")
    except _HasExtra:
        pass
    unfolded = _to_fields(message) | {"content": [_to_fields(block) for block in message.content]}
    return codec.encode_alike(codec.SNAPSHOT_ENCODER, unfolded, "message")


def is_plain_text(message: Message) -> bool:
    """Say whether a message is of texts only, with no field that we do not know.

    Then what is written reads back.
    """
    return not message.extra and all(type(block) is TextBlock and not block.extra for block in message.content)


def read_message(text: bytes) -> Message:
    """Return the message that a JSON text is.

    Raises:
        InvalidInputError: It is none.
        TypeError: A field has a wrong type.
        msgspec.DecodeError: The same, or it is no JSON.
    """
    try:
        return _DECODER.decode(text)
    except msgspec.ValidationError:
        pass
    return message_from_json(msgspec.json.decode(text))


def message_from_json(value: Any) -> Message:
    """Return the message that a value of plain JSON is.

    Raises:
        InvalidInputError: It is none.
        TypeError: A field has a wrong type.
        msgspec.ValidationError: The same.
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
    extra = getattr(value, "extra")  # noqa: B009  # every other one is an _Extensible
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
    """Return the names that fields on the wire have in this version."""
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
