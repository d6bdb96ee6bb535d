"""State machines as tests: a short run, and a longer proof."""

from typing import Any

import pytest
from hypothesis import settings

__all__ = ["machine_tests"]


def machine_tests(
    machine: type[Any], examples: int, examples_at_length: int, *, steps: int = 40, steps_at_length: int = 60
) -> tuple[type[Any], type[Any]]:
    """Return two test classes for a state machine: one of the quick suite, and one marked slow.

    Args:
        machine: A hypothesis state machine.
        examples: Number of runs in the quick suite.
        examples_at_length: The same of the longer proof.
        steps: Largest number of steps in a run of the quick suite.
        steps_at_length: The same of the longer proof.
    """
    quick = type("TestMachine", (machine.TestCase,), {"settings": _settings(examples, steps)})
    slow = type("TestMachineAtLength", (machine.TestCase,), {"settings": _settings(examples_at_length, steps_at_length)})
    return quick, pytest.mark.slow(slow)


def _settings(examples: int, steps: int) -> settings:
    return settings(max_examples=examples, stateful_step_count=steps, deadline=None)
