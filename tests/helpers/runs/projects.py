"""Running pytest on a user's project, in a process of its own."""

import importlib.metadata
import os

import pytest
from paths import ROOT

__all__ = ["PLUGIN", "run_project"]

PLUGIN = "greentic_session.pytest_plugin"


def run_project(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    """Run the tests in pytester's directory with this package's plugin, installed or not."""
    installed = {point.value for point in importlib.metadata.entry_points(group="pytest11")}
    if PLUGIN not in installed:
        options = ("-p", PLUGIN, *options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
        # The plugin of hypothesis takes longer to load than all the rest together.
        return pytester.runpytest_subprocess("-p", "no:hypothesispytest", *options, timeout=120)
