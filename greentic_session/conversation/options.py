"""Options of every conversation store."""

from typing import Self, TypedDict

from msgspec import Struct

from greentic_session._json.fields import check_bool
from greentic_session.conversation.codec import DEFAULT_MAX_MESSAGE_BYTES
from greentic_session.conversation.header import Lifetime
from greentic_session.conversation.moments import Clock, utc_now
from greentic_session.errors import InvalidInputError
from greentic_session.expiry import Ttl, default_ttl_ms

__all__ = ["Options", "StoreOptions"]


class StoreOptions(TypedDict, total=False):
    """The options of every conversation store.

    Attributes:
        ttl: The lifetime of a conversation: a number of seconds or a timedelta; None and NEVER are
            for ever. It begins with the creation; when it ends, all parts of the conversation are
            gone at once.
        sliding: Whether every operation on a conversation (`load`, `messages`, `append`, `pop`,
            `clear`, `compact`, `update_state`, `save`) renews its lifetime.
        max_message_bytes: The longest message, in bytes of its JSON text.
        clock: Returns the time in microseconds since the Unix epoch. Lifetimes do not depend on it.
    """

    ttl: Ttl
    sliding: bool
    max_message_bytes: int
    clock: Clock


class Options(Struct, frozen=True):
    """The options of a store, with the defaults of those that were not given."""

    ttl: Ttl = None
    sliding: bool = False
    max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES
    clock: Clock = utc_now

    @classmethod
    def of(cls, options: StoreOptions) -> Self:
        """Return the options of a store.

        Raises:
            TypeError: There is no such option.
        """
        for name in options:
            if name not in cls.__struct_fields__:
                raise TypeError(f"a conversation store has no option {name!r}")
        return cls(**options)

    @property
    def life(self) -> Lifetime:
        """The lifetime of a conversation.

        Raises:
            InvalidInputError: It is out of range, or `sliding` has none to renew.
            TypeError: An option has a wrong type.
        """
        check_bool("sliding", self.sliding)
        life = Lifetime(default_ttl_ms(self.ttl, "ttl"), self.sliding)
        if self.sliding and life.ttl_ms is None:
            raise InvalidInputError("sliding needs a ttl: there is no lifetime to begin anew")
        return life
