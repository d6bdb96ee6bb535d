"""The shell commands that the READMEs show can be run: their modules and options exist."""

import argparse
import importlib
import importlib.util

import pytest
from paths import ROOT
from readmes.blocks import READMES
from readmes.commands import COMMANDS, Command, commands_in
from runs.benchmarks import COMMANDS as BENCHMARKS

from greentic_session.cli.arguments import read
from greentic_session.cli.commands import COMMANDS as OPERATOR_COMMANDS


def parse(command: Command) -> argparse.Namespace | None:
    """Return the parsed arguments of a command of this project; None for one of others."""
    module, arguments = command
    if module == "greentic_session":
        return read(OPERATOR_COMMANDS, arguments)[1]
    if module.partition(".")[0] == "benchmarks":
        parsed = importlib.import_module(f"{module}.__main__").parse_arguments(list(arguments))
        assert isinstance(parsed, argparse.Namespace)
        return parsed
    return None


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=lambda value: value if isinstance(value, str) else value.module)
def test_a_command_can_be_run(path: str, command: Command) -> None:
    assert importlib.util.find_spec(command.module), path
    try:
        parse(command)
    except SystemExit as error:
        pytest.fail(f"{path}: {command} ended with {error.code}")


def test_a_wrong_command_is_noticed() -> None:
    text = (
        "python -m pip install . && REDIS_SERVER=x python3 -m benchmarks --onyl find; .venv/bin/python -m benchmarks.nothing"
    )
    pip, option, module = commands_in(text)
    assert pip == Command("pip", ("install", "."))
    with pytest.raises(SystemExit):
        parse(option)
    assert importlib.util.find_spec(module.module) is None


def test_every_benchmark_is_in_its_readme() -> None:
    shown = {command.module for path, command in COMMANDS if path == "benchmarks/README.md"}
    # These are `python -m benchmarks`, and the same with `--only`.
    assert set(BENCHMARKS) - shown == {"benchmarks.redis", "benchmarks.sqlite", "benchmarks.replies", "benchmarks.adapters"}
    for part in ("sqlite", "replies", "adapters"):
        assert Command("benchmarks", ("--only", part)) in [command for _, command in COMMANDS]


def test_every_chart_is_in_its_readme() -> None:
    charts = {f"](charts/{path.name})" for path in (ROOT / "benchmarks/charts").iterdir()}
    assert {chart for chart in charts if chart not in READMES["benchmarks/README.md"]} == set()
