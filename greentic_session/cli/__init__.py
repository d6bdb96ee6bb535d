"""The operator's command line: ``greentic-session``, and ``python -m greentic_session``.

A module holds a command, or a few that belong together; `commands` names them all. `arguments`
reads what was typed, `opening` opens the stores, `console` writes tables and JSON, and asks,
`progress` tells how far a command is, and `pretty` draws both where rich is installed. What a
backend must tell beside its operations is in `greentic_session.admin`.
"""

from .main import main

__all__ = ["main"]
