"""The file of a database.

Made by anybody, refused where it is something else, and never carried over a fork.
"""

# ruff: noqa: ASYNC220, ASYNC221, ASYNC240  # calls that block the event loop are fine in a test

import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from sqlite_notes import NOTES, add, descriptors, texts

from greentic_session import CorruptStoreError, SchemaVersionError, UnavailableError
from greentic_session._sqlite.database import Database
from greentic_session._sqlite.schema import SchemaPart

pytestmark = pytest.mark.asyncio

TAGS = SchemaPart("tags", 1, [["CREATE TABLE tags (tag TEXT)"], ["ALTER TABLE tags ADD COLUMN note INTEGER"]])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notes.db"


async def write(path: Path, text: str, *parts: SchemaPart) -> list[str]:
    """Write a note by a database of its own, and return all."""
    database = Database(path, parts or [NOTES], timeout=0.5)
    try:
        await database.write(add(text))
        return await database.read(texts)
    finally:
        await database.aclose()


async def test_it_is_made_for_its_owner_only_with_its_directory(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "notes.db"
    database = Database(path, [NOTES])
    assert not path.parent.exists()
    await database.write(add("a"))
    modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in [path.parent, *path.parent.iterdir()]}
    assert modes == {"b": 0o700, "notes.db": 0o600, "notes.db-wal": 0o600, "notes.db-shm": 0o600}
    assert await database.read(lambda c: c.execute("PRAGMA journal_mode").fetchone()) == ("wal",)
    await database.aclose()


@pytest.mark.parametrize(("durability", "synchronous"), [("power", 2), ("process", 1)])
async def test_what_an_acknowledged_write_survives(path: Path, durability: str, synchronous: int) -> None:
    database = Database(path, [NOTES], durability=durability)  # type: ignore[arg-type]  # one of both
    assert await database.write(lambda c: c.execute("PRAGMA synchronous").fetchone()) == (synchronous,)
    await database.aclose()


async def test_parts_come_one_after_the_other(path: Path) -> None:
    old = SchemaPart("tags", 1, TAGS.steps[:1])
    first = Database(path, [NOTES])
    await first.write(add("a"))
    await write(path, "b", NOTES, old)
    await first.write(add("c"))  # another part does not disturb one that was open
    assert await write(path, "d", TAGS, NOTES) == ["a", "b", "c", "d"]
    both = Database(path, [TAGS])
    await both.write(lambda c: c.execute("INSERT INTO tags (tag, note) VALUES ('t', 1)"))
    await both.aclose()
    assert await first.read(texts) == ["a", "b", "c", "d"]
    await first.aclose()


async def test_a_newer_schema(path: Path) -> None:
    old = SchemaPart("tags", 1, TAGS.steps[:1])
    open_before = Database(path, [old])
    await open_before.read(lambda c: c.execute("SELECT * FROM tags").fetchall())
    await open_before.write(lambda c: c.execute("INSERT INTO tags VALUES ('a')"))
    await write(path, "a", NOTES, TAGS)
    for database in (open_before, Database(path, [old])):
        with pytest.raises(SchemaVersionError, match=r"unsupported schema version 2 of tags \(expected 1\)"):
            await database.write(lambda c: c.execute("INSERT INTO tags VALUES ('b')"))
        with pytest.raises(SchemaVersionError):
            await database.read(lambda c: c.execute("SELECT * FROM tags").fetchall())
        await database.aclose()
    assert await write(path, "b") == ["a", "b"], "who does not use that part goes on"


@pytest.mark.parametrize("mark", ["PRAGMA application_id = 7", "PRAGMA user_version = 1", "SELECT 1"])
async def test_a_database_of_another_program(path: Path, mark: str) -> None:
    foreign = sqlite3.connect(path)
    foreign.execute("CREATE TABLE theirs (x)")
    foreign.execute(mark)
    foreign.close()
    before = path.read_bytes()
    with pytest.raises(CorruptStoreError, match="another program"):
        await write(path, "a")
    assert path.read_bytes() == before


async def test_a_file_that_is_no_database(path: Path) -> None:
    path.write_bytes(b"dear diary, " * 1000)
    with pytest.raises(CorruptStoreError, match="no SQLite database"):
        await write(path, "a")
    assert path.read_bytes() == b"dear diary, " * 1000
    assert descriptors(path.parent) == []


async def test_a_damaged_database(path: Path) -> None:
    await write(path, "a" * 10_000)
    content = bytearray(path.read_bytes())
    content[4096 : 2 * 4096] = b"\xff" * 4096
    path.write_bytes(content)
    with pytest.raises(CorruptStoreError, match="damaged"):
        await write(path, "b")


async def test_a_log_without_its_database(path: Path) -> None:
    Path(f"{path}-wal").write_bytes(b"left behind")
    with pytest.raises(CorruptStoreError, match=r"its log notes\.db-wal is there"):
        await write(path, "a")
    assert not path.exists()


async def test_a_path_that_cannot_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing" / "notes.db")
    for path in (tmp_path, tmp_path / "file" / "notes.db", tmp_path / "nowhere", tmp_path / ("x" * 300)):
        with pytest.raises(UnavailableError, match=str(tmp_path)):
            await write(path, "a")
    (tmp_path / "there.db").symlink_to(tmp_path / "real.db")
    (tmp_path / "real.db").touch()
    assert await write(tmp_path / "there.db", "a") == ["a"]
    assert await write(tmp_path / "real.db", "b") == ["a", "b"]


READ_ONLY = """
import os, sys, anyio
from sqlite_notes import NOTES, add, texts
from greentic_session import UnavailableError
from greentic_session._sqlite.database import Database

async def main(path):
    database = Database(path, [NOTES], timeout=0.5)
    try:
        await database.write(add("b"))
    except UnavailableError as error:
        print(error)
    await database.aclose()

# Once as it is: nobody may not read the modules of every environment, and has all of them by then.
anyio.run(main, sys.argv[2])
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
anyio.run(main, sys.argv[1])
"""


@pytest.mark.parametrize("locked", ["file", "directory"])
async def test_lost_permissions(tmp_path: Path, locked: str) -> None:
    for parent in tmp_path.parents[:3]:
        parent.chmod(0o755)
    directory = tmp_path / "d"
    path = directory / "notes.db"
    if locked == "file":
        await write(path, "a")
        path.chmod(0o400)
        directory.chmod(0o777)
    else:
        directory.mkdir(mode=0o500)
    # As nobody, the child may not write what coverage measures.
    unmeasured = {name: value for name, value in environment().items() if not name.startswith("COVERAGE_")}
    told = subprocess.run(
        [sys.executable, "-c", READ_ONLY, path, tmp_path / "allowed.db"],
        env=unmeasured,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.stderr == ""
    assert any(word in told.stdout for word in ("no permission", "cannot be opened", "cannot be written"))
    assert str(path) in told.stdout


def environment() -> dict[str, str]:
    """Return an environment in which a child finds the helpers."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


FULL = """
import resource, signal, sys, anyio
from sqlite_notes import NOTES, add, texts
from greentic_session import UnavailableError
from greentic_session._sqlite.database import Database

async def main():
    database = Database(sys.argv[1], [NOTES])
    await database.write(add("a"))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    refused = 0
    for number in range(100):
        try:
            await database.write(add(f"{number}" * 10_000))
        except UnavailableError as error:
            refused += 1
    assert 50 < refused < 100, refused
    whole = len(await database.read(texts))
    assert whole == 101 - refused, (whole, refused)
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    await database.write(add("and back"))
    assert len(await database.read(texts)) == whole + 1
    assert await database.read_apart(lambda c: c.execute("PRAGMA integrity_check").fetchall()) == [("ok",)]
    await database.aclose()

anyio.run(main)
"""


async def test_files_that_may_not_grow_and_back(path: Path) -> None:
    subprocess.run([sys.executable, "-c", FULL, path], env=environment(), check=True)
    assert (await write(path, "after"))[-2:] == ["and back", "after"]


async def test_a_file_that_is_removed_or_replaced_under_a_program(tmp_path: Path, path: Path) -> None:
    database = Database(path, [NOTES])
    await database.write(add("lost"))
    for name in ("notes.db", "notes.db-wal", "notes.db-shm"):
        (tmp_path / name).unlink()
    assert await database.read(texts) == []
    await database.write(add("anew"))
    await write(tmp_path / "backup.db", "from the backup")
    for name in ("notes.db-wal", "notes.db-shm"):
        (tmp_path / name).unlink()
    (tmp_path / "backup.db").replace(path)
    assert await database.read(texts) == ["from the backup"]
    await database.write(add("and on"))
    await database.aclose()
    assert await write(path, "end") == ["from the backup", "and on", "end"]


FORK = """
import os, sys, anyio
from sqlite_notes import NOTES, add, descriptors, texts
from pathlib import Path
from greentic_session._sqlite.database import Database

path = Path(sys.argv[1])
database = Database(path, [NOTES])

async def note(text):
    await database.write(add(text))

async def main():
    await note("parent")
    assert await database.read(texts) == ["parent"]

anyio.run(main)
children = []
for number in range(4):
    child = os.fork()
    if child == 0:
        assert descriptors(path.parent) == []  # nothing was inherited
        try:
            for round_ in range(20):
                anyio.run(note, f"child-{number}-{round_}", backend="trio" if number % 2 else "asyncio")
        except BaseException:
            os._exit(1)
        os._exit(0)
    children.append(child)
for round_ in range(20):
    anyio.run(note, f"parent-{round_}")
assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4

async def check():
    assert len(set(await database.read(texts))) == 1 + 4 * 20 + 20
    await database.aclose()

anyio.run(check)
"""


async def test_forked_children_open_anew(path: Path) -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORK, path], env=environment(), check=True)


AT_ONCE = """
import sys, anyio
from sqlite_notes import NOTES, add, texts
from greentic_session._sqlite.database import Database

async def main():
    database = Database(sys.argv[1], [NOTES])
    for number in range(5):
        await database.write(add(f"{sys.argv[2]}-{number}"))
    await database.aclose()

sys.stdin.read()
anyio.run(main)
"""


async def test_processes_open_a_fresh_file_at_once(path: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", AT_ONCE, path, str(number)], env=environment(), stdin=subprocess.PIPE)
        for number in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
    assert [process.wait(60) for process in processes] == [0] * 4
    assert len(await write(path, "last")) == 21


AT_EXIT = """
import sys, anyio
from sqlite_notes import NOTES, add
from greentic_session._sqlite.database import Database

database = Database(sys.argv[1], [NOTES])
anyio.run(database.write, add("a"))
"""


async def test_a_program_that_ends_without_closing(path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", AT_EXIT, path],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stderr == ""
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["notes.db"]
