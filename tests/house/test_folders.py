"""The folders of the project: few files in each, short tests, and maps that name all of them."""

import re
from pathlib import Path

import pytest
from readmes.blocks import READMES

ROOT = Path(__file__).parents[2]
PACKAGE, TESTS = ROOT / "greentic_session", ROOT / "tests"
MAX_FILES = 30
MAX_TEST_LINES = 600


def folders_of(top: Path) -> list[Path]:
    """Return a folder and all below it, without what Python writes there."""
    return [top, *(path for path in top.rglob("*") if path.is_dir() and path.name != "__pycache__")]


def names_in(folder: Path) -> set[str]:
    """Return the modules and folders of a folder, as a README names them."""
    modules = {path.name for path in folder.glob("*.py") if not path.name.startswith("__")}
    return modules | {f"{path.name}/" for path in folder.iterdir() if path.is_dir() and path.name != "__pycache__"}


def listed_in(readme: str) -> set[str]:
    """Return the modules and folders in the first column of the tables of a README."""
    rows = re.findall(r"^\| (`[^|]*`) \|", READMES[readme], re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


@pytest.mark.parametrize("folder", folders_of(TESTS), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_folder_of_tests_has_few_files(folder: Path) -> None:
    assert len([path for path in folder.iterdir() if path.is_file()]) <= MAX_FILES


def test_test_files_are_short() -> None:
    lengths = {path.relative_to(TESTS).as_posix(): len(path.read_text().splitlines()) for path in TESTS.rglob("*.py")}
    assert len(lengths) > 100
    assert {name: length for name, length in lengths.items() if length > MAX_TEST_LINES} == {}


def test_the_map_names_all_modules_and_folders_of_the_package() -> None:
    # A folder of the package may be in the map by what it holds: `backends/redis/`.
    listed = {re.sub(r"(?<=/).+", "", name) for name in listed_in("greentic_session/README.md")}
    assert names_in(PACKAGE) - listed == set()


def test_the_map_names_all_folders_of_tests() -> None:
    folders = {name for name in names_in(TESTS) if name.endswith("/")}
    listed = {re.sub(r"(?<=/).+", "", name) for name in listed_in("tests/README.md")}
    assert folders == listed & folders
    assert {name for name in listed if name.endswith("/")} == folders


def test_the_map_names_all_folders_of_benchmarks() -> None:
    folders = {name for name in names_in(ROOT / "benchmarks") if name.endswith("/")}
    assert folders - listed_in("benchmarks/README.md") == set()
