"""The prefix of the keys of everything that we keep in one Redis.

Two namespaces are apart, also where one is the prefix of the other: of ``app`` and ``app:session``
neither sees or changes what the other keeps. `backends/redis/lua/includes/namespaces.lua` tells
how, and which sessions nobody can tell.
"""

from greentic_session.errors import InvalidInputError

__all__ = ["DEFAULT_NAMESPACE", "check_cluster_namespace", "check_namespace"]

DEFAULT_NAMESPACE = "greentic:session"
"""The prefix of every key, unless another is asked for; the reference's."""


def check_namespace(value: object) -> str:
    """Return `value` if it can be a namespace.

    Raises:
        InvalidInputError: It is empty or no valid Unicode.
        TypeError: It is no str.
    """
    if not isinstance(value, str):
        raise TypeError(f"namespace must be a str, not {type(value).__name__}")
    if not value:
        raise InvalidInputError("namespace must not be empty")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError("namespace must be valid Unicode: it holds a lone surrogate") from error
    return value


def check_cluster_namespace(value: object) -> str:
    """Return `value` if it can be a namespace on a cluster.

    Raises:
        InvalidInputError: As `check_namespace`; or it holds a brace: what stands in braces picks
            the slot, which is ours to say.
        TypeError: It is no str.
    """
    namespace = check_namespace(value)
    if "{" in namespace or "}" in namespace:
        raise InvalidInputError("a namespace on a cluster must not hold a brace")
    return namespace
