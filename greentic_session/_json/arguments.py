"""Errors for the arguments of a wire struct, which name the constructor that is meant."""

from typing import Any

from msgspec import StructMeta

__all__ = ["PointsToNew"]


class PointsToNew(StructMeta):
    """Metaclass of a struct: errors for missing or unknown arguments name its constructor `new`."""

    def __call__(cls, *args: Any, **fields: Any) -> Any:  # noqa: N805  # a metaclass
        try:
            return super().__call__(*args, **fields)
        except TypeError as error:
            if not str(error).startswith(("Missing required", "Extra positional", "Unexpected keyword")):
                raise  # a field's own
            raise TypeError(f"{error}; {cls.__name__}.new(env, tenant, team=, user=) fills what belongs together") from error
