"""The import of what 0.1.0 kept in files: a recorded directory, and damage to each part."""

# ruff: noqa: ASYNC240  # what a test looks at may block it

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from samples.damage import changed

from greentic_session.conversation import InMemoryConversationStore, import_conversations
from greentic_session.conversation.envelope import write_envelope
from greentic_session.conversation.header import Lifetime
from greentic_session.conversation.jsonl.archived import UnreadableFileError
from greentic_session.conversation.jsonl.version_0_1 import read_log
from greentic_session.testing._conversations.samples import OPS, said, texts

RECORDED: Final = Path(__file__).parent / "directory_0_1_0"
EXPECTED: Final[dict[str, list[Any]]] = json.loads((RECORDED / "expected.json").read_text())
USUAL: Final = next(RECORDED.glob("store/dev_acme_ops-*/usual-*.log")).read_bytes()
EMPTY: Final = next(RECORDED.glob("store/dev_acme_ops-*/empty-*.log")).read_bytes()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A copy of the recorded directory, with the modes that 0.1.0 gave it."""
    path = tmp_path / "store"
    shutil.copytree(RECORDED / "store", path)
    for one in (path, *path.rglob("*")):
        one.chmod(0o700 if one.is_dir() else 0o600)
    return path


async def stored(store: InMemoryConversationStore[Any]) -> list[Any]:
    """Return all that a store has, as it was recorded."""
    found = []
    for partition, id in [name async for names in store.backend.walk() for name in names]:
        header, messages = await store.backend.load(partition, id, Lifetime())
        conversation = msgspec.json.decode(write_envelope(header, (), id))
        del conversation["messages"]
        env, tenant, team = partition
        glimpse = await store.backend.peek(partition, id)
        assert glimpse is not None
        found.append(
            {
                "env": env,
                "tenant": tenant,
                "team": team,
                "id": id,
                "conversation": conversation,
                "messages": [msgspec.json.decode(text) if text else "unreadable" for text in messages],
                "mortal": glimpse.ttl_ms is not None,
            }
        )
    return sorted(found, key=_name_of)


def expected(namespace: str) -> list[Any]:
    found = [{**one, "mortal": one["expires_at_ms"] != 0} for one in EXPECTED[namespace]]
    for one in found:
        del one["expires_at_ms"]
    return sorted(found, key=_name_of)


def _name_of(one: Any) -> tuple[str, ...]:
    return one["env"], one["tenant"], one["team"] or "", one["id"]


@pytest.mark.asyncio
async def test_all_that_0_1_0_could_read_is_imported(directory: Path) -> None:
    async with InMemoryConversationStore() as store:
        report = await import_conversations(directory, store)
        assert await stored(store) == expected("")
        assert (report.imported, report.expired, report.unreadable_messages) == (len(EXPECTED[""]), 1, 2)
        reasons = {Path(one.path).name.split("-")[0]: one.reason for one in report.skipped}
        assert reasons.keys() == {"damaged_header", "notes.txt", "dev_acme_ops"}
        assert reasons["damaged_header"] == "its header is damaged"
        assert "import the one above by itself" in reasons["dev_acme_ops"]
        assert await store.append(OPS, "torn", *said("on")) == 4
        assert (await texts(store, id="usual"))[0] == "one"
        repeated = await import_conversations(directory, store)
        assert (repeated.imported, repeated.unchanged, repeated.kept) == (0, len(EXPECTED[""]) - 1, 1)


@pytest.mark.asyncio
async def test_a_namespace_of_0_1_0_is_a_directory(directory: Path) -> None:
    (namespace,) = directory.glob("support-*")
    async with InMemoryConversationStore() as store:
        report = await import_conversations(namespace, store)
        assert await stored(store) == expected("support")
        assert report.skipped == []


@pytest.mark.asyncio
async def test_an_import_changes_no_file(directory: Path) -> None:
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    async with InMemoryConversationStore() as store:
        await import_conversations(directory, store)
    assert {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()} == before


def test_lifetimes_are_those_of_0_1_0() -> None:
    found = {}
    for path in RECORDED.glob("store/dev_acme-*/*.log"):
        archived = read_log(path.read_bytes())
        if archived.expires_at_ms is not None:
            found[archived.id] = archived.expires_at_ms
    assert found.pop("expired") < 1_800_000_000_000
    assert found == {one["id"]: one["expires_at_ms"] for one in EXPECTED[""] if one["expires_at_ms"]}


def test_a_file_that_is_cut_anywhere_is_as_of_an_earlier_write() -> None:
    whole = read_log(USUAL).messages
    lengths = set()
    for length in range(len(USUAL) + 1):
        try:
            messages = read_log(USUAL[:length]).messages
        except UnreadableFileError:
            assert length < len(EMPTY) + 100, "the first write is not whole"
            continue
        lengths.add(len(messages))
        assert messages == whole[: len(messages)]
    assert lengths == {0, 2, 3}


@pytest.mark.parametrize(
    "end", [b"hello\n", b"m 00000000 3 {}\n", b"hello", bytes(range(1, 256)), b"+ 00000000 0000000000000000 0\n", b"= \n\n"]
)
def test_any_other_end_is_one_unreadable_message(end: bytes) -> None:
    assert read_log(USUAL + end).messages == [*read_log(USUAL).messages, b""]


@pytest.mark.parametrize("end", [b"+", b"+ ", b"\0" * 4096, b"hello\0"])
def test_the_start_of_a_write_is_left_out(end: bytes) -> None:
    assert read_log(USUAL + end).messages == read_log(USUAL).messages


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda _: b"", "first line"),
        (lambda text: text[:30], "first line"),
        (changed(b"conversation 1 ", b"conversation 0 "), "first line"),
        (changed(b"conversation 1 ", b"conversation 2 "), "newer version"),
        (changed(b" 0000000000000000 ", b" 0000000000000001 "), "first line"),
        (changed(b'"room"', b'"raum"'), "second line"),
        (lambda text: text[: text.index(b"\n") + 1], "second line"),
        (lambda text: text[: text.index(b"\n+ ") + 1], "no part"),
        (changed(b"\n= ", b"\n# "), "no part"),
        (changed(b'"cwd":"/srv"', b'"cwd":"/srX"'), "header"),
    ],
)
def test_what_has_no_header_is_left_out(damage: Callable[[bytes], bytes], reason: str) -> None:
    with pytest.raises(UnreadableFileError, match=reason):
        read_log(damage(USUAL))


def test_every_changed_byte_is_noticed() -> None:
    """A file with one other byte has no other messages; some of them may be unreadable."""
    sound = read_log(USUAL)
    for position in range(0, len(USUAL), 3):
        text = bytearray(USUAL)
        text[position] ^= 1
        try:
            found = read_log(bytes(text))
        except UnreadableFileError:
            continue
        assert (found.partition, found.id) == (sound.partition, sound.id)
        known = {*sound.messages, b""}
        assert set(found.messages) <= known
        assert found.header.metadata == sound.header.metadata
