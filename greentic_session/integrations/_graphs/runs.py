"""Runs of graphs: which calls of a saver are of the same run.

A run begins where the graph that was invoked asks for its checkpoint: it gets a *token*, which it
carries in its config to whatever it writes, and to its subgraphs, for langgraph makes their configs
of that one. It makes a copy of it before it asks in rare cases (a thread id that is no text); there
the context of the run carries the token as well. It imports no langgraph.
"""

from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

__all__ = ["TOKEN", "begin", "go_on", "hold", "token_of"]

TOKEN: Final = "__greentic_run"  # noqa: S105  # the name of a token
"""The configurable value that tells a run from others; metadata leave out what begins so."""
_TASK: Final = "__pregel_task_id"
"""The configurable value that calls from within a task have, and so those of subgraphs."""
_RUNTIME: Final = "__pregel_runtime"
"""The configurable value that a run has."""

_run: ContextVar[str | None] = ContextVar("greentic_session_run", default=None)


def token_of(values: Mapping[str, Any], tag: str) -> str | None:
    """Return the token of the run that a task belongs to, if it is a run of this thread.

    Args:
        values: The configurable values of the config that langgraph gives.
        tag: The end of the tokens of the thread.
    """
    if _TASK not in values:
        return None
    for token in (values.get(TOKEN), _run.get()):
        if token is not None and token.endswith(tag):
            return str(token)
    return None


def begin(values: MutableMapping[str, Any], token: str, *, is_new: bool) -> None:
    """Let a run carry its token; `is_new` is whether it finds no checkpoint.

    A run takes over what it finds in the config of a checkpoint; without one it goes on with this
    config, of which it makes those of subgraphs. That of somebody who only reads stays as it is.
    """
    if is_new or _RUNTIME in values:
        values[TOKEN] = token


def go_on(values: Mapping[str, Any]) -> None:
    """Let the context of a run carry its token, too."""
    if _RUNTIME in values and TOKEN in values:
        _run.set(values[TOKEN])


@contextmanager
def hold() -> Iterator[None]:
    """Keep the token of the context while its run reads on."""
    before = _run.get()
    try:
        yield
    finally:
        _run.set(before)
