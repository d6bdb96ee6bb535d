"""Sessions in programs of Starlette and FastAPI: a lifespan, and dependencies.

It needs the framework: ``python -m pip install 'greentic-session[starlette]'``.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Final

from starlette.requests import HTTPConnection

from greentic_session.runner import Runner
from greentic_session.store import SessionStore

__all__ = ["SessionLifespan", "session_runner", "session_store"]

_STORE: Final = "greentic_session_store"
_RUNNER: Final = "greentic_session_runner"


class SessionLifespan:
    """Lifespan of an application with a store, and with a `Runner` if it is to have one.

    ``FastAPI(lifespan=SessionLifespan(...))``. Where the application stops, the runner takes
    nothing new and lets its turns finish; then the store is closed.

    Args:
        make_store: Returns the store; called in the event loop of the application, each time that
            it starts.
        make_runner: Returns the runner for a store. Give it a `shutdown_timeout` shorter than the
            server's, so that turns that last longer go on elsewhere.
        within: Another lifespan, which begins when the store is there and ends before it is closed;
            what it yields is in the state of requests, too.

    Raises:
        TypeError: An argument is no function.
    """

    def __init__(
        self,
        make_store: Callable[[], SessionStore],
        make_runner: Callable[[SessionStore], Runner] | None = None,
        *,
        within: Callable[[Any], AbstractAsyncContextManager[Any]] | None = None,
    ) -> None:
        for name, function in (("make_store", make_store), ("make_runner", make_runner), ("within", within)):
            if not callable(function) and (function is not None or name == "make_store"):
                raise TypeError(f"{name} must be a function, not {type(function).__name__}")
        self._make_store = make_store
        self._make_runner = make_runner
        self._within = within

    def __call__(self, app: Any) -> AbstractAsyncContextManager[dict[str, Any]]:
        """Return the context manager in which an application runs."""
        return self._run(app)

    @asynccontextmanager
    async def _run(self, app: Any) -> AsyncIterator[dict[str, Any]]:
        async with AsyncExitStack() as stack:
            store = await stack.enter_async_context(self._make_store())
            state: dict[str, Any] = {_STORE: store}
            if self._within is not None:
                state |= await stack.enter_async_context(self._within(app)) or {}
            if self._make_runner is not None:
                state[_RUNNER] = await stack.enter_async_context(self._make_runner(store))
            yield state


async def session_store(connection: HTTPConnection) -> SessionStore:
    """Return the store of the application that a request or websocket came to.

    In FastAPI it is a dependency: ``Annotated[SessionStore, Depends(session_store)]``.

    Raises:
        RuntimeError: The application has no `SessionLifespan`, or it did not run.
    """
    found: SessionStore = _of(connection, _STORE)
    return found


async def session_runner(connection: HTTPConnection) -> Runner:
    """Return the runner of the application: ``Annotated[Runner, Depends(session_runner)]``.

    Raises:
        RuntimeError: The application has no `SessionLifespan` with a runner, or it did not run.
    """
    found: Runner = _of(connection, _RUNNER)
    return found


def _of(connection: HTTPConnection, name: str) -> Any:
    found = getattr(connection.state, name, None)
    if found is None:
        raise RuntimeError("give the application a SessionLifespan: Starlette(lifespan=SessionLifespan(...))")
    return found
