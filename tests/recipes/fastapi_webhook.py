"""A shop whose orders wait for a payment provider's webhook, with FastAPI.

The callback may come before the order waits for it, twice, late, or while another worker is at the
order. It is answered at once, and what follows is done by whichever process is there. Any number of
them may share one store. Run one with::

    STORE_URL=redis://localhost uvicorn --factory fastapi_webhook:make_app
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Literal, Protocol

import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from greentic_session import (
    Claim,
    InboxFullError,
    InvalidInputError,
    OperationTimeoutError,
    ReplyScope,
    Runner,
    SessionData,
    Start,
    TenantCtx,
    UnavailableError,
    create_session_store,
)

MINUTE, HOUR, DAY = 60, 3600, 24 * 3600


class Shop(Protocol):
    """What is done elsewhere, each with a key: what was done under a key is not done again.

    `charge` asks the provider for a payment and returns its id; the webhook may be called at once.
    """

    async def charge(self, order: str, key: str) -> str: ...

    async def ship(self, order: str, key: str) -> None: ...

    async def refund(self, order: str, key: str) -> None: ...


class Checkout(BaseModel):
    """Somebody buys something."""

    user: str
    order: str


class Callback(BaseModel):
    """What the provider calls the webhook with, and again until it gets a 2xx."""

    id: str
    user: str  # the provider gives back what it was given
    payment: str
    status: Literal["pending", "paid"]


class Order(msgspec.Struct, frozen=True):
    """The state of the flow."""

    id: str


async def work(shop: Shop, claim: Claim) -> None:
    """Do one step of an order. If it fails, or we die in it, it is done again with the same key."""
    order, key = claim.data.context(Order).id, claim.idempotency_key
    match claim.data.cursor.node_pointer:
        case "charge":
            payment = await shop.charge(order, key)
            # The callback may have come by now: it is kept where the order waits from here on.
            await claim.park(place_of(payment), claim.data.new_cursor("paid?"), ttl=15 * MINUTE, on_timeout="resume")
        case "paid?" if claim.reply is None:  # time is up; what is paid late is paid back
            await claim.park(claim.scope, claim.data.new_cursor("cancelled"), ttl=30 * DAY, on_timeout="forget")
        case node if claim.reply is not None and claim.reply.body == "paid":
            await (shop.ship(order, key) if node == "paid?" else shop.refund(order, key))
            await claim.complete()
        case _:
            await claim.stay()


def place_of(payment: str) -> ReplyScope:
    """Say where the callback of a payment comes in."""
    return ReplyScope(f"payment:{payment}")


def make_app(shop: Shop) -> FastAPI:
    """Return the service."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with (
            create_session_store(os.environ["STORE_URL"]) as store,
            Runner(store, partial(work, shop), shutdown_timeout=10) as app.state.runner,
        ):
            yield

    app = FastAPI(lifespan=lifespan)

    async def deliver(request: Request, tenant: str, user: str, *args: Any, **options: Any) -> JSONResponse:
        runner: Runner = request.app.state.runner
        delivery = await runner.deliver(TenantCtx.new("prod", tenant, user=user), user, *args, **options)
        return JSONResponse({"outcome": delivery.outcome}, status_code=202)  # accepted: it is in the store

    @app.post("/{tenant}/checkout")
    async def checkout(tenant: str, body: Checkout, request: Request) -> JSONResponse:
        ctx = TenantCtx.new("prod", tenant, user=body.user)
        start = Start(SessionData.new(ctx, "order", "charge", context=Order(body.order)), ttl=DAY)
        place = ReplyScope(f"order:{body.order}")
        return await deliver(request, tenant, body.user, place, "checkout", delivery_id="checkout", start=start)

    @app.post("/{tenant}/webhook")
    async def webhook(tenant: str, body: Callback, request: Request) -> JSONResponse:
        place = place_of(body.payment)  # check the provider's signature before you come here
        return await deliver(request, tenant, body.user, place, body.status, delivery_id=body.id, keep_for=HOUR)

    @app.exception_handler(UnavailableError)
    @app.exception_handler(OperationTimeoutError)
    @app.exception_handler(InboxFullError)
    async def come_again(request: Request, error: Exception) -> JSONResponse:
        # Not a 4xx, not even 409 or 429: for many providers that is final.
        return JSONResponse({"detail": "come again"}, status_code=503, headers={"Retry-After": "1"})

    @app.exception_handler(InvalidInputError)
    async def refuse(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status_code=422)

    return app
