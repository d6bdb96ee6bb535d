"""Time that passes when the test says so."""

__all__ = ["Timer"]


class Timer:
    """A timer of a store, in seconds, that stands until it is told to go on."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self.now += seconds
