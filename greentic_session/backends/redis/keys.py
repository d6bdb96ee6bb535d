"""Names of the keys in Redis; `lua/includes/keys.lua` makes them in Lua, by the same words."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from greentic_session._redis.namespace import check_cluster_namespace, check_namespace
from greentic_session._redis.scanning import glob_of
from greentic_session.errors import GreenticError
from greentic_session.ids import SessionKey
from greentic_session.models import ReplyScope, TenantCtx
from greentic_session.tenancy import NO_TEAM, Owner

__all__ = [
    "CARRIED_KIND",
    "CONVERSATIONS_KIND",
    "COPIED_KIND",
    "DELIVERED_KIND",
    "KEPT_KIND",
    "LEFTOVER_KINDS",
    "LEFTOVER_KINDS_OF_ALL",
    "NAMING_KINDS",
    "READY_KIND",
    "RECORD_KIND",
    "REPLIES_KIND",
    "REPLY_KINDS",
    "SCOPE_HASH_FIELD",
    "SCOPE_KIND",
    "SESSION_KIND",
    "SESSION_KINDS",
    "USER_KINDS",
    "ClusterKeys",
    "Keys",
    "glob_of_kinds",
    "identity_text",
    "key_of",
    "owner_of",
    "owner_path",
    "owner_pointer_key",
    "owner_text",
    "payload_prefix",
    "scope_of",
    "tag_of",
    "tag_without_user",
]

_SCOPE_DECODER = msgspec.json.Decoder(ReplyScope)


def owner_text(owner: tuple[str, str, str | None, str | None]) -> str:
    """Return an owner as the scripts read it: ``env:tenant:team:user``.

    No team or user is an empty one.

    Ids hold no colon, so no two identities read alike.
    """
    env, tenant, team, user = owner
    return f"{env}:{tenant}:{team or ''}:{user or ''}"


def owner_of(text: bytes) -> Owner:
    """Return the owner that a script names."""
    env, tenant, team, user = text.decode().split(":")
    return env, tenant, team or None, user


def identity_text(ctx: TenantCtx | None) -> str:
    """Return the identity of a context as the scripts read it; empty for none."""
    if ctx is None:
        return ""
    # The effective ones, without two calls: every write comes by.
    return f"{ctx.env}:{ctx.tenant_id}:{ctx.team_id or ctx.team or ''}:{ctx.user_id or ctx.user or ''}"


def payload_prefix(owner: Owner) -> str:
    """Return the usual beginning of the texts of an owner, with equal fields in each pair.

    No other owner's payload begins like it: the fields have a fixed order, and those of the
    identity end with the user.
    """
    env, tenant, team, user = owner
    # In one step each: every write comes by.
    if not team:
        return (
            f'{{"tenant_ctx":{{"env":"{env}","tenant":"{tenant}","tenant_id":"{tenant}","user":"{user}","user_id":"{user}",'
        )
    return (
        f'{{"tenant_ctx":{{"env":"{env}","tenant":"{tenant}","tenant_id":"{tenant}",'
        f'"team":"{team}","team_id":"{team}","user":"{user}","user_id":"{user}",'
    )


def key_of(key: bytes) -> SessionKey:
    """Return a session key as Redis has it."""
    # Not checked: the reference bounds no session key, and one of its own must not hide the waits
    # beside it.
    return key.decode("utf-8", "replace")  # type: ignore[return-value]  # and so it is one, without a call


def scope_of(json: bytes) -> ReplyScope | None:
    """Return the scope in a record of ours; None if it has none or was overwritten."""
    try:
        return _SCOPE_DECODER.decode(json) if json else None
    except (msgspec.MsgspecError, GreenticError, UnicodeError, RecursionError):
        return None


SESSION_KIND: Final = "session:"
"""What follows the namespace in the key of a session's text."""
SCOPE_KIND: Final = "waits:scope:"
"""The same of scope keys, which name the session that waits there."""
COPIED_KIND: Final = "copied:"
"""The same of the marks of copied sessions."""
CONVERSATIONS_KIND: Final = "conv:"
"""The same of all keys of conversations."""
RECORD_KIND: Final = "own:"
"""The same of our records beside sessions."""
SCOPE_HASH_FIELD: Final = b"s"
"""The field of such a record with the SHA-256 of the scope; `lua/includes/record.lua` has all."""
_CLAIM_KIND: Final = "claim:"
_WAITS_KIND: Final = "waits:user:"
_INDEX_KIND: Final = "scopes:"
_POINTER_KIND: Final = "user:"
_MENDING_KIND: Final = "mending:"
_STAGED_KIND: Final = "staged:"
_LASTING_KIND: Final = "lasting:sessions"
_ACCEPTED_KIND: Final = "accepted"
_OWNER_POINTER_KIND: Final = "owner:"
REPLIES_KIND: Final = "replies:"
"""Kind of the keys of inboxes: it follows the namespace."""
DELIVERED_KIND: Final = "delivered:"
"""Kind of the keys of deliveries that are remembered."""
KEPT_KIND: Final = "kept:"
"""Kind of the keys that tell where replies are kept though nothing waits."""
CARRIED_KIND: Final = "carried:"
"""Kind of the keys that tell which replies were copied to a place."""
READY_KIND: Final = "ready:"
"""Kind of the keys of the index of what is ready."""

_INDEX_TAG: Final = ":ready"
"""On a cluster, the hash tag of the index of what is ready; no user has it: an env is not empty."""

REPLY_KINDS: Final = (REPLIES_KIND, DELIVERED_KIND, KEPT_KIND)
"""Kinds of the keys of replies that belong to a user, whose name follows."""

USER_KINDS: Final = (SCOPE_KIND, _WAITS_KIND, _INDEX_KIND, _POINTER_KIND, _MENDING_KIND)
"""What belongs to a user: the user's name follows."""
SESSION_KINDS: Final = (SESSION_KIND, RECORD_KIND, _CLAIM_KIND, COPIED_KIND)
"""What belongs to a session: the session key follows."""
LEFTOVER_KINDS: Final = (RECORD_KIND, _LASTING_KIND, *USER_KINDS, *REPLY_KINDS)
"""Kinds of keys that a purge checks for entries that lead nowhere."""
LEFTOVER_KINDS_OF_ALL: Final = tuple(kind.encode() for kind in (RECORD_KIND, _LASTING_KIND))
"""Those of them that do not name the user."""

NAMING_KINDS: Final = (RECORD_KIND, _WAITS_KIND)
"""Kinds of keys by which a namespace is recognised: ours has one, and so has the reference's."""

_LAYOUT = frozenset(
    kind.split(":")[0]
    for kind in (*SESSION_KINDS, *USER_KINDS, *REPLY_KINDS, CARRIED_KIND, READY_KIND, _LASTING_KIND, CONVERSATIONS_KIND)
    if kind != _MENDING_KIND  # for an hour at most
)
"""The words that stand behind a namespace."""


def glob_of_kinds(kinds: Sequence[str]) -> str:
    """Return how a SCAN pattern goes on for keys of some kinds.

    The letters of each position. It may match other kinds.
    """
    places = zip(*kinds, strict=False)  # as far as the shortest goes
    return "".join(f"[{''.join(sorted(set(letters)))}]" for letters in places) + "*"


def owner_pointer_key(namespace: str, key: str) -> str:
    """Return where the owner pointer of a session key is, on a cluster."""
    return f"{namespace}:{_OWNER_POINTER_KIND}{key}"


class Keys:
    """The keys of one namespace; a user is named as by `owner_path`.

    Raises:
        InvalidInputError: The namespace is empty or no valid Unicode.
        TypeError: It is no str.
    """

    def __init__(self, namespace: str) -> None:
        self.namespace: str = check_namespace(namespace)

    @property
    def is_index(self) -> bool:
        """Whether they are those of the index of what is ready, on a cluster."""
        return self.namespace.endswith(f":{{{_INDEX_TAG}}}")

    @property
    def tag(self) -> str:
        """The hash tag of the slot, on a cluster."""
        return self.namespace[self.namespace.rindex("{") + 1 : -1]

    def session(self, key: str) -> str:
        """Where a session's text is."""
        return f"{self.namespace}:{SESSION_KIND}{key}"

    def is_shared(self, key: str) -> bool:
        """Say whether a session key may name something of another namespace, too.

        See `lua/includes/namespaces.lua`.
        """
        return ":" in key and not _LAYOUT.isdisjoint(key.split(":")) and not self.namespace.endswith("}")

    def record(self, key: str) -> str:
        """Where our record of a session is."""
        return f"{self.namespace}:{RECORD_KIND}{key}"

    def claim(self, key: str) -> str:
        """Where the claim on a session is."""
        return f"{self.namespace}:{_CLAIM_KIND}{key}"

    def scope(self, place: str, scope_hash: str) -> str:
        """Where the session key of a wait is."""
        return f"{self.namespace}:{SCOPE_KIND}{place}:{scope_hash}"

    def wait(self, owner: Owner, scope: ReplyScope) -> str:
        """Where that of an owner's wait at a scope is."""
        env, tenant, team, user = owner  # `scope` of `owner_path`, in one step: every answer comes by
        return f"{self.namespace}:{SCOPE_KIND}{env}:{tenant}:{team or NO_TEAM}:{user}:{scope.scope_hash()}"

    def waits(self, place: str) -> str:
        """Where the set of a user's waits is."""
        return f"{self.namespace}:{_WAITS_KIND}{place}"

    def scopes(self, place: str) -> str:
        """Where the index of a user's waits is; see `lua/includes/wait_index.lua`."""
        return f"{self.namespace}:{_INDEX_KIND}{place}"

    def staged(self, nonce: str) -> str:
        """Where a large text is on its way; see `staging`."""
        return f"{self.namespace}:{_STAGED_KIND}{nonce}"

    def ready(self, rest: str) -> str:
        """Where a part of the index of what is ready is; see `lua/includes/ready_index.lua`."""
        return f"{self.namespace}:{READY_KIND}{rest}"

    def accepted(self) -> str:
        """Where it is counted how many replies were accepted within a day."""
        return f"{self.namespace}:{_ACCEPTED_KIND}"

    def latest(self, place: str) -> str:
        """Where the key of a user's latest session is."""
        return f"{self.namespace}:{_POINTER_KIND}{place}"


class ClusterKeys:
    """The keys of one namespace on a cluster; see `owner_pointers`.

    Raises:
        InvalidInputError: The namespace is empty, no valid Unicode, or holds a brace, which on a
            cluster has a meaning.
        TypeError: It is no str.
    """

    def __init__(self, namespace: str) -> None:
        self.namespace: str = check_cluster_namespace(namespace)

    def within(self, tag: str) -> Keys:
        """Return the keys of one slot, by its hash tag."""
        return Keys(f"{self.namespace}:{{{tag}}}")

    @property
    def index(self) -> Keys:
        """The keys of the slot of the index of what is ready; see `ready_entries`."""
        return self.within(_INDEX_TAG)

    def every(self, rest: str, front: str = "") -> bytes:
        """Return the pattern of SCAN for keys with `rest` in any slot, and some others.

        Where `front` is given, it is what their hash tags begin with.

        See `by_tag`.
        """
        return glob_of(f"{self.namespace}:{{{front}", f"*}}:{rest}")

    def by_tag(self, found: Iterable[bytes], prefix: str = "") -> dict[str, list[bytes]]:
        """Group keys by hash tag, without it and `prefix`; keys without them are left out."""
        start, middle = len(self.namespace.encode()) + 2, f"}}:{prefix}".encode()
        sorted_: dict[str, list[bytes]] = {}
        for key in found:
            tag, there, name = key[start:].partition(middle)
            if there and b"}" not in tag:  # what is in a key that somebody chose comes behind the tag
                sorted_.setdefault(tag.decode("utf-8", "replace"), []).append(name)
        return sorted_


def tag_of(owner: Owner) -> str:
    """Return the hash tag of a user's slot on a cluster."""
    return owner_path(owner)


def tag_without_user(env: str, tenant: str, team: str | None, key: str) -> str:
    """Return the hash tag of the slot where a session without a user is that is nobody's latest."""
    spread = hashlib.sha256(key.encode()).hexdigest()[:8]
    return f"{env}:{tenant}:{team or NO_TEAM}::{spread}"


def owner_path(owner: Owner) -> str:
    """Return an identity as the reference's keys have it."""
    env, tenant, team, user = owner
    return f"{env}:{tenant}:{team or NO_TEAM}:{user}"
