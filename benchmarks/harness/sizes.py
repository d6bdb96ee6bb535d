"""Sizes of a benchmark's run: its full ones, its quick ones, and those that options give."""

import argparse
from typing import Any, Self

import msgspec

__all__ = ["Sizes"]


class Sizes(msgspec.Struct):
    """Base of the sizes of a run. The defaults of its fields are the sizes of a full run."""

    @classmethod
    def chosen(cls, options: argparse.Namespace, quick: Self) -> Self:
        """Return the full sizes or, with ``--quick``, `quick`.

        An option with the name of a field, such as ``--rounds``, goes before both.
        """
        given = {name: value for name, value in vars(options).items() if name in cls.__struct_fields__ and value}
        return msgspec.structs.replace(quick if options.quick else cls(), **given)

    def as_settings(self) -> dict[str, Any]:
        """Return the sizes by name, for the report."""
        return msgspec.structs.asdict(self)
