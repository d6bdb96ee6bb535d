"""`Conversation`, the object that stores load and save, and its summary in lists."""

from datetime import datetime
from typing import Any, ClassVar, Generic, Self, TypeVar

from msgspec import Struct, field

from greentic_session._base.hiding import Hiding, outline
from greentic_session._json.fields import check_text
from greentic_session.conversation.header import Revision
from greentic_session.conversation.importers.fluers import read_fluers
from greentic_session.conversation.importers.neuron import read_neuron
from greentic_session.conversation.message import Message
from greentic_session.conversation.moments import as_datetime, utc_now
from greentic_session.conversation.rules import SCHEMA_VERSION, check_conversation_id
from greentic_session.conversation.state import ConversationState

__all__ = ["Conversation", "ConversationSummary"]

M = TypeVar("M")


class ConversationSummary(Struct, frozen=True):
    """Summary of a conversation in a list.

    Attributes:
        id: The id of the conversation.
        created_at: The time of its creation, in UTC.
        updated_at: The time of its last change, in UTC.
        message_count: The number of its messages.

    >>> conversation = Conversation.new("order-7")
    >>> conversation.messages.append(Message.user("hello"))
    >>> conversation.summary().message_count
    1
    """

    id: str
    created_at: datetime
    updated_at: datetime
    message_count: int


class Conversation(Hiding, Struct, Generic[M], kw_only=True, eq=False):
    """Transcript and state of an agent session.

    A store's `create` and `load` return one; or make one with `new`, `from_neuron` or
    `from_fluers`, and `save` it.

    The object is mutable: `save` checks it and stores a copy. Two conversations are equal if all
    attributes are; the revision of the last `load` or `save` is not compared.

    Attributes:
        id: From 1 to 255 characters, no NUL.
        messages: The transcript, oldest first.
        state: Working directory, token usage, event count and custom values.
        model: The name of the model.
        max_turns: How many turns an agent may take; 0 if unknown.
        system_message: The instruction to the model.
        metadata: Texts by name.
        created_at: The time of its creation, in UTC. The store never changes it.
        updated_at: The time of its last change, in UTC. The store sets it with every write.
        schema_version: The version of the envelope; a saved conversation has the current one.
        extra: Unknown fields of the stored text, unchanged.
    """

    id: str
    messages: list[M] = field(default_factory=list)
    state: ConversationState = field(default_factory=ConversationState)
    model: str = ""
    max_turns: int = 0
    system_message: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    created_at: datetime = field(default_factory=lambda: as_datetime(utc_now()))
    updated_at: datetime = field(default_factory=lambda: as_datetime(utc_now()))
    schema_version: int = SCHEMA_VERSION
    extra: dict[str, Any] = field(default_factory=dict)
    _revision: Revision | None = None

    @classmethod
    def new(cls, id: str, cwd: str = "") -> Self:
        """Return a conversation without messages, created and updated now.

        Raises:
            InvalidInputError: The id is empty, has more than 255 characters, or holds a NUL or a
                lone surrogate.
            TypeError: An argument is no str.

        >>> conversation = Conversation.new("order-7", cwd="/srv/acme")
        >>> (conversation.id, conversation.messages, conversation.state.cwd)
        ('order-7', [], '/srv/acme')
        """
        check_text("cwd", cwd, optional=False)
        now = as_datetime(utc_now())
        return cls(id=check_conversation_id(id), state=ConversationState(cwd), created_at=now, updated_at=now)

    @staticmethod
    def from_neuron(text: str | bytes) -> "Conversation[Message]":
        """Return the conversation in a session file of neuron_runtime.

        The file has the shape ``{"id": ..., "messages": [...], "state": {...}, ...}``.

        Nothing is dropped. Fields with a counterpart are converted. The iterations of the token
        usage and all unknown fields are in the `extra` of their object (below ``"neuron"`` if a
        field of ours has the same name). A block without counterpart (RedactedThinking, Document,
        Compaction, an image at a URL) becomes an `OtherBlock` with the same content. Times are kept
        to the microsecond.

        Raises:
            InvalidInputError: The text is no such session: not JSON, or a field is missing, of a
                wrong type, or out of range. The error quotes nothing of the text;
                `GreenticError.position` has the position of a message that cannot be read.
            TypeError: `text` is neither str nor bytes.

        >>> conversation = Conversation.from_neuron('''{
        ...     "id": "s1",
        ...     "created_at": "2025-01-01T00:00:00Z", "updated_at": "2025-01-01T00:00:01Z",
        ...     "state": {"cwd": "/srv", "event_count": 1}, "theme": "dark",
        ...     "messages": [{"role": "User", "content": [{"Text": "hello"}]}]
        ... }''')
        >>> (conversation.id, conversation.messages[0].text, conversation.extra)
        ('s1', 'hello', {'theme': 'dark'})
        """
        return Conversation(**read_neuron(text))

    @staticmethod
    def from_fluers(text: str | bytes, id: str) -> "Conversation[Message]":
        """Return the conversation in a session file of fluers_runtime.

        The file has the shape ``{"schema_version": 1, "messages": [...], ...}``.

        Nothing is dropped, as by `from_neuron`; an unknown field is below ``"fluers"`` if a field
        of ours has the same name. The file has no times: the conversation is created and updated
        now.

        Args:
            text: The text of the file.
            id: The id of the conversation, which is not in the text.

        Raises:
            InvalidInputError: The text is no such session, or `id` is not valid.
            SchemaVersionError: A newer version of fluers_runtime wrote the file.
            TypeError: `text` is neither str nor bytes, or `id` is no str.

        >>> conversation = Conversation.from_fluers('''{
        ...     "schema_version": 1, "model": "m",
        ...     "messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]
        ... }''', "s1")
        >>> (conversation.id, conversation.model, conversation.messages[0].text)
        ('s1', 'm', 'hello')
        """
        return Conversation(**read_fluers(text, id))

    def summary(self) -> ConversationSummary:
        """Return the summary, as in a list."""
        return ConversationSummary(self.id, self.created_at, self.updated_at, len(self.messages))

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__struct_fields__ if name != "_revision")

    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]  # mutable

    def __repr__(self) -> str:
        # No messages: a repr ends up in logs and error trackers. The attributes may have any type,
        # because only `save` checks them.
        shown = {name: getattr(self, name, None) for name in ("id", "model", "created_at", "updated_at")}
        return outline(self, "messages", **shown)
