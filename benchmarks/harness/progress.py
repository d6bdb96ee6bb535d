"""Progress bar of a run, on a terminal only."""

import contextlib
import importlib.util
import sys
from collections.abc import Callable, Iterator

__all__ = ["progress"]


@contextlib.contextmanager
def progress(steps: int | None) -> Iterator[Callable[[], object]]:
    """Yield a function to call after each of the steps (None: nobody knows how many).

    The bar needs the extra `bench`.
    """
    if not sys.stderr.isatty() or importlib.util.find_spec("tqdm") is None:
        yield lambda: None
        return
    from tqdm import tqdm  # noqa: PLC0415  # pyright: ignore[reportMissingModuleSource]  # a run without a bar needs none

    with tqdm(total=steps, unit="round", file=sys.stderr, leave=False) as bar:
        yield bar.update
