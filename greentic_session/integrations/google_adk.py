"""Session service of google-adk on conversations: ``Runner(..., session_service=...)``.

It needs the framework: ``python -m pip install 'greentic-session[google-adk]'``.

A session is a conversation, its events are the messages. The sessions of one user of an app are a
partition of their own, so that a list reads no others; beside them lies the state of the user, and
in a partition of the app the app's state and the names of its users.
"""

import uuid
from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from typing import Any, Final

from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events.event import Event
from google.adk.sessions import BaseSessionService, Session
from google.adk.sessions.base_session_service import GetSessionConfig, ListSessionsResponse

from greentic_session.conversation import Conversation, ConversationStore
from greentic_session.errors import ConflictError, NotFoundError
from greentic_session.mapping import text_to_id
from greentic_session.models import TenantCtx

from ._tenant import ConversationsOfTenant

__all__ = ["ConversationSessionService"]

_APP: Final = "app:"
_USER: Final = "user:"
_TEMP: Final = "temp:"
_STATE: Final = "state"
"""The conversation that holds the state of an app or a user."""
_MAX_PARTITIONS: Final = 4096
"""How many partitions are remembered: to make a name takes as long as to find a conversation."""
_SESSION: Final = "session:"
"""How the id of a conversation that is a session begins."""


class ConversationSessionService(ConversationsOfTenant, BaseSessionService):  # type: ignore[misc]  # untyped where it is not installed
    """Sessions, users and apps of one tenant.

    An event is appended whatever others have appended meanwhile: nothing compares clocks, no event
    is lost, and the state of a session is what its events in their order make of it. Values of
    users and apps are written one by one; the last writer wins.

    Besides what is said below, the methods raise the errors of a `ConversationStore`.

    Args:
        conversations: Where all is kept, made with ``message_type=dict[str, Any]``. With a `ttl`,
            make it `sliding`: states have it, too. The caller closes it.
        ctx: The tenant: env, tenant and team. What belongs to others is absent.

    Raises:
        InvalidInputError: The team of `ctx` is ``-``.
        TypeError: An argument has a wrong type.
    """

    def __init__(self, conversations: ConversationStore[dict[str, Any]], ctx: TenantCtx) -> None:
        super().__init__(conversations, ctx)
        self._partition = lru_cache(_MAX_PARTITIONS)(partial(_partition, ctx))

    async def create_session(
        self, *, app_name: str, user_id: str, state: dict[str, Any] | None = None, session_id: str | None = None
    ) -> Session:
        """Create a session.

        Raises:
            AlreadyExistsError: The user has a session with this id in this app.
        """
        id = (session_id or "").strip() or str(uuid.uuid4())
        app, user = self._partition(app_name), self._partition(app_name, user_id)
        values = state or {}
        new: Conversation[dict[str, Any]] = Conversation.new(_SESSION + id)
        new.state.custom = _of_session(values)
        await self._change(app, metadata={user_id: ""})
        try:
            await self._conversations.save(user, new)
        except ConflictError as error:
            raise AlreadyExistsError("the user has a session with this id") from error
        await self._change(app, custom=_without(_APP, values))
        await self._change(user, custom=_without(_USER, values))
        return await self._session(app_name, user_id, new, [])

    async def get_session(
        self, *, app_name: str, user_id: str, session_id: str, config: GetSessionConfig | None = None
    ) -> Session | None:
        """Return a session with its events and state; None without one."""
        try:
            found = await self._conversations.load(self._partition(app_name, user_id), _SESSION + session_id.strip())
        except NotFoundError:
            return None
        for message in found.messages:
            found.state.custom |= _of_session(message.get("actions", {}).get("stateDelta", {}))
        messages = found.messages
        if config is not None and config.num_recent_events is not None:
            messages = messages[max(len(messages) - config.num_recent_events, 0) :]
        if config is not None and config.after_timestamp is not None:
            early = [number for number, message in enumerate(messages, 1) if message["timestamp"] < config.after_timestamp]
            messages = messages[max(early, default=0) :]
        events = [Event.model_validate(message) for message in messages]
        return await self._session(app_name, user_id, found, events)

    async def list_sessions(self, *, app_name: str, user_id: str | None = None) -> ListSessionsResponse:
        """Return the sessions of a user or of the whole app, without events and states.

        The one that was changed last comes last.
        """
        users: Iterable[str] = [user_id] if user_id is not None else (await self._state(self._partition(app_name))).metadata
        sessions = [
            Session(
                app_name=app_name,
                user_id=user,
                id=summary.id.removeprefix(_SESSION),
                last_update_time=summary.updated_at.timestamp(),
            )
            for user in users
            for summary in await self._conversations.list(self._partition(app_name, user))
            if summary.id.startswith(_SESSION)
        ]
        sessions.sort(key=lambda session: (session.last_update_time, session.user_id, session.id))
        return ListSessionsResponse(sessions=sessions)

    async def delete_session(self, *, app_name: str, user_id: str, session_id: str) -> None:
        """Delete a session, if there is one; the states of its user and app stay."""
        try:
            await self._conversations.delete(self._partition(app_name, user_id), _SESSION + session_id.strip())
        except NotFoundError:
            pass

    async def get_user_state(self, *, app_name: str, user_id: str) -> dict[str, Any]:
        """Return the state of a user in an app, by names without ``user:``."""
        return (await self._state(self._partition(app_name, user_id))).state.custom

    async def append_event(self, session: Session, event: Event) -> Event:
        """Append an event to a session, and to the object; one that is partial to none.

        Values of the user and the app are written first: if that fails, or the event itself cannot
        be written, it may be appended again.

        Raises:
            SessionNotFoundError: There is no such session.
        """
        if event.partial:
            return event
        app, user = self._partition(session.app_name), self._partition(session.app_name, session.user_id)
        written = event.model_dump(mode="json", exclude_none=True, by_alias=True)
        delta = _delta(event)
        _trim(written)
        try:
            if any(name.startswith((_APP, _USER)) for name in delta):
                await self._conversations.messages(user, _SESSION + session.id, last=0)
                await self._change(app, custom=_without(_APP, delta))
                await self._change(user, custom=_without(_USER, delta))
            await self._conversations.append(user, _SESSION + session.id, written)
        except NotFoundError as error:
            raise SessionNotFoundError("there is no such session") from error
        appended = await super().append_event(session, event)
        session.last_update_time = event.timestamp
        return appended

    # -- below: partitions and states

    async def _state(self, partition: TenantCtx) -> Conversation[dict[str, Any]]:
        try:
            return await self._conversations.load(partition, _STATE)
        except NotFoundError:
            return Conversation.new(_STATE)

    async def _change(self, partition: TenantCtx, **change: Mapping[str, Any]) -> None:
        """Set values of an app or a user; the first ones create its state."""
        while any(change.values()):
            try:
                await self._conversations.update_state(partition, _STATE, **change)  # type: ignore[arg-type]  # two of its maps
            except NotFoundError:
                try:
                    await self._conversations.create(partition, id=_STATE)
                except ConflictError:
                    pass  # another one has created it
            else:
                return

    async def _session(
        self, app_name: str, user_id: str, found: Conversation[dict[str, Any]], events: list[Event]
    ) -> Session:
        state = found.state.custom
        app, user = await self._state(self._partition(app_name)), await self._state(self._partition(app_name, user_id))
        state |= {_APP + name: value for name, value in app.state.custom.items()}
        state |= {_USER + name: value for name, value in user.state.custom.items()}
        return Session(
            app_name=app_name,
            user_id=user_id,
            id=found.id.removeprefix(_SESSION),
            state=state,
            events=events,
            last_update_time=found.updated_at.timestamp(),
        )


def _partition(ctx: TenantCtx, *names: str) -> TenantCtx:
    """Return the partition of an app or a user: a team of its own, another for other names."""
    parts = "".join(f"{len(name)}:{name}," for name in (ctx.effective_team or "", *names))
    return ctx.with_team(text_to_id(f"adk:{parts}"))


def _delta(event: Event) -> dict[str, Any]:
    return dict(event.actions.state_delta) if event.actions and event.actions.state_delta else {}


def _of_session(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if not name.startswith((_APP, _USER, _TEMP))}


def _without(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}


def _trim(written: dict[str, Any]) -> None:
    """Remove what an invocation keeps for itself from an event's JSON."""
    delta: dict[str, Any] = written.get("actions", {}).get("stateDelta", {})
    for name in [name for name in delta if name.startswith(_TEMP)]:
        del delta[name]
