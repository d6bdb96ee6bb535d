"""The command line on a store, as its operator runs it: each command in a new process."""

import asyncio
import json
import subprocess
import sys
from typing import Any

from .watching import watch

__all__ = ["operate"]


async def operate(url: str, command: str, *arguments: str, watched_s: float) -> Any:
    """Run a command of `greentic-session`.

    Args:
        url: The store.
        command: Its name.
        arguments: Its arguments.
        watched_s: For how many seconds ``top`` is watched once it has counted everything.

    Returns:
        What it told as JSON; None of ``top``.

    Raises:
        RuntimeError: It failed.
    """
    words = (sys.executable, "-m", "greentic_session", command, "--store", url, *arguments)
    if command == "top":
        told, code = b"null", await watch(words, watched_s)
    else:
        process = await asyncio.create_subprocess_exec(*words, "--json", stdout=subprocess.PIPE)
        told, _ = await process.communicate()
        code = process.returncode or 0
    if code:
        raise RuntimeError(f"{command} ended with {code}")
    return json.loads(told)
