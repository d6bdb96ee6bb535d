"""What to say where redis-py is missing; to be imported without it."""

from greentic_session.errors import UnavailableError

__all__ = ["not_installed"]


def not_installed() -> UnavailableError:
    """Return the error that names the extra to install."""
    return UnavailableError("Redis needs an extra: python -m pip install 'greentic-session[redis]'")
