"""Wheel and sdist: their content, and README's commands that install them.

The tests build both and install them in fresh environments, which needs the package index.
"""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest
from paths import ROOT
from readmes.blocks import DEMO, INSTALL

pytestmark = pytest.mark.slow

PACKAGE = ROOT / "greentic_session"
KINDS = {".py", ".lua", ".jsonl", ".typed"}
DATA = [
    "greentic_session/py.typed",
    "greentic_session/demo/updates.jsonl",
    *(path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*.lua")),
]
USE_REDIS = """
import asyncio, sys
import greentic_session
from greentic_session import ReplyScope, SessionCursor, SessionData, TenantCtx, create_session_store
from greentic_session.conversation import Message, create_conversation_store

async def main(url, namespace):
    ctx, scope = TenantCtx.new("dev", "acme", user="u1"), ReplyScope("c")
    data = SessionData(tenant_ctx=ctx, flow_id="f", cursor=SessionCursor("n"), context_json="{}")
    async with create_session_store(greentic_session.RedisUrlWithNamespace(url, namespace)) as store:
        await store.register_wait(ctx, "u1", scope, "k", data)
        assert (await store.find_wait(ctx, "u1", scope)).key == "k"
        await store.purge(ctx)
    async with create_conversation_store(url, namespace=namespace) as store:
        await store.create(ctx, id="c")
        assert await store.append(ctx, "c", Message.user("hello")) == 1
        await store.purge(ctx)

asyncio.run(main(*sys.argv[1:]))
print(greentic_session.__file__)
"""


ASK_FOR_REDIS = """
from greentic_session import UnavailableError, create_session_store

try:
    create_session_store("redis://localhost")
except UnavailableError as error:
    print(error)
"""


def run(command: list[str], where: Path, **environment: str) -> str:
    """Run a command without the environment variables of this process; return its output."""
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(command, cwd=where, env=clean | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def unpack(sdist: Path, folder: Path) -> Path:
    """Return the directory that an sdist is unpacked to, which stands for a clone."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (clone,) = folder.iterdir()
    return clone


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run([sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)], folder)
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (wheel,) = dist.glob("greentic_session-*-py3-none-any.whl")
    return wheel


@pytest.fixture(scope="module")
def sdist(dist: Path) -> Path:
    (sdist,) = dist.glob("greentic_session-*.tar.gz")
    return sdist


@pytest.fixture(scope="module")
def installed(wheel: Path, sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel and, by README's command, its Redis extra."""
    folder = tmp_path_factory.mktemp("empty")
    run([sys.executable, "-m", "venv", ".venv"], folder)
    run([".venv/bin/python", "-m", "pip", "install", str(wheel)], folder)
    run(["bash", "-ec", f". {folder}/.venv/bin/activate && {INSTALL}"], unpack(sdist, tmp_path_factory.mktemp("clone")))
    return folder


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    own = {PurePosixPath(name) for name in names if not name.split("/")[0].endswith(".dist-info")}
    assert {str(name) for name in own} >= set(DATA)
    assert len(DATA) > 10
    assert {name.suffix for name in own} == KINDS
    assert own == {
        PurePosixPath(path.relative_to(ROOT).as_posix())
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".md"
    }
    about = {name.split("/", 1)[1] for name in names} - {str(name).split("/", 1)[1] for name in own}
    assert about - {"entry_points.txt"} == {"METADATA", "RECORD", "WHEEL", "licenses/LICENSE"}


def test_the_sdist_holds_what_it_takes_to_test_it(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "PKG-INFO", *DATA} <= names
    assert {"tests/conftest.py", "tests/vectors/serialize.json", "tests/recipes/own_project/approvals_test.py"} <= names
    assert not {name for name in names if "__pycache__" in name or name.endswith(".pyc")}


def test_its_version_and_licence(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    lines = archive.read(metadata).decode().split("\n\n", 1)[0].splitlines()
    assert wheel.name.split("-")[1] == "0.1.0"
    assert {"Name: greentic-session", "Version: 0.1.0", "License-Expression: MIT", "Requires-Python: >=3.11"} <= set(lines)
    assert {"Provides-Extra: redis", "Description-Content-Type: text/markdown"} <= set(lines)


def test_what_was_installed_runs_the_demo(installed: Path) -> None:
    said = run([".venv/bin/python", "-W", "error", "-m", "greentic_session"], installed)
    assert "No answer was lost, nobody was forgotten, and everything was done once." in said


def test_what_was_installed_reaches_redis(installed: Path, redis_url: str, namespace: str) -> None:
    where = run([".venv/bin/python", "-W", "error", "-c", USE_REDIS, redis_url, namespace], installed)
    assert Path(where.strip()).is_relative_to(installed)


def test_the_demo_of_readme_in_a_clone(sdist: Path, tmp_path: Path) -> None:
    """The very command, with the Python that runs this; the sdist stands for the clone."""
    clone = unpack(sdist, tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(sys.executable)
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    assert "No answer was lost" in run(["bash", "-ec", DEMO], clone, PATH=path)
    assert "'greentic-session[redis]'" in run([".venv/bin/python", "-c", ASK_FOR_REDIS], clone)
