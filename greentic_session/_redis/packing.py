"""Commands as Redis reads them."""

from collections.abc import Callable
from typing import cast

import hiredis

from .executor import Arg

__all__ = ["pack"]

pack = cast("Callable[[tuple[Arg, ...]], bytes]", hiredis.pack_command)  # its own types allow one argument only
