"""A web service whose flow is resumed by a webhook, with FastAPI.

A delivery that comes twice is answered twice, and run once. Any number of processes may serve one
Redis. Run one with::

    STORE_URL=redis://localhost uvicorn --factory fastapi_webhook:make_app
"""

import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated

import msgspec
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from greentic_session import (
    ConflictError,
    InvalidInputError,
    OperationTimeoutError,
    ReplyScope,
    SessionData,
    SessionStore,
    TenantCtx,
    UnavailableError,
    create_session_store,
)
from greentic_session.mapping import webhook_to_session_key

DAY = 24 * 3600


class Start(BaseModel):
    """Begin a booking."""

    user: str
    chat: str


class Delivery(Start):
    """What somebody answered.

    The provider delivers it again, with the same id, until it is answered with a 2xx.
    """

    id: str
    text: str


class Booking(msgspec.Struct, frozen=True):
    """The state of the flow; its number tells this one from all others."""

    number: str


class Receipt(msgspec.Struct, frozen=True):
    """What a delivery came to, and which booking it was for.

    It outlives the flow, for a delivery that comes again.
    """

    answer: str
    number: str


async def book(number: str, guests: str) -> str:
    """Do what must not be done twice."""
    return f"A table for {guests}, booked as {number}."


async def store_of(request: Request) -> SessionStore:
    """Return the store that `make_app` opened."""
    store: SessionStore = request.app.state.store
    return store


Store = Annotated[SessionStore, Depends(store_of)]


def snapshot(ctx: TenantCtx, flow: str, node: str, state: object) -> SessionData:
    """Return what is stored of a flow that stands at `node`."""
    return SessionData.new(ctx, flow, node, context=state)


def make_app(run: Callable[[str, str], Awaitable[str]] = book) -> FastAPI:
    """Return the service; `run` is the flow's last step."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with create_session_store(os.environ["STORE_URL"]) as app.state.store:
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/{tenant}/start")
    async def start(tenant: str, body: Start, store: Store) -> dict[str, str]:
        ctx = TenantCtx.new("prod", tenant, user=body.user)
        data = snapshot(ctx, "booking", "how_many", Booking(str(uuid.uuid4())))
        await store.register_wait(ctx, body.user, ReplyScope(body.chat), str(uuid.uuid4()), data, ttl=DAY)
        return {"answer": "A table for how many?"}

    @app.post("/{tenant}/webhook")
    async def webhook(tenant: str, body: Delivery, store: Store) -> dict[str, str | None]:
        ctx = TenantCtx.new("prod", tenant, user=body.user)
        receipt_key = webhook_to_session_key("provider", body.user, body.id, ctx=ctx)
        claim = await store.claim_wait(ctx, body.user, ReplyScope(body.chat), lease=30)
        if claim is None:
            stored = await store.get_session(receipt_key, ctx=ctx)
            if stored is None:
                return {"answer": None}  # nothing waits, and nothing did
            return {"answer": stored.context(Receipt).answer}
        async with claim:  # if anything fails, the flow waits on
            booking = claim.data.context(Booking)
            stored = await store.get_session(receipt_key, ctx=ctx)
            if stored is None:
                receipt = Receipt(await run(booking.number, body.text), booking.number)
                # The receipt first. Should we die before the verdict, the same delivery, coming
                # again, makes up for it.
                await store.create_session(ctx, snapshot(ctx, "receipt", "done", receipt), key=receipt_key, ttl=7 * DAY)
            else:
                receipt = stored.context(Receipt)
            if receipt.number == booking.number:  # else this flow is a later one, and waits for another delivery
                await claim.complete()
            return {"answer": receipt.answer}

    @app.exception_handler(ConflictError)  # others are at it (ClaimedError), or were faster because our lease had ended
    @app.exception_handler(UnavailableError)
    @app.exception_handler(OperationTimeoutError)
    async def come_again(request: Request, error: Exception) -> JSONResponse:
        # Not a 2xx: whoever is at it may die, and then this delivery is needed. And not a 4xx, not
        # even 409: for many providers that is final. When it comes again, the receipt is there.
        return JSONResponse({"detail": "come again"}, status_code=503, headers={"Retry-After": "1"})

    @app.exception_handler(InvalidInputError)
    async def refuse(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status_code=422)

    return app
