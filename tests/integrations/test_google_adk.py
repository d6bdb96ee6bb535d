"""The session service of google-adk on conversations, beside the framework's own in memory."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from greentic_session import InvalidInputError, TenantCtx
from greentic_session.conversation import ConversationStore, create_conversation_store

pytest.importorskip("google.adk", reason="install the extra: python -m pip install 'greentic-session[google-adk]'")
from google.adk.agents import BaseAgent  # it needs the framework
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events import Event, EventActions
from google.adk.runners import Runner
from google.adk.sessions import InMemorySessionService
from google.adk.sessions.base_session_service import GetSessionConfig
from google.genai import types

from greentic_session.integrations.google_adk import ConversationSessionService

pytestmark = pytest.mark.asyncio

ACME, GLOBEX = TenantCtx.new("dev", "acme", team="ops"), TenantCtx.new("dev", "globex")
ANN: Any = {"app_name": "desk", "user_id": "ann@example.org"}
BOB: Any = {"app_name": "desk", "user_id": "bob"}


@pytest.fixture
def service(conversations: ConversationStore[dict[str, Any]]) -> ConversationSessionService:
    return ConversationSessionService(conversations, ACME)


def event(text: str, at: float = 1.0, **delta: Any) -> Any:
    content = types.Content(role="user", parts=[types.Part(text=text), types.Part.from_bytes(data=b"\xff", mime_type="a/b")])
    return Event(author="user", content=content, timestamp=at, actions=EventActions(state_delta=delta))


def told(session: Any) -> tuple[dict[str, Any], list[str]]:
    return session.state, [found.content.parts[0].text for found in session.events]


async def scenario(service: Any) -> list[Any]:
    """Do one thing after another; return what was to be seen."""
    seen: list[Any] = []
    state = {"step": 1, "app:motd": "hi", "user:lang": "de", "temp:x": 1}
    session = await service.create_session(**ANN, session_id=" s1 ", state=state)
    seen += [session.id, session.user_id, told(session)]
    with pytest.raises(AlreadyExistsError):
        await service.create_session(**ANN, session_id="s1", state={"app:motd": "lost"})
    deltas: list[dict[str, Any]] = [{"step": 2}, {"user:lang": "en", "temp:y": 2}, {"app:motd": None, "list": [1, {}]}]
    for number, delta in enumerate(deltas, 1):
        await service.append_event(session, event(f"e{number}", float(number), **delta))
        seen.append(told(session))
    partial = event("partial")
    partial.partial = True
    await service.append_event(session, partial)
    found = await service.get_session(**ANN, session_id="s1")
    seen.append(told(found))
    seen += [found.events[0].content.parts[1].inline_data.data, found.events[1].actions.state_delta]
    for config in (
        GetSessionConfig(num_recent_events=0),
        GetSessionConfig(num_recent_events=2),
        GetSessionConfig(num_recent_events=9),
        GetSessionConfig(after_timestamp=2.0),
        GetSessionConfig(after_timestamp=7.0),
    ):
        seen.append(told(await service.get_session(**ANN, session_id="s1", config=config)))
    other = await service.create_session(**BOB, session_id="s1")
    seen.append(told(other))
    seen.append(told(await service.create_session(app_name="other", user_id="bob", session_id="s1")))
    await service.create_session(**ANN, session_id="s2")
    seen.append([found.id for found in (await service.list_sessions(**ANN)).sessions])
    seen.append({(found.user_id, found.id) for found in (await service.list_sessions(app_name="desk")).sessions})
    seen.append([found.events for found in (await service.list_sessions(app_name="none")).sessions])
    for _ in range(2):
        await service.delete_session(**ANN, session_id="s1")
    seen += [await service.get_session(**ANN, session_id="s1"), await service.get_session(**ANN, session_id="no")]
    seen.append(told(await service.get_session(**ANN, session_id="s2")))
    return seen


async def test_it_does_what_the_frameworks_own_does(service: ConversationSessionService) -> None:
    assert await scenario(service) == await scenario(InMemorySessionService())


async def test_an_event_of_a_deleted_session_writes_nothing(service: ConversationSessionService) -> None:
    session = await service.create_session(**ANN, session_id="s1", state={"app:motd": "hi"})
    await service.delete_session(**ANN, session_id="s1")
    late: Any = {"app:motd": "late", "user:lang": "en"}
    with pytest.raises(SessionNotFoundError):
        await service.append_event(session, event("late", **late))
    assert told(await service.create_session(**ANN, session_id="s2")) == ({"app:motd": "hi"}, [])


class Clerk(BaseAgent):  # type: ignore[misc]  # untyped where it is not installed
    """An agent that counts what it is asked."""

    async def _run_async_impl(self, ctx: Any) -> AsyncIterator[Any]:
        asked = ctx.session.state.get("asked", 0) + 1
        content = types.Content(role="model", parts=[types.Part(text=f"question {asked}")])
        actions = EventActions(state_delta={"asked": asked})
        yield Event(author=self.name, invocation_id=ctx.invocation_id, content=content, actions=actions)


async def test_the_frameworks_runner_goes_on_in_another_process(conversations: ConversationStore[dict[str, Any]]) -> None:
    await ConversationSessionService(conversations, ACME).create_session(**ANN, session_id="s1")
    said: list[str] = []
    for text in ("one?", "two?"):
        service = ConversationSessionService(conversations, ACME)
        runner = Runner(app_name="desk", agent=Clerk(name="clerk"), session_service=service)
        message = types.Content(role="user", parts=[types.Part(text=text)])
        events = runner.run_async(user_id=ANN["user_id"], session_id="s1", new_message=message)
        said += [found.content.parts[0].text async for found in events]
    assert said == ["question 1", "question 2"]
    session = await ConversationSessionService(conversations, ACME).get_session(**ANN, session_id="s1")
    assert session is not None
    assert told(session) == ({"asked": 2}, ["one?", "question 1", "two?", "question 2"])


async def test_writers_with_old_objects_and_wrong_clocks_lose_nothing(service: ConversationSessionService) -> None:
    await service.create_session(**ANN, session_id="s1")
    held = [await service.get_session(**ANN, session_id="s1") for _ in range(5)]

    async def write(number: int, session: Any) -> None:
        for index in range(4):
            told_at = 1000.0 - 100 * number - index
            await service.append_event(
                session, event(f"{number} {index}", told_at, last=[number, index], **{f"w{number}": index})
            )

    await asyncio.gather(*(write(number, session) for number, session in enumerate(held)))
    session = await service.get_session(**ANN, session_id="s1")
    assert session is not None
    state, texts = told(session)
    assert sorted(texts) == sorted(f"{number} {index}" for number in range(5) for index in range(4))
    assert [state[f"w{number}"] for number in range(5)] == [3] * 5
    assert state["last"] == [int(part) for part in texts[-1].split()]  # the state is what the last event made of it


async def test_tenants_and_teams_are_apart(conversations: ConversationStore[dict[str, Any]]) -> None:
    mine = ConversationSessionService(conversations, ACME)
    await mine.create_session(**ANN, session_id="s1", state={"app:a": 1, "user:u": 1})
    for ctx in (GLOBEX, ACME.with_team(None), ACME.with_team("sales")):
        yours = ConversationSessionService(conversations, ctx)
        assert await yours.get_session(**ANN, session_id="s1") is None
        assert (await yours.list_sessions(app_name="desk")).sessions == []
        assert told(await yours.create_session(**ANN, session_id="s1"))[0] == {}
        await yours.delete_session(**ANN, session_id="s1")
    assert (await mine.get_session(**ANN, session_id="s1")) is not None
    assert await mine.get_user_state(**ANN) == {"u": 1}


async def test_names_that_look_alike_are_apart(service: ConversationSessionService) -> None:
    names = [("a", "b:c"), ("a:b", "c"), ("a,1:b", "c"), ("A", "b:c"), ("a", "b_3ac"), ("ä" * 300, "ö" * 300)]
    for app_name, user_id in names:
        await service.create_session(app_name=app_name, user_id=user_id, session_id="state", state={"user:who": user_id})
    for app_name, user_id in names:
        listed = (await service.list_sessions(app_name=app_name)).sessions
        assert [(found.user_id, found.id) for found in listed if found.user_id == user_id] == [(user_id, "state")]
        assert await service.get_user_state(app_name=app_name, user_id=user_id) == {"who": user_id}


async def test_what_is_refused() -> None:
    wrong: Any = "memory://"
    async with create_conversation_store("memory://", message_type=dict[str, Any]) as store:
        refused: list[tuple[Any, type[Exception]]] = [
            (lambda: ConversationSessionService(wrong, ACME), TypeError),
            (lambda: ConversationSessionService(store, wrong), TypeError),
            (lambda: ConversationSessionService(store, ACME.with_team("-")), InvalidInputError),
        ]
        for make, error in refused:
            with pytest.raises(error):
                make()
