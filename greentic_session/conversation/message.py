"""`Message`, the default type of messages, and its JSON.

A message is frozen. Unknown fields are kept in `extra`.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, Self, TypeAlias, get_args

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import force_setattr

from greentic_session._json import codec
from greentic_session._json.fields import check_object, check_text, make_plain
from greentic_session.conversation.blocks import (
    BLOCKS,
    FORM,
    Block,
    Extensible,
    TextBlock,
    block_from_json,
    text_of,
    to_fields,
)
from greentic_session.conversation.extra import Extra
from greentic_session.errors import InvalidInputError

__all__ = ["UNREADABLE", "Message", "Role", "is_plain_text", "message_from_json", "read_message", "write_message"]

Role: TypeAlias = Literal["system", "user", "assistant", "tool", "signal", "developer", "model", "function"]
"""Author of a message; a signal comes from the runtime itself, the last three are of providers."""

_ROLES: Final = frozenset(get_args(Role))


class _Form:
    """Form of the content of a message that is not written as a list of blocks."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Form) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)


_TEXT: Final = _Form("text")
_NULL: Final = _Form("null")
_ABSENT: Final = _Form("absent")


class Message(Extensible, frozen=True):
    """One message of a conversation.

    It holds the messages of Anthropic and OpenAI's chat, and any other JSON object with a role:
    `from_dict` and `to_dict`, `from_json` and `to_json` change nothing.

    Attributes:
        role: The author.
        content: The content, a tuple of blocks; any iterable of blocks may be given. A message
            whose JSON has a text there has one text block, and is written as it was.
        extra: Unknown fields.

    Raises:
        InvalidInputError: The role is unknown.
        TypeError: A field has a wrong type.

    >>> from greentic_session.conversation import ToolResultBlock, ToolUseBlock
    >>> use = ToolUseBlock("u1", "look_up", {"parcel": 7})
    >>> message = Message("assistant", [TextBlock("Let me see."), use])
    >>> (message.text, message.content[1].input)
    ('Let me see.', {'parcel': 7})
    >>> bool(Message("tool", [ToolResultBlock("u1", "lost")]).content[0].is_error)
    False
    """

    role: Role
    content: tuple[Block, ...] = ()
    _form: _Form | UnsetType = msgspec.field(default=UNSET, name=FORM)

    def __post_init__(self) -> None:
        if self.role not in _ROLES:
            check_text("role", self.role, optional=False)
            raise InvalidInputError("role must be one of 'system', 'user', 'assistant', 'tool' and 'signal'")
        make_plain(self, "role")
        if type(self.content) is not tuple:
            force_setattr(self, "content", _as_tuple(self.content))
        for block in self.content:
            if type(block) not in BLOCKS:  # a subclass is refused, too: its fields are unknown
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

    @classmethod
    def from_json(cls, text: str | bytes) -> "Message":
        """Return the message of a JSON text, ours or that of a model's provider.

        Raises:
            InvalidInputError: The text is no message. The error quotes nothing of it.
            TypeError: `text` is neither str nor bytes.

        >>> Message.from_json('{"role": "user", "content": "hello"}').text
        'hello'
        """
        raw = codec.as_bytes(text, "message")
        try:
            return read_message(raw)
        except UNREADABLE as error:
            raise InvalidInputError("the text is no message") from error

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Message":
        """Return the message of a JSON object, as `json.loads` or a provider's library gives it.

        Raises:
            InvalidInputError: The object is no message. The error quotes nothing of it.
            TypeError: `fields` is no mapping, or cannot be written as JSON.

        >>> Message.from_dict({"role": "user", "content": "hello"}).to_dict()
        {'role': 'user', 'content': 'hello'}
        """
        if not isinstance(fields, Mapping):
            raise TypeError(f"fields must be a mapping, not {type(fields).__name__}")
        return cls.from_json(codec.encode_alike(codec.SNAPSHOT_ENCODER, dict(fields), "message"))

    def to_json(self) -> bytes:
        """Return the message as JSON: UTF-8, on one line.

        Raises:
            InvalidInputError: A text holds a lone surrogate, or a value cannot be written as JSON.
            TypeError: A value has a type that msgspec does not write.
        """
        return write_message(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the message as a JSON object, for a provider's library; errors as by `to_json`."""
        fields: dict[str, Any] = msgspec.json.decode(write_message(self))
        return fields

    @property
    def text(self) -> str:
        """The joined text of the text blocks."""
        return "".join(filter(None, map(text_of, self.content)))


UNREADABLE: Final = (msgspec.MsgspecError, InvalidInputError, UnicodeError, RecursionError, TypeError)
"""Errors of a text that is no message."""


class _HasExtra(Exception):  # noqa: N818  # not an error
    """Raised for unknown fields, which msgspec cannot write beside known ones."""


def _hook(value: Any) -> Any:
    if type(value) in (Extra, _Form):
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
    fields = to_fields(message)
    unfolded: dict[str, Any] = {}
    for name, value in fields.items():
        if name != "content":
            unfolded[name] = value
        elif message._form == _TEXT:  # noqa: SLF001  # of this module
            unfolded[name] = message.text
        elif message._form == _NULL:  # noqa: SLF001
            unfolded[name] = None
        elif message._form != _ABSENT:  # noqa: SLF001
            unfolded[name] = [to_fields(block) for block in message.content]
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
        message = _DECODER.decode(text)
    except msgspec.ValidationError:
        pass
    else:
        if message.content or b'"content"' in text:
            return message
    return message_from_json(msgspec.json.decode(text))


def message_from_json(value: Any) -> Message:
    """Return the message of a decoded JSON value.

    Raises:
        InvalidInputError: The value is no message, or a part of its content is no block.
        TypeError, msgspec.ValidationError: A field has a wrong type.
    """
    check_object("a message", value)
    role: Any = value.get("role")
    extra = Extra({name: part for name, part in value.items() if name not in ("role", "content")})
    if "content" not in value:
        return Message(role, (), _ABSENT, extra=extra)
    content = value["content"]
    if content is None:
        return Message(role, (), _NULL, extra=extra)
    if isinstance(content, str):
        return Message(role, (TextBlock(content),), _TEXT, extra=extra)
    if not isinstance(content, list):
        raise InvalidInputError("the content of a message must be a list, a text, or null")
    return Message(role, tuple(block_from_json(block) for block in content), extra=extra)


def _as_tuple(content: object) -> tuple[Any, ...]:
    if isinstance(content, str) or not isinstance(content, Iterable):
        raise TypeError(f"content must be a tuple of blocks, not {type(content).__name__}")
    return tuple(content)
