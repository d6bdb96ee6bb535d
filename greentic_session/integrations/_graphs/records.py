"""Sessions and waits of a thread: their owners and keys, and the lists of them."""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Awaitable
from functools import lru_cache
from typing import Any, Final, cast
from urllib.parse import quote, unquote

from greentic_session._json.codec import SNAPSHOT_ENCODER, encode
from greentic_session.errors import NotFoundError
from greentic_session.expiry import NEVER, Ttl, milliseconds
from greentic_session.ids import SessionKey
from greentic_session.models import ReplyScope, SessionCursor, SessionData, TenantCtx
from greentic_session.store import SessionStore
from greentic_session.tenancy import check_ctx

from .models import Parts, Place

__all__ = ["FLOW", "HEAD", "Records", "key_of", "quoted", "short"]

_MAX_KNOWN: Final = 4096
"""How many names, and marks of runs, a process remembers."""
FLOW: Final = "langgraph"
"""The flow id of all sessions of a thread."""
HEAD: Final = "langgraph-head"
"""How the key of the head of a thread begins."""
_CURSOR: Final = SessionCursor("kept")
_STATE: Final = "langgraph-state"
_LATE: Final = "langgraph-late"
_PART: Final = "langgraph-part"
_RUN: Final = "langgraph-run"
_is_plain: Final = re.compile(r"[A-Za-z0-9_.~-]*\Z").match
"""Whether `quote` leaves a text as it is; nearly all ids are UUIDs."""


class Records:
    """Sessions of one tenant's threads.

    All of a thread belongs to a user of its own. The waits of that user are the archived
    checkpoints of the thread, and a *marker* for each of its namespaces: so the store itself lists
    and purges them, and on a cluster they are in one slot. Names in keys are hashes, also of the
    tenant: no two tenants meet on a key.

    Attributes:
        store: Where they are.
        ctx: The tenant, without a user.
        ttl: The lifetime in seconds, or `NEVER`.
    """

    def __init__(self, store: SessionStore, ctx: TenantCtx, ttl: Ttl) -> None:
        check_ctx(ctx)
        self.store = store
        self.ctx = ctx.with_user(None)
        self.ttl: Any = NEVER if ttl is None or ttl is NEVER else milliseconds(ttl, "ttl") / 1000
        self._marked: OrderedDict[SessionKey, None] = OrderedDict()
        self.hash = lru_cache(_MAX_KNOWN)(self._hash)
        self.owner = lru_cache(_MAX_KNOWN)(self._owner)

    # -- lists

    async def parts(self, thread: str) -> Parts:
        """Return what a thread consists of."""
        owner = self.owner(thread)
        parts = Parts({}, {})
        for key in await self.store.list_waits_for_user(owner, str(owner.user)):
            _, _, name, *rest = key.split(":")
            if rest:
                parts.archived.setdefault(name, []).append(unquote(rest[0]))
            else:
                parts.namespaces[name] = key
        return parts

    async def mark(self, place: Place, birth: str) -> None:
        """Note that a thread has a namespace."""
        name = short(place.ns)
        key = key_of(_PART, self.hash(place.thread), name)
        await self.wait(self.owner(place.thread), ReplyScope(FLOW, thread=name), key, birth)

    async def birth(self, marker: SessionKey, thread: str) -> str | None:
        """Return the birth of a thread, by a marker."""
        found = await self.store.get_session(marker, ctx=self.owner(thread))
        return None if found is None else found.context(str)

    async def mark_run(self, run: str, place: Place) -> None:
        """Note that a run has made checkpoints at a place."""
        key = self._mark_key(run, place.thread, short(place.ns))
        if key in self._marked:
            return
        scope = ReplyScope(FLOW, thread=self.hash(place.thread), correlation=short(place.ns))
        await self.wait(self.user("run", run), scope, key, place)
        self._marked[key] = None
        if len(self._marked) > _MAX_KNOWN:
            self._marked.popitem(last=False)

    async def unmark_run(self, run: str, thread: str, name: str) -> None:
        """Note that a run has no checkpoints any more in a namespace, by its short name."""
        key = self._mark_key(run, thread, name)
        self._marked.pop(key, None)
        await self.remove(key)

    async def places_of(self, run: str) -> list[Place]:
        """Return where a run has made checkpoints."""
        user = self.user("run", run)
        keys = await self.store.list_waits_for_user(user, str(user.user))
        found = [await self.store.get_session(key, ctx=user) for key in keys]
        return [data.context(Place) for data in found if data is not None]

    def _mark_key(self, run: str, thread: str, name: str) -> SessionKey:
        return key_of(_RUN, self.hash(run), self.hash(thread), name)

    def wait(self, ctx: TenantCtx, scope: ReplyScope, key: str, value: object) -> Awaitable[object]:
        """Store a value as a wait of a user, so that it is listed."""
        return self.store.register_wait(ctx, str(ctx.user), scope, key, _data(ctx, value), ttl=self.ttl)

    def create(self, key: SessionKey, thread: str, value: object) -> Awaitable[object]:
        """Store a value of a thread; a ConflictError where there is one."""
        ctx = self.owner(thread)
        return self.store.create_session(ctx, _data(ctx, value), key=key, ttl=self.ttl)

    def update(self, key: SessionKey, thread: str, value: object, version: str) -> Awaitable[str]:
        """Replace a value of a thread if it has this version, or raise; return the new version."""
        ctx = self.owner(thread)
        return self.store.update_session(key, _data(ctx, value), ctx=ctx, if_version=version)

    @property
    def updates_with(self) -> bool:
        """Whether `update_with` mostly does something."""
        return self.store.backend.updates_with

    def update_with(
        self, key: SessionKey, thread: str, value: object, version: str, other: tuple[SessionKey, object, ReplyScope | None]
    ) -> Awaitable[str | None]:
        """Do `update`, and store a new value of the thread under its key in the same step.

        With a scope it is listed. Returns None where nothing was done, for whatever reason.
        """
        ctx = self.owner(thread)
        new, beside, scope = other
        return self.store._update_with(  # noqa: SLF001  # it is there for adapters
            key, _data(ctx, value), (new, _data(ctx, beside), scope), ctx=ctx, if_version=version, ttl=self.ttl
        )

    async def remove(self, key: str) -> None:
        """Remove a session, if it is there."""
        try:
            await self.store.remove_session(key, ctx=self.ctx)
        except NotFoundError:
            pass

    # -- names

    def _hash(self, text: str) -> str:
        """Return a name for a text of this tenant, and of no other."""
        ctx = self.ctx
        parts = (ctx.env, ctx.tenant_id, ctx.effective_team or "", text)
        return hashlib.sha256("".join(f"{len(part)}:{part}," for part in parts).encode()).hexdigest()[:40]

    def user(self, kind: str, text: str) -> TenantCtx:
        """Return the owner of a thread, or of the marks of a run."""
        return self.ctx.with_user(f"langgraph-{kind}-{self.hash(text)}")

    def _owner(self, thread: str) -> TenantCtx:
        """Return the owner of a thread."""
        return self.user("thread", thread)

    def head_key(self, thread: str) -> SessionKey:
        """Return the key of the head of a thread."""
        return key_of(HEAD, self.hash(thread))

    def state_key(self, thread: str, birth: str, name: str) -> SessionKey:
        """Return the key of the state of a namespace, by its short name."""
        return key_of(_STATE, self.hash(thread), birth, name)

    def entry_key(self, thread: str, name: str, id: str) -> SessionKey:
        """Return the key of an archived checkpoint."""
        return key_of(_PART, self.hash(thread), name, quoted(id))

    def late_key(self, thread: str, name: str, id: str) -> SessionKey:
        """Return the key of the writes that came after a checkpoint was archived."""
        return key_of(_LATE, self.hash(thread), name, quoted(id))


@lru_cache(_MAX_KNOWN)
def quoted(id: str) -> str:
    """Return the id of a checkpoint as it stands in keys and scopes."""
    return id if _is_plain(id) else quote(id, safe="")


@lru_cache(_MAX_KNOWN)
def short(ns: str) -> str:
    """Return a name for a namespace in keys and scopes."""
    return hashlib.sha256(ns.encode()).hexdigest()[:32]


def _data(ctx: TenantCtx, value: object) -> SessionData:
    """Return a snapshot; of our own types it is read as it was written, so nobody checks that."""
    try:
        text = SNAPSHOT_ENCODER.encode(value)
    except Exception:  # noqa: BLE001  # whatever it is, there are words for it
        text = encode(SNAPSHOT_ENCODER, value, "a checkpoint")
    return SessionData(tenant_ctx=ctx, flow_id=FLOW, cursor=_CURSOR, context_json=text.decode())


def key_of(*parts: str) -> SessionKey:
    """Return a key, which the store checks."""
    return cast("SessionKey", ":".join(parts))
