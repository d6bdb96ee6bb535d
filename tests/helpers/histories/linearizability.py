"""Linearizability of a recorded history, by the search of Wing and Gong.

A history is linearizable if each call can be given one moment between its begin and its end so
that, in the order of these moments, a sequential model explains every answer. A call whose answer
is not known may have had its effect at any moment behind its begin, or never.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Generic, Protocol, TypeVar

__all__ = ["Search", "TooManyStepsError", "Unexplained"]

_MAX_STEPS = 3_000_000


class Timed(Protocol):
    """A call with its times in seconds by one clock; without an answer it ends at infinity."""

    @property
    def begin(self) -> float: ...

    @property
    def end(self) -> float: ...


C = TypeVar("C", bound=Timed)
S = TypeVar("S", bound=Hashable)


class TooManyStepsError(Exception):
    """The search was given up: the history is neither linearizable nor not."""


class Unexplained(Exception, Generic[C]):  # noqa: N818  # it is what was found
    """No order explains a history.

    Attributes:
        explained: The longest sequence of calls that an order explains.
        next_calls: The calls of which one would have to come behind them.
    """

    def __init__(self, explained: Sequence[C], next_calls: Sequence[C]) -> None:
        told = "\n".join(f"  {call}" for call in next_calls)
        super().__init__(f"{len(explained)} calls are explained, and none of these can follow:\n{told}")
        self.explained = explained
        self.next_calls = next_calls


class Search(Generic[C, S]):
    """The search for an order.

    Args:
        calls: The history, in any order.
        step: Returns the states that a call may lead to from a state, with the answer that it had;
            none where it cannot have had that.
    """

    def __init__(self, calls: Iterable[C], step: Callable[[S, C], Iterable[S]]) -> None:
        self._calls = sorted(calls, key=lambda call: call.begin)
        self._step = step
        self._answered = sum(1 << at for at, call in enumerate(self._calls) if call.end < math.inf)
        self.steps = 0

    def order(self, initial: S) -> list[C]:
        """Return the calls in an order that explains them, but such as never had an effect.

        Raises:
            TooManyStepsError: It was not found in time.
            Unexplained: There is none.
        """
        seen: set[tuple[int, S]] = set()
        path: list[int] = []
        longest: tuple[list[int], list[int]] = ([], [])
        first = self._next(0)
        trail = [(0, initial, first, iter(self._steps_of(initial, first)))]
        while trail:
            done, _, candidates, following = trail[-1]
            if not self._answered & ~done:
                return [self._calls[at] for at in path]
            if len(path) >= len(longest[0]):
                longest = (list(path), candidates)
            for at, state in following:
                self.steps += 1
                if self.steps > _MAX_STEPS:
                    raise TooManyStepsError
                reached = (done | 1 << at, state)
                if reached not in seen:
                    seen.add(reached)
                    path.append(at)
                    onward = self._next(reached[0])
                    trail.append((*reached, onward, iter(self._steps_of(state, onward))))
                    break
            else:
                trail.pop()
                if path:
                    path.pop()
        raise Unexplained([self._calls[at] for at in longest[0]], [self._calls[at] for at in longest[1]])

    def _next(self, done: int) -> list[int]:
        """Return the calls of which one may be the next, those first that ended first."""
        found: list[int] = []
        earliest_end = math.inf
        for at, call in enumerate(self._calls):
            if call.begin > earliest_end:
                break
            if not done >> at & 1:
                found.append(at)
                earliest_end = min(earliest_end, call.end)
        possible = [at for at in found if self._calls[at].begin <= earliest_end]
        return sorted(possible, key=lambda at: self._calls[at].end)

    def _steps_of(self, state: S, candidates: Sequence[int]) -> Iterable[tuple[int, S]]:
        for at in candidates:
            for following in self._step(state, self._calls[at]):
                yield at, following
