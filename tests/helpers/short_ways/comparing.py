"""Random operations on two worlds at a time, one of which takes no short way.

Both are told the same, and what they answer, and what they store then, must be the same.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, Generic, TypeVar

from short_ways.operations import Operation, World, draw, same_ids

__all__ = ["Pair", "compare"]

W = TypeVar("W", bound=World)

_PASSING_S = [1, 1, 40, 40, 1_600, 20_000, 90_001]
"""Seconds that pass at a time; no lifetime ends right between the operations of two worlds."""


class Pair(ABC, Generic[W]):
    """Two worlds.

    Attributes:
        worlds: The one that takes short ways, and the other one.
        slack_ms: How far moments that are alike may be apart beyond the time between the worlds.
        is_timed: Whether that is none, for time only passes when it is told to.
    """

    worlds: Sequence[W]
    slack_ms: float = 0.0
    is_timed: bool = True

    def draw(self, random: Random, claimed: list[int], number: int) -> Operation:
        """Return the next operation."""
        return draw(random, claimed, number)

    @abstractmethod
    def pass_time(self, seconds: int) -> None:
        """Let time pass in both worlds."""

    async def outcome(self, operation: Operation, world: World) -> object:
        """Return what an operation answers or raises in a world."""
        return await operation.outcome(world)

    @abstractmethod
    def stored(self, world: Any) -> object:
        """Return all that is stored in a world; a float is a moment."""


async def compare(pair: Pair[Any], seed: int, steps: int) -> None:
    """Take so many steps in both worlds.

    Raises:
        AssertionError: They have become different; it tells the last steps.
    """
    random, log, apart_ms = Random(seed), list[str](), 0.0
    with same_ids() as begin:
        for number in range(1, steps + 1):
            if random.random() < 0.12:
                seconds = random.choice(_PASSING_S)
                log.append(f"{seconds} s pass")
                pair.pass_time(seconds)
            else:
                claimed = sorted(set.intersection(*(set(world.claims) for world in pair.worlds)))
                operation = pair.draw(random, claimed, number)
                log.append(operation.name)
                began, outcomes = time.monotonic(), list[object]()
                for world in pair.worlds:
                    begin(number)
                    outcomes.append(await pair.outcome(operation, world))
                if not pair.is_timed:
                    apart_ms = max(apart_ms, (time.monotonic() - began) * 1000 + pair.slack_ms)
                log[-1] += f"  -> {outcomes[0]!r}"[:200]
                _check(f"seed {seed}: what they answer", outcomes, apart_ms, log)
            _check(f"seed {seed}: what they store", [pair.stored(world) for world in pair.worlds], apart_ms, log)


def _check(what: str, both: list[object], slack_ms: float, log: list[str]) -> None:
    one, other = both
    found = list(_differences(one, other, slack_ms, ""))
    assert not found, "\n".join([f"{what} is not the same after", *log[-20:], *found[:20]])


def _differences(one: Any, other: Any, slack_ms: float, path: str) -> Iterator[str]:
    """Yield where two values differ; moments may differ by so much."""
    if isinstance(one, float) and isinstance(other, float):
        if one != other and not abs(one - other) <= slack_ms:
            yield f"{path}: {one!r} and {other!r}: {one - other:.0f} ms"
    elif isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys(), key=str):
            if key in one and key in other:
                yield from _differences(one[key], other[key], slack_ms, f"{path}/{key}")
            else:
                which, value = ("first", one[key]) if key in one else ("second", other[key])
                yield f"{path}/{key}: only in the {which}: {value!r}"[:400]
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        for number, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from _differences(left, right, slack_ms, f"{path}[{number}]")
    elif one != other or type(one) is not type(other):
        yield f"{path}: {one!r} and {other!r}"[:400]
