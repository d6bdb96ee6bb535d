"""Answers of Redis that are of another kind than what was asked for.

A script says of what type its answer is as a whole (see `scripts`), and whoever reads an answer
takes it apart as if it was in order. Where it is not, that fails in Python's way; `reading_answers`
makes one error of it, for all operations of a backend.
"""

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from functools import wraps
from typing import Any, TypeVar, get_origin

import msgspec

from greentic_session.errors import GreenticError, InternalError

__all__ = ["foreign", "number", "reading_answers", "texts"]

C = TypeVar("C")

_UNREADABLE = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, msgspec.MsgspecError)
"""What taking apart an answer of another kind raises."""


def foreign() -> InternalError:
    """Return the error for an answer that is of another kind than what was asked for."""
    return InternalError("Redis answered something of another kind than what was asked for: is it a Redis?")


def number(part: object) -> int:
    """Return a part of an answer that is a number.

    Raises:
        InternalError: It is none.
    """
    if type(part) is not int:
        raise foreign()
    return part


def texts(part: object) -> list[bytes]:
    """Return a part of an answer that is a list of texts.

    Raises:
        InternalError: It is none.
    """
    if type(part) is not list or not all(type(each) is bytes for each in part):
        raise foreign()
    return part


def reading_answers(backend: type[C]) -> type[C]:
    """Turn unreadable answers into an `InternalError`, in all public operations of a backend."""
    for name, member in list(vars(backend).items()):
        if name.startswith("_"):
            continue
        if inspect.iscoroutinefunction(member) or _returns_coroutine(member):
            setattr(backend, name, _call(member))
        elif inspect.isasyncgenfunction(member):
            setattr(backend, name, _iteration(member))
    return backend


def _returns_coroutine(member: object) -> bool:
    return inspect.isfunction(member) and get_origin(member.__annotations__.get("return")) is Coroutine


def _call(operation: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @wraps(operation)
    async def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return await operation(*args, **kwargs)
        except GreenticError:
            raise
        except _UNREADABLE as error:
            raise foreign() from error

    return guarded


def _iteration(operation: Callable[..., AsyncGenerator[Any, None]]) -> Callable[..., AsyncIterator[Any]]:
    @wraps(operation)
    async def guarded(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
        try:
            async with aclosing(operation(*args, **kwargs)) as found:
                async for each in found:
                    yield each
        except GreenticError:
            raise
        except _UNREADABLE as error:
            raise foreign() from error

    return guarded
