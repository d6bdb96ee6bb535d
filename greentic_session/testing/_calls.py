"""Calls of a state machine, whose steps are synchronous, to a store, which is asynchronous."""

import asyncio
import warnings
from collections.abc import Awaitable
from typing import Any, ClassVar, TypeVar

__all__ = ["CallsAStore"]

T = TypeVar("T")
_TIMEOUT_S = 30


class CallsAStore:
    """Part of a state machine that calls a store and notes what comes of it."""

    loop: asyncio.AbstractEventLoop
    refusals: ClassVar[tuple[type[Exception], ...]]
    """The errors that a step may expect; any other fails the machine."""

    def run(self, call: Awaitable[T]) -> T:
        """Run one call to its end, for 30 seconds at most."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "use find_wait_by_scope", DeprecationWarning)
            return self.loop.run_until_complete(asyncio.wait_for(call, _TIMEOUT_S))

    def outcome(self, call: Awaitable[Any]) -> Any:
        """Return the result of a call, or the class of the refusal that it raises."""
        try:
            return self.run(call)
        except self.refusals as error:
            return type(error)
