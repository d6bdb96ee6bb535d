"""What the demo reads of an update of the Telegram Bot API; it ignores every other field."""

from typing import Annotated, Final, TypeAlias

import msgspec

__all__ = ["MAX_LINE_BYTES", "Chat", "InvalidUpdateError", "Message", "RepliedMessage", "Update", "User", "decode_update"]

MAX_LINE_BYTES: Final = 2**20
"""The longest line that is read, in bytes. Real updates have a few thousand."""

# Telegram promises that an id fits into 52 bits; a group's is negative.
_Id: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**52), le=2**52)]

# Seconds since the Unix epoch, up to the year 9999.
_Date: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799)]


class User(msgspec.Struct, frozen=True):
    """A person or a bot."""

    id: _Id
    is_bot: bool = False


class Chat(msgspec.Struct, frozen=True):
    """A chat; `type` is ``"private"``, ``"group"``, ``"supergroup"`` or ``"channel"``."""

    id: _Id
    type: str


class RepliedMessage(msgspec.Struct, frozen=True):
    """The message that another one replies to."""

    message_id: _Id
    sender: User | None = msgspec.field(default=None, name="from")


class Message(msgspec.Struct, frozen=True):
    """A message; `date` is in seconds since the Unix epoch."""

    message_id: _Id
    chat: Chat
    date: _Date
    sender: User | None = msgspec.field(default=None, name="from")
    text: str | None = None
    message_thread_id: _Id | None = None
    is_topic_message: bool = False
    reply_to_message: RepliedMessage | None = None

    @property
    def is_private(self) -> bool:
        """Whether the person is alone with the bot."""
        return self.chat.type == "private"

    @property
    def topic(self) -> int | None:
        """The forum topic.

        Outside of forums Telegram numbers threads of replies, too: those are no place of their own.
        """
        return self.message_thread_id if self.is_topic_message else None

    @property
    def replied(self) -> RepliedMessage | None:
        """The message that the person replied to.

        In a topic every message "replies" to the one that opened the topic.
        """
        replied = self.reply_to_message
        return None if replied is None or replied.message_id == self.topic else replied


class Update(msgspec.Struct, frozen=True):
    """One update.

    Telegram may deliver it again, with the same `update_id`; later updates have higher ones.
    """

    update_id: _Id
    message: Message | None = None


class InvalidUpdateError(ValueError):
    """A line is not an update. The message says why, and quotes nothing of the line."""


_DECODER = msgspec.json.Decoder(Update)


def decode_update(line: bytes) -> Update:
    """Read one line of a recording.

    Raises:
        InvalidUpdateError: It is not an update.
    """
    if len(line) > MAX_LINE_BYTES:
        raise InvalidUpdateError(f"longer than {MAX_LINE_BYTES} bytes")
    try:
        # As text first: msgspec does not look at the encoding of fields that nobody asked for. Some
        # editors begin a file with a byte order mark.
        return _DECODER.decode(line.decode("utf-8-sig"))
    except UnicodeError as error:
        raise InvalidUpdateError("not UTF-8") from error
    except RecursionError as error:
        raise InvalidUpdateError("nested too deeply") from error
    except msgspec.DecodeError as error:
        raise InvalidUpdateError(f"not a valid update: {error}") from error
