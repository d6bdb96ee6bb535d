"""Answers of Redis that are of another kind than what was asked for.

A script says of what type its answer is as a whole (see `scripts`), and whoever reads an answer
takes it apart as if it was in order. Where it is not, that fails in Python's way; `reading_answers`
makes one error of it, for all operations of a backend.
"""

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from functools import wraps
from types import CoroutineType
from typing import Any, NoReturn, ParamSpec, TypeVar, cast

import msgspec

from greentic_session.errors import GreenticError, InternalError

__all__ = ["UNREADABLE", "foreign", "handed_on", "number", "reading_answers", "refuse", "texts"]

C = TypeVar("C")
P = ParamSpec("P")
T = TypeVar("T")

UNREADABLE = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, msgspec.MsgspecError)
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
        if inspect.iscoroutinefunction(member):
            setattr(backend, name, _call(member))
        elif inspect.isasyncgenfunction(member):
            setattr(backend, name, _iteration(member))
    return backend


def handed_on(operation: Callable[P, Awaitable[T]]) -> "Callable[P, CoroutineType[Any, Any, T]]":
    """Declare an operation of a backend that hands on a coroutine which reads its answers itself.

    A coroutine that only awaits another one takes time at every call.
    """
    return cast("Callable[P, CoroutineType[Any, Any, T]]", operation)


def refuse(error: Exception) -> NoReturn:
    """Raise what it means that an answer could not be taken apart, with one of `UNREADABLE`.

    Raises:
        GreenticError: The error, if it is one of ours.
        InternalError: It is none.
    """
    if isinstance(error, GreenticError):
        raise error
    raise foreign() from error


def _call(operation: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @wraps(operation)
    async def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return await operation(*args, **kwargs)
        except UNREADABLE as error:
            refuse(error)

    return guarded


def _iteration(operation: Callable[..., AsyncGenerator[Any, None]]) -> Callable[..., AsyncIterator[Any]]:
    @wraps(operation)
    async def guarded(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
        try:
            async with aclosing(operation(*args, **kwargs)) as found:
                async for each in found:
                    yield each
        except UNREADABLE as error:
            refuse(error)

    return guarded
