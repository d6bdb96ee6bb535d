"""Bots of aiogram on sessions and replies: states, one update at a time, and durable updates.

It needs the framework: ``python -m pip install 'greentic-session[aiogram]'``.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple, TypeAlias, cast

import anyio
from aiogram import BaseMiddleware, Bot, Dispatcher
from aiogram.filters import Filter
from aiogram.fsm.state import State
from aiogram.fsm.storage.base import BaseEventIsolation, BaseStorage, StateType, StorageKey
from aiogram.types import TelegramObject, Update

from greentic_session._json.fields import check_instance
from greentic_session.claim import Claim
from greentic_session.errors import ClaimedError, ConflictError, NotFoundError, OperationTimeoutError, UnavailableError
from greentic_session.expiry import NEVER, Seconds, Ttl, milliseconds
from greentic_session.ids import SessionKey
from greentic_session.mapping import webhook_to_session_key
from greentic_session.models import ReplyScope, SessionData, TenantCtx
from greentic_session.reply import Reply, Start
from greentic_session.runner import Runner
from greentic_session.store import SessionStore
from greentic_session.tenancy import check_ctx

from ._claims import ReplyTurns

__all__ = ["Place", "PlaceOf", "SessionIsolation", "SessionStorage", "UpdateRouting", "UpdateTurns", "Waiting", "place_of"]

_FLOW: Final = "aiogram"
_CLAIM: Final = "claim"
"""The argument of handlers that is the claim of a turn."""
_STATE: Final = "state"
_DATA: Final = "data"
_MAX_PLACES: Final = 4096
"""How many users' keys are remembered."""
_LONGEST_PAUSE_S: Final = 0.5
_FIRST_PAUSE_S: Final = 0.01
_RETRY_PAUSE_S: Final = 1.0
_LOCK_TTL_S: Final = 24 * 3600


class _Place(NamedTuple):
    """Where the state and the data of a key of aiogram are, and whose they are."""

    state: SessionKey
    data: SessionKey
    owner: TenantCtx


class _Door(NamedTuple):
    """Where the updates of a key of aiogram come in one at a time: a wait."""

    session: SessionKey
    owner: TenantCtx
    user: str
    scope: ReplyScope


class SessionStorage(BaseStorage):
    """States and data of users, for ``Dispatcher(storage=...)``.

    The state of a user in a chat is a session, and so are the data, which are JSON. `update_data`
    merges in one step: of values that are set at the same time none is lost.

    Besides what is said below, the methods raise the errors of a `SessionStore`.

    Args:
        store: Where they are kept. The caller closes it.
        ctx: The tenant: env, tenant and team.
        ttl: How long a state, or data, are kept after their last change; None for ever.

    Raises:
        InvalidInputError: `ttl` is out of range, or the team of `ctx` is ``-``.
        TypeError: An argument has a wrong type.
    """

    def __init__(self, store: SessionStore, ctx: TenantCtx, *, ttl: Ttl = None) -> None:
        check_instance("store", store, SessionStore)
        check_ctx(ctx)
        self._store = store
        self._ttl: Any = NEVER if ttl is None or ttl is NEVER else milliseconds(ttl, "ttl") / 1000
        # Hashes and checks that cost as much as a call, and are the same for each update of a user.
        self._place = lru_cache(_MAX_PLACES)(partial(_place, ctx))

    async def set_state(self, key: StorageKey, state: StateType = None) -> None:
        """Set a state; None for no state."""
        await self._put(_STATE, key, state.state if isinstance(state, State) else state)

    async def get_state(self, key: StorageKey) -> str | None:
        """Return the state; None without one."""
        place = self._place(key)
        found = await self._store.get_session(place.state, ctx=place.owner)
        return None if found is None else found.context(str)

    async def set_data(self, key: StorageKey, data: Mapping[str, Any]) -> None:
        """Replace the data.

        Raises:
            InvalidInputError: They cannot be written as JSON.
        """
        await self._put(_DATA, key, dict(data) or None)

    async def get_data(self, key: StorageKey) -> dict[str, Any]:
        """Return the data."""
        place = self._place(key)
        found = await self._store.get_session(place.data, ctx=place.owner)
        return {} if found is None else found.context(dict[str, Any])

    async def update_data(self, key: StorageKey, data: Mapping[str, Any]) -> dict[str, Any]:
        """Set values of the data, and return all of them.

        Raises:
            InvalidInputError: They cannot be written as JSON.
        """
        place = self._place(key)
        session, ctx = place.data, place.owner
        while True:
            found = await self._store.get_versioned(session, ctx=ctx)
            merged = {**({} if found is None else found.data.context(dict[str, Any])), **data}
            new = SessionData.new(ctx, _FLOW, _DATA, context=merged)
            try:
                if found is None:
                    await self._store.create_session(ctx, new, key=session, ttl=self._ttl)
                else:
                    await self._replace(session, new, found.version)
            except (ConflictError, NotFoundError):
                continue  # somebody else was faster
            return merged

    async def close(self) -> None:
        """Do nothing: who has made the store closes it."""

    async def _put(self, kind: str, key: StorageKey, value: Any) -> None:
        """Store a value whatever is there; None removes what is there."""
        place = self._place(key)
        session, ctx = place.state if kind == _STATE else place.data, place.owner
        new = SessionData.new(ctx, _FLOW, kind, context=value)
        while True:
            try:
                if value is None:
                    await self._store.remove_session(session, ctx=ctx)
                else:
                    await self._replace(session, new, None)
            except NotFoundError:
                pass
            else:
                return
            if value is None:
                return
            try:
                await self._store.create_session(ctx, new, key=session, ttl=self._ttl)
            except ConflictError:
                continue  # somebody else has created it
            return

    async def _replace(self, session: SessionKey, new: SessionData, version: str | None) -> None:
        await self._store.update_session(session, new, ctx=new.tenant_ctx, if_version=version)
        if isinstance(self._ttl, float):
            await self._store.touch(session, self._ttl, ctx=new.tenant_ctx)


class SessionIsolation(BaseEventIsolation):
    """One update of a user at a time, in all processes: ``Dispatcher(events_isolation=...)``.

    It is a claim, which is renewed while a handler works and ends `lease` seconds after its process
    has died. In one process updates come in their order. Updates that wait are in the memory of
    their process: for those that must survive it there is `UpdateRouting`.

    Besides what is said below, the methods raise the errors of a `SessionStore`.

    Args:
        store: Where the claims are. The caller closes it.
        ctx: The tenant: env, tenant and team.
        lease: For how many seconds an update is claimed.

    Raises:
        InvalidInputError: `lease` is out of range, or the team of `ctx` is ``-``.
        TypeError: An argument has a wrong type.
    """

    def __init__(self, store: SessionStore, ctx: TenantCtx, *, lease: Seconds = 30.0) -> None:
        check_instance("store", store, SessionStore)
        check_ctx(ctx)
        self._store = store
        self._door = lru_cache(_MAX_PLACES)(partial(_door, ctx))  # as the places of `SessionStorage`
        self._lease = milliseconds(lease, "lease") / 1000
        self._queues: dict[SessionKey, tuple[anyio.Lock, int]] = {}

    @asynccontextmanager
    async def lock(self, key: StorageKey) -> AsyncGenerator[None, None]:
        """Let one update of a user in at a time.

        Raises:
            ConflictError: The claim was lost, for the store was away for longer than its lease: the
                block was cancelled.
        """
        door = self._door(key)
        queue, waiting = self._queues.get(door.session, (anyio.Lock(), 0))
        self._queues[door.session] = queue, waiting + 1
        try:
            try:
                queue.acquire_nowait()  # as a rule nobody else is here, and a turn of the loop is spared
            except anyio.WouldBlock:
                await queue.acquire()
            try:
                async with await self._claim(door):
                    yield
            finally:
                queue.release()
        finally:
            queue, waiting = self._queues.pop(door.session)
            if waiting > 1:
                self._queues[door.session] = queue, waiting - 1

    async def close(self) -> None:
        """Do nothing: who has made the store closes it."""

    async def _claim(self, door: _Door) -> Claim:
        session, owner, user, scope = door
        pause = _FIRST_PAUSE_S
        while True:
            try:
                claim = await self._store.claim_wait(owner, user, scope, lease=self._lease, keep_alive=True)
            except ClaimedError:
                await anyio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_S)
                continue
            if claim is not None:
                return claim
            # Two may come here at once: both register the same, and one of them gets the claim.
            data = SessionData.new(owner, _FLOW, "lock")
            await self._store.register_wait(owner, user, scope, session, data, ttl=_LOCK_TTL_S)


class Place(NamedTuple):
    """Where an update comes in.

    Attributes:
        user: Who has sent it.
        scope: The chat and topic.
    """

    user: str
    scope: ReplyScope


PlaceOf: TypeAlias = Callable[[Update], Place | None]
"""Says where an update comes in; None for one that is nobody's answer."""


def place_of(update: Update) -> Place | None:
    """Return the user, chat and topic of an update; None where it has no user or no chat."""
    event: Any = update.event
    message: Any = getattr(event, "message", None) or event
    user, chat = getattr(event, "from_user", None), getattr(message, "chat", None)
    if user is None or chat is None:
        return None
    topic = message.message_thread_id if getattr(message, "is_topic_message", None) else None
    return Place(str(user.id), ReplyScope(f"telegram:{chat.id}", thread=None if topic is None else str(topic)))


class UpdateRouting(BaseMiddleware):
    """Middleware that hands an update to the wait that it answers, and to the handlers otherwise.

    Register it as ``dispatcher.update.outer_middleware(UpdateRouting(...))``. What is handed over
    lies in the store until the handler of the runner has a verdict: it survives a restart, comes in
    its order, one at a time, and once, also where Telegram delivers it again. The body of a reply
    is the update, as JSON; `UpdateTurns` gives it to the handlers of a dispatcher.

    Args:
        runner: The runner beside the dispatcher.
        ctx: The tenant: env, tenant and team.
        places: Says where an update comes in.
        start: Returns what begins where nothing waits: with it every update is queued for its user.
            Without it, or where it returns None, such an update goes to the handlers.
        retries: Whether it tries again, every second, while the store is away: where aiogram polls,
            it would drop the update otherwise, and what comes meanwhile waits at Telegram. Behind a
            webhook say False: the error is Telegram's reason to come again.

    Raises:
        InvalidInputError: The team of `ctx` is ``-``.
        TypeError: `runner` is no Runner.
    """

    def __init__(
        self,
        runner: Runner,
        ctx: TenantCtx,
        *,
        places: PlaceOf = place_of,
        start: Callable[[TenantCtx, Update], Start | None] | None = None,
        retries: bool = True,
    ) -> None:
        check_instance("runner", runner, Runner)
        check_ctx(ctx)
        self._runner = runner
        self._ctx = ctx
        self._places = places
        self._start = start
        self._retries = retries

    async def __call__(
        self,
        handler: Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]],
        event: TelegramObject,
        data: dict[str, Any],
    ) -> Any:
        """Hand over an update.

        Raises:
            InboxFullError: Too many updates of the user are waiting.
        """
        update = cast("Update", event)
        place = None if _CLAIM in data else self._places(update)  # with a claim it comes from a turn
        if place is None:
            return await handler(event, data)
        bot: Bot = data["bot"]
        ctx = self._ctx.with_user(place.user)
        start = None if self._start is None else self._start(ctx, update)
        body = update.model_dump_json(by_alias=True, exclude_unset=True)
        id = f"{bot.id}:{update.update_id}"  # Telegram may deliver an update again, and so may we
        while True:
            try:
                delivery = await self._runner.deliver(ctx, place.user, place.scope, body, delivery_id=id, start=start)
            except (UnavailableError, OperationTimeoutError):
                if not self._retries:
                    raise
                await anyio.sleep(_RETRY_PAUSE_S)
            else:
                return None if delivery.accepted else await handler(event, data)


class UpdateTurns(ReplyTurns):
    """Handler of a `Runner` that gives replies back to a dispatcher: ``Runner(store, turns.work)``.

    The handlers of the dispatcher get the claim as their argument `claim`, and may end it with a
    verdict; else the place waits on, for `ttl`. A handler that raises is called again later. A
    place at its deadline is over.

    Args:
        dispatcher: The dispatcher.
        bot: Whose updates they are.
        ttl: How long a place waits for the next update, as for `SessionStore.register_wait`.
    """

    def __init__(self, dispatcher: Dispatcher, bot: Bot, *, ttl: Ttl = 3600) -> None:
        self._dispatcher = dispatcher
        self._bot = bot
        self._ttl = ttl

    async def _answer(self, claim: Claim, reply: Reply) -> None:
        update = Update.model_validate_json(reply.body, context={"bot": self._bot})
        await self._dispatcher.feed_update(self._bot, update, **{_CLAIM: claim})
        if not claim.is_over:
            await claim.park(claim.scope, claim.data, ttl=self._ttl)


class Waiting(Filter):
    """Filter for updates of users that are waited for; the handler gets the argument `wait`.

    Args:
        store: Where the waits are.
        ctx: The tenant: env, tenant and team.
        places: Says where an update comes in.

    Raises:
        InvalidInputError: The team of `ctx` is ``-``.
        TypeError: `store` is no SessionStore.
    """

    def __init__(self, store: SessionStore, ctx: TenantCtx, *, places: PlaceOf = place_of) -> None:
        check_instance("store", store, SessionStore)
        check_ctx(ctx)
        self._store = store
        self._ctx = ctx
        self._places = places

    async def __call__(self, event: TelegramObject, event_update: Update) -> bool | dict[str, Any]:  # noqa: ARG002  # given by aiogram
        """Return the wait, as the argument `wait`; False without one."""
        place = self._places(event_update)
        if place is None:
            return False
        wait = await self._store.find_wait(self._ctx.with_user(place.user), place.user, place.scope)
        return False if wait is None else {"wait": wait}


def _place(ctx: TenantCtx, key: StorageKey) -> _Place:
    return _Place(_key(_STATE, key, ctx), _key(_DATA, key, ctx), ctx.with_user(str(key.user_id)))


def _door(ctx: TenantCtx, key: StorageKey) -> _Door:
    session, user = _key("lock", key, ctx), str(key.user_id)
    return _Door(session, ctx.with_user(user), user, ReplyScope("aiogram:lock", thread=session))


def _key(kind: str, key: StorageKey, ctx: TenantCtx) -> SessionKey:
    """Return the session key for a key of aiogram; another one for each kind."""
    parts = (key.bot_id, key.chat_id, key.user_id, key.thread_id, key.business_connection_id, key.destiny)
    text = "".join("-," if part is None else f"{len(str(part))}:{part}," for part in parts)
    return webhook_to_session_key(f"aiogram-{kind}", str(key.user_id), text, ctx=ctx)
