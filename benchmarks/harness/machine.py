"""Description of the machine that a benchmark runs on."""

import importlib.metadata
import os
import platform
from pathlib import Path

__all__ = ["describe_machine", "load_average"]


def describe_machine(*distributions: str) -> dict[str, str]:
    """Return processor, interpreter and the installed versions of `distributions`."""
    described = {
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {_processor()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }
    for name in distributions:
        try:
            described[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            described[name] = "not installed"
    return described


def load_average() -> str:
    """Return the load average over the last one, five and fifteen minutes."""
    return ", ".join(f"{average:.1f}" for average in os.getloadavg())


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"
