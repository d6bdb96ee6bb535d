"""Several calls at the same time."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

__all__ = ["first_error", "together"]

T = TypeVar("T")


async def together(call: Callable[[], Awaitable[T]], times: int, into: list[T]) -> None:
    """Await as many calls at the same time, and add what they return to `into`.

    Args:
        call: What is called.
        times: How often.
        into: Gets the answers, in no order; where some have failed or were cancelled, those of the
            others.

    Raises:
        BaseException: What the first one that failed has raised. The others are cancelled.
    """

    async def run() -> None:
        into.append(await call())

    try:
        async with anyio.create_task_group() as tasks:
            for _ in range(times):
                tasks.start_soon(run)
    except BaseExceptionGroup as errors:
        raise first_error(errors) from None


def first_error(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error of a group, of groups within it, too."""
    first = errors.exceptions[0]
    return first_error(first) if isinstance(first, BaseExceptionGroup) else first
