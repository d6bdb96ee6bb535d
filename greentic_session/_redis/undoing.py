"""Taking back what a call did for a caller who does not get to know of it."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from redis import exceptions as driver

from greentic_session._concurrency.detached import Detached

from .connection import Call
from .executor import Arg
from .packing import pack

__all__ = ["Undoing"]


class Undoing:
    """Sends the `undo` of calls that were cancelled, late, or lost with their connection.

    It goes out behind the call on the same connection, so that it takes effect after it; where that
    connection is lost, on any other, once.

    Args:
        send: Sends a command on any connection.
        timeout: For how many seconds the answer is waited for, before the connection may be closed.
    """

    def __init__(self, send: Callable[[tuple[Arg, ...]], Awaitable[object]], timeout: float) -> None:
        self._send = send
        self._timeout = timeout
        self._detached = Detached()

    def take_back(self, call: Call) -> None:
        """Undo what a call may have done, if it was sent; a second time does nothing."""
        undo, connection, call.undo = call.undo, call.connection, None
        if undo is None or connection is None:
            return
        if connection.is_closing():
            self._detached.start(partial(self._send, undo))
            return
        loop = asyncio.get_running_loop()
        back = Call(pack(undo), loop.create_future(), loop.time() + self._timeout, before=call.before)

        def taken_back(answer: "asyncio.Future[Any]") -> None:
            if isinstance(answer.exception(), driver.ConnectionError):
                self._detached.start(partial(self._send, undo))

        back.answer.add_done_callback(taken_back)
        connection.send(back)
