"""Sizes of a benchmark's run: its full ones, its quick ones, and those that options give."""

import argparse
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self, TypeVar, dataclass_transform

__all__ = ["Sizes", "usual"]

T = TypeVar("T")
_QUICK = "quick"


def usual(default: T, *, quick: T) -> T:
    """Return a field of `Sizes`: its value in a full run, and the one with ``--quick``."""
    made: Any = field(default=default, metadata={_QUICK: quick})
    return made  # type: ignore[no-any-return]  # a field stands for its value, as with `field` itself


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(usual, field))
@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Base of the sizes of a run. The defaults of its fields are the sizes of a full run."""

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True, kw_only=True)(cls)

    @classmethod
    def chosen(cls, options: argparse.Namespace) -> Self:
        """Return the full sizes or, with ``--quick``, the quick ones.

        An option with the name of a field, such as ``--rounds``, goes before both.
        """
        chosen = {}
        for each in fields(cls):
            given = getattr(options, each.name, None)
            if given:
                chosen[each.name] = given
            elif options.quick and _QUICK in each.metadata:
                chosen[each.name] = each.metadata[_QUICK]
        return cls(**chosen)

    def as_settings(self) -> dict[str, Any]:
        """Return the sizes by name, for the report."""
        return asdict(self)
