"""URLs and paths of databases: which name a file, and what is said of those that do not."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from greentic_session import InvalidInputError, SQLiteSessionStore, create_session_store
from greentic_session._sqlite.url import checked_path, path_of
from greentic_session.backends.sqlite.backend import SQLiteBackend
from greentic_session.conversation import create_conversation_store

SECRET = "s3cr3t-w0rd"


def test_three_slashes_are_relative_and_four_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert path_of("sqlite:///bot.db") == f"{tmp_path}/bot.db"
    assert path_of("SQLite:///data/../bot%20%231.db") == f"{tmp_path}/bot #1.db"
    assert path_of("sqlite:////srv/b%C3%B6t.db") == "/srv/böt.db"
    assert checked_path("bot.db") == checked_path(Path("bot.db")) == f"{tmp_path}/bot.db"


@pytest.mark.asyncio
async def test_a_relative_path_is_resolved_when_the_store_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    async with create_session_store("sqlite:///bot.db", default_wait_ttl=60, durability="process") as store:
        (tmp_path / "elsewhere").mkdir()
        os.chdir(tmp_path / "elsewhere")
        assert type(store) is SQLiteSessionStore
        assert not (tmp_path / "bot.db").exists(), "no I/O before the first operation"
        await store.health()
        assert (tmp_path / "bot.db").exists()
        assert isinstance(store.backend, SQLiteBackend)
        assert store.backend.database.path == f"{tmp_path}/bot.db"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite://", "that is memory://"),
        ("sqlite://:memory:", "that is memory://"),
        ("sqlite:///:memory:", "that is memory://"),
        ("sqlite:///", "must be that of its file"),
        ("sqlite:///bot/", "must be that of its file"),
        ("sqlite:", "three slashes"),
        ("sqlite://bot.db", "three slashes"),
        (f"sqlite:///{SECRET}\n", "control character"),
        *((f"sqlite:///{SECRET}%{end}", "no escape") for end in ("", "0")),
        ("sqlite:////", "must be that of its file"),
        (f"sqlite:///{SECRET}/", "must be that of its file"),
        (f"sqlite:{SECRET}", "three slashes"),
        (f"sqlite://{SECRET}/bot.db", "three slashes"),
        (f"sqlite://user:{SECRET}@host/bot.db", "three slashes"),
        (f"sqlite:///bot.db?key={SECRET}", r"a \? in that is %3F"),
        (f"sqlite:///bot.db#{SECRET}", r"a \? in that is %3F"),
        (f"sqlite:///{SECRET}%zz", "no escape"),
        (f"sqlite:///{SECRET} x", "control character"),
        (f"sqlite:///{SECRET}%00", "control character"),
        (f"sqlite:///{SECRET}%ff", "no valid Unicode"),
    ],
)
@pytest.mark.parametrize("create", [create_session_store, create_conversation_store])
def test_what_names_no_file(create: Callable[[str], object], url: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message) as caught:
        create(url)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (":memory:", "that is memory://"),
        ("", "must be that of its file"),
        ("/", "must be that of its file"),
        (f"{SECRET}/", "must be that of its file"),
        (f"{SECRET}\0", "NUL"),
        (f"{SECRET}\ud800", "no valid Unicode"),
    ],
)
def test_paths_that_name_no_file(path: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message) as caught:
        SQLiteSessionStore.open(path)
    assert SECRET not in str(caught.value)


def test_options_out_of_range() -> None:
    with pytest.raises(TypeError, match="path must be a str"):
        SQLiteSessionStore.open(b"bot.db")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # that is refused
    with pytest.raises(InvalidInputError, match="durability"):
        SQLiteSessionStore.open("bot.db", durability="none")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # as above
    with pytest.raises(InvalidInputError, match=r"^timeout must be "):
        SQLiteSessionStore.open("bot.db", timeout=0)
    with pytest.raises(TypeError, match="namespace"):
        create_session_store("sqlite:///bot.db", namespace="n")
