"""Growth of memory over the samples of a run."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["MAX_GROWTH", "Growth", "growth_of"]

MAX_GROWTH = 0.02
"""Growth below which the memory counts as flat, as a part of the memory after warming up."""
_WARM_UP_PART = 0.2
"""Part of the samples that warm up: memory pools of the allocator, answers of every length."""


@dataclass(frozen=True)
class Growth:
    """Growth from the early to the late samples.

    Attributes:
        early: Median in bytes after warming up.
        late: Median in bytes at the end.
    """

    early: float
    late: float

    @property
    def part(self) -> float:
        """Growth as a part of `early`."""
        return self.late / self.early - 1

    @property
    def is_flat(self) -> bool:
        return self.part < MAX_GROWTH


def growth_of(samples: Sequence[float]) -> Growth:
    """Compare the first and the last quarter of the samples after warming up."""
    counted = samples[int(len(samples) * _WARM_UP_PART) :]
    quarter = max(1, len(counted) // 4)
    return Growth(statistics.median(counted[:quarter]), statistics.median(counted[-quarter:]))
