"""A lifespan and dependencies, in Starlette and in FastAPI."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import anyio
import pytest
from frameworks.office import ANN, CHAT

from greentic_session import Claim, Runner, SessionData, SessionStore, Start, create_session_store
from greentic_session.errors import UnavailableError

pytest.importorskip("starlette", reason="install the extra: python -m pip install 'greentic-session[starlette]'")
import httpx  # it needs the framework
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from greentic_session.integrations.starlette import SessionLifespan, session_runner, session_store

pytestmark = pytest.mark.asyncio


class Desk:
    """State that a test shares with its application."""

    def __init__(self, config: Any) -> None:
        self.config = config
        self.stores: list[SessionStore] = []
        self.said: list[str] = []
        self.heard = anyio.Event()

    def make_store(self) -> SessionStore:
        self.stores.append(create_session_store(self.config))
        return self.stores[-1]

    def make_runner(self, store: SessionStore) -> Runner:
        return Runner(store, self.work, shutdown_timeout=10)

    async def work(self, claim: Claim) -> None:
        assert claim.reply is not None
        self.said.append(claim.reply.body)
        await claim.complete()
        self.heard.set()


@pytest.fixture
def desk(config: Any) -> Desk:
    return Desk(config)


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Run an application as a server does: its lifespan gives the state of each request."""
    async with app.router.lifespan_context(app) as state:

        async def with_state(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "state": dict(state)}, receive, send)

        async with httpx.AsyncClient(transport=httpx.ASGITransport(with_state), base_url="http://desk") as client:
            yield client


async def test_fastapi(desk: Desk) -> None:
    app = FastAPI(lifespan=SessionLifespan(desk.make_store, desk.make_runner))

    @app.post("/say/{text}")
    async def say(text: str, runner: Annotated[Runner, Depends(session_runner)]) -> str:
        start = Start(SessionData.new(ANN, "desk", "begin"))
        return (await runner.deliver(ANN, "ann", CHAT, text, start=start)).outcome

    @app.get("/waits")
    async def waits(store: Annotated[SessionStore, Depends(session_store)]) -> int:
        return len(await store.list_waits_for_user(ANN, "ann"))

    async with serving(app) as client:
        assert (await client.post("/say/hello")).json() == "claimed"
        with anyio.fail_after(30):
            await desk.heard.wait()
        assert (await client.get("/waits")).json() == 0
    assert desk.said == ["hello"]
    with pytest.raises(UnavailableError):
        await desk.stores[0].health()


async def test_starlette_starts_again(desk: Desk) -> None:
    async def waits(request: Request) -> JSONResponse:
        store = await session_store(request)
        return JSONResponse([len(await store.list_waits_for_user(ANN, "ann")), request.state.name])

    @asynccontextmanager
    async def own(app: Any) -> AsyncIterator[dict[str, Any]]:
        yield {"name": "desk"}

    app = Starlette(routes=[Route("/waits", waits)], lifespan=SessionLifespan(desk.make_store, within=own))
    for _ in range(2):
        async with serving(app) as client:
            assert (await client.get("/waits")).json() == [0, "desk"]
    assert len(desk.stores) == 2


async def test_without_a_lifespan() -> None:
    async def waits(request: Request) -> JSONResponse:
        with pytest.raises(RuntimeError, match="SessionLifespan"):
            await session_runner(request)
        with pytest.raises(RuntimeError, match="SessionLifespan"):
            await session_store(request)
        return JSONResponse("refused")

    app = Starlette(routes=[Route("/waits", waits)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://desk") as client:
        assert (await client.get("/waits")).json() == "refused"


async def test_what_is_refused(desk: Desk) -> None:
    wrong: Any = "memory://"
    with pytest.raises(TypeError):
        SessionLifespan(wrong)
    with pytest.raises(TypeError):
        SessionLifespan(desk.make_store, wrong)
