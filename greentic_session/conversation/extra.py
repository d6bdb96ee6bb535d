"""Unknown fields of stored JSON objects, which are kept unchanged."""

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["Extra"]


class Extra(Mapping[str, Any]):
    """Unknown fields of an object, from a newer version or another program.

    They are written again beside the known ones, unchanged. The mapping is immutable; its values
    are plain JSON.

    >>> Extra({"mood": "calm"})["mood"]
    'calm'
    """

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = dict(fields)

    def __getitem__(self, name: str) -> Any:
        return self._fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return f"Extra(<{len(getattr(self, '_fields', ()))}>)"  # names and values may be user data
