"""A real redis-server for the tests.

That of the package's own fixtures, by the name that the tests know.
"""

from greentic_session._servers.required import HOW_TO_GET_ONE, Server, require
from greentic_session._servers.server import find_binary, free_port

__all__ = ["HOW_TO_GET_ONE", "Server", "find_binary", "free_port", "require"]
