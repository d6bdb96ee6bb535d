"""Virtual environments of the peers, in a cache directory; made again when requirements change."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from .catalogue import Peer

__all__ = ["CannotInstallError", "default_folder", "python_of"]

_UVLOOP = "uvloop; sys_platform != 'win32'"
_INSTALL_TIMEOUT_S = 300


class CannotInstallError(Exception):
    """A peer's environment cannot be made; the message gives the cause in one line."""


def default_folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "greentic-session-bench"


def python_of(peer: Peer, folder: Path) -> Path:
    """Return the interpreter of a peer's environment, which is made if missing.

    Raises:
        CannotInstallError: The environment cannot be made.
    """
    requirements = (*peer.requirements, _UVLOOP)
    digest = hashlib.sha256("\n".join((sys.version, *requirements)).encode()).hexdigest()[:12]
    environment = folder / f"{peer.name}-{digest}"
    python = environment / "bin" / "python"
    ready = environment / "ready"  # written last, so that an interrupted installation is made again
    if ready.exists():
        return python
    try:
        shutil.rmtree(environment, ignore_errors=True)
        _run(sys.executable, "-m", "venv", str(environment))
        _run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements)
        ready.touch()
    except OSError as error:
        raise CannotInstallError(f"{type(error).__name__}: {error}") from error
    return python


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise CannotInstallError(f"not installed within {_INSTALL_TIMEOUT_S} s") from error
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise CannotInstallError(errors[-1] if errors else f"exit code {done.returncode}")
