"""Widths of the columns of a table."""

from collections.abc import Container, Sequence
from typing import Final

__all__ = ["GAP", "fit", "spared"]

GAP: Final = 2
"""Number of blanks between two columns."""
_NARROWEST: Final = 6
"""No column is made narrower than this: less of a text tells nothing."""


def spared(widths: Sequence[int], whole: Container[int], room: int | None, spare: Sequence[int]) -> set[int]:
    """Return the numbers of columns that are left out: even cut, all together have no room.

    Args:
        widths: What each needs.
        whole: As for `fit`.
        room: As for `fit`.
        spare: Which may be left out, the first one first.

    >>> spared([3, 60, 30], {0}, 18, [2, 1])
    {2}
    """
    left: set[int] = set()
    if room is not None:
        least = [width if number in whole else min(width, _NARROWEST) for number, width in enumerate(widths)]
        for number in spare:
            if sum(width + GAP for width in least) - GAP <= room:
                break
            left.add(number)
            least[number] = -GAP
    return left


def fit(widths: Sequence[int], whole: Container[int], room: int | None) -> list[int]:
    """Return the widths of columns that take so much room together, if that is possible.

    What is too much is taken from whichever column is the widest.

    Args:
        widths: What each needs.
        whole: The numbers of those that are never cut: a figure that is cut is another figure.
        room: How wide all may be together, with the gaps between them; None: as they need.

    >>> fit([3, 60, 30], {0}, 60)
    [3, 26, 27]
    """
    fitted = list(widths)
    if room is None:
        return fitted
    excess = sum(fitted) + GAP * (len(fitted) - 1) - room
    while excess > 0:
        wide = [number for number, width in enumerate(fitted) if number not in whole and width > _NARROWEST]
        if not wide:
            break
        fitted[max(wide, key=lambda number: fitted[number])] -= 1
        excess -= 1
    return fitted
