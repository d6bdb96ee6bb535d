"""All commands. A new one is a module with a `Command`, and a line here."""

from collections.abc import Sequence
from typing import Final

from . import completion, conversations, demo, doctor, inbox, migrate, purge, schema, show, stats, top, waits
from .command import Command

__all__ = ["COMMANDS"]

COMMANDS: Final[Sequence[Command]] = (
    demo.DEMO,
    waits.WAITS,
    show.SHOW,
    show.REMOVE,
    inbox.RETRY,
    inbox.DROP,
    purge.PURGE,
    stats.STATS,
    top.TOP,
    doctor.DOCTOR,
    migrate.MIGRATE,
    conversations.EXPORT,
    conversations.IMPORT,
    schema.SCHEMA,
    completion.COMPLETION,
)
"""In the order in which the help names them; the first is what runs when none is named."""
