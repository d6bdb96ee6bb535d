"""Stores of a command, opened by its arguments."""

import argparse
import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from greentic_session._redis.scheme import scheme_of
from greentic_session._sqlite.url import SQLITE_SCHEME
from greentic_session.admin import Inspector
from greentic_session.backend import SessionBackend
from greentic_session.conversation import ConversationStore, create_conversation_store
from greentic_session.errors import InvalidInputError
from greentic_session.factory import create_session_store
from greentic_session.store import SessionStore

from .arguments import ENVIRONMENT

__all__ = ["MEMORY", "Opened", "check_named", "open_conversations", "open_sessions", "opened"]

T = TypeVar("T")

MEMORY: Final = "memory://"
"""The store that is there for one command only."""


class Opened:
    """A store that is open, and the event loop that it is used in.

    One loop serves several steps of a command, and it stands still while the command asks its
    operator.
    """

    def __init__(self, store: SessionStore, runner: asyncio.Runner) -> None:
        self.store = store
        self._runner = runner

    @property
    def backend(self) -> SessionBackend:
        """What the store keeps its sessions in."""
        return self.store.backend

    @property
    def inspector(self) -> Inspector:
        """The inspector of that backend.

        Raises:
            InvalidInputError: Nobody can.
        """
        inspector = self.backend.inspector()
        if inspector is None:
            raise InvalidInputError("this store cannot be looked into")
        return inspector

    def run(self, step: Coroutine[Any, Any, T]) -> T:
        """Do something in the loop, and return what it returns."""
        return self._runner.run(step)


@contextmanager
def opened(args: argparse.Namespace) -> Iterator[Opened]:
    """Open the store that the arguments name; it is closed after the block.

    Raises:
        GreenticError: It failed.
        InvalidInputError: None is named, or it is none.
    """
    check_named(args)
    store = open_sessions(args)
    with asyncio.Runner() as runner:
        try:
            runner.run(store.health())
            yield Opened(store, runner)
        finally:
            runner.run(store.aclose())


def check_named(args: argparse.Namespace) -> None:
    """Refuse arguments that name no store.

    Raises:
        InvalidInputError: None is named.
    """
    if args.store is None:
        raise InvalidInputError(f"no store is named: say --store URL, or set {ENVIRONMENT}")


def open_sessions(args: argparse.Namespace) -> SessionStore:
    """Return the session store that the arguments name, or one in memory. No I/O."""
    url = _url(args)
    if url == MEMORY or args.namespace is None:
        return create_session_store(url)
    if scheme_of(url) == SQLITE_SCHEME:
        raise InvalidInputError("sessions in a SQLite file have no namespaces: leave --namespace out")
    return create_session_store(url, namespace=args.namespace)


def open_conversations(args: argparse.Namespace, **options: Any) -> ConversationStore[Any]:
    """Return the conversation store beside it. No I/O."""
    return create_conversation_store(_url(args), namespace=args.namespace, **options)


def _url(args: argparse.Namespace) -> str:
    url: str | None = args.store
    return MEMORY if url is None else url
