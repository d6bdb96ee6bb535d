"""One conversation, as its owner holds it."""

from datetime import datetime
from typing import Any, ClassVar, Generic, Self, TypeVar

from msgspec import Struct, field

from greentic_session._hiding import Hiding, outline
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
    """What a list tells of a conversation.

    Attributes:
        id: Its id.
        created_at: When it was created, in UTC.
        updated_at: When it was last written, in UTC.
        message_count: How many messages it has.

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
    """The transcript and state of an agent session.

    Let the store `create` or `load` it; or make one with `new`, `from_neuron` or `from_fluers`, and
    `save` it.

    It is mutable and yours alone: the store keeps a copy of what it was when you saved it. What is
    in it is checked then. Two are equal when all but the revision (what the store remembers of the
    last time they were loaded or saved) is.

    Attributes:
        id: From 1 to 255 characters, no NUL.
        messages: The transcript, oldest first.
        state: Working directory, token usage, event count and custom values.
        model: The name of the model.
        max_turns: How many turns an agent may take; 0 where nobody says.
        system_message: The instruction to the model.
        metadata: Text by text.
        created_at: When it was created, in UTC. The store never moves it.
        updated_at: When it was last written, in UTC. The store moves it with every write.
        schema_version: The version of the envelope; what is saved has the current one.
        extra: Fields of the stored text that we do not know, kept as they came.
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
        """Return a conversation that nothing was said in yet; created and updated now.

        Raises:
            InvalidInputError: The id is empty, has more than 255 characters, or holds a NUL or a
                lone surrogate.
            TypeError: An argument is no str.

        >>> conversation = Conversation.new("order-7", cwd="/srv/acme")
        >>> (conversation.id, conversation.messages, conversation.created_at == conversation.updated_at)
        ('order-7', [], True)
        """
        check_text("cwd", cwd, optional=False)
        now = as_datetime(utc_now())
        return cls(id=check_conversation_id(id), state=ConversationState(cwd), created_at=now, updated_at=now)

    @staticmethod
    def from_neuron(text: str | bytes) -> "Conversation[Message]":
        """Return the session that neuron_runtime wrote to a file.

        Its shape is ``{"id": ..., "messages": [...], "state": {...}, ...}``.

        Nothing is dropped. What has a counterpart becomes it; the iterations of the token usage,
        and all fields that nobody knows, are in the `extra` beside them (below ``"neuron"`` where a
        field of ours is called so); a block without one (RedactedThinking, Document, Compaction, an
        image at a URL) is an `OtherBlock`, as it stood. Times are kept to the microsecond.

        Raises:
            InvalidInputError: It is no such session: not JSON, or a field is missing, of a wrong
                type, or out of range. The message quotes nothing of it; `GreenticError.position`
                tells which of its messages is none.
            TypeError: `text` is neither str nor bytes.

        >>> conversation = Conversation.from_neuron('''{
        ...     "id": "s1", "created_at": "2025-01-01T00:00:00Z", "updated_at": "2025-01-01T00:00:01Z",
        ...     "state": {"cwd": "/srv", "event_count": 1}, "theme": "dark",
        ...     "messages": [{"role": "User", "content": [{"Text": "hello"}]}]
        ... }''')
        >>> (conversation.id, conversation.messages[0].text, conversation.extra)
        ('s1', 'hello', {'theme': 'dark'})
        """
        return Conversation(**read_neuron(text))

    @staticmethod
    def from_fluers(text: str | bytes, id: str) -> "Conversation[Message]":
        """Return the session that fluers_runtime wrote to a file.

        Its shape is ``{"schema_version": 1, "messages": [...], ...}``.

        Nothing is dropped, as with `from_neuron`; what nobody knows goes below ``"fluers"`` where a
        field of ours is called so. There are no times in it: it is created and updated now.

        Args:
            text: The text of the file.
            id: The id of the conversation, which is not in the text.

        Raises:
            InvalidInputError: It is no such session, or `id` is not one.
            SchemaVersionError: A newer version of fluers_runtime wrote it.
            TypeError: `text` is neither str nor bytes, or `id` is no str.

        >>> text = '{"schema_version":1,"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"hello"}]}]}'
        >>> conversation = Conversation.from_fluers(text, "s1")
        >>> (conversation.id, conversation.model, conversation.messages[0].text)
        ('s1', 'm', 'hello')
        """
        return Conversation(**read_fluers(text, id))

    def summary(self) -> ConversationSummary:
        """Return what a list would tell of it."""
        return ConversationSummary(self.id, self.created_at, self.updated_at, len(self.messages))

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__struct_fields__ if name != "_revision")

    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]  # it changes

    def __repr__(self) -> str:
        # Without what was said: a repr ends up in logs and error trackers. And of anything: nothing
        # is checked yet.
        shown = {name: getattr(self, name, None) for name in ("id", "model", "created_at", "updated_at")}
        return outline(self, "messages", **shown)
