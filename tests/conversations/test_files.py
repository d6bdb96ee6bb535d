"""The conversation store in files: contract on asyncio and trio, state machine, options."""

# ruff: noqa: ASYNC240, PTH208  # what a test looks at may block it

import itertools
import math
import os
import tempfile
import threading
from pathlib import Path
from typing import Any

import anyio
import pytest
from conversation_files import log_of, make
from runs.machines import machine_tests
from time_passing import OnATimer, each_test_of, run_on_trio
from timers import Timer

from greentic_session.conversation import Conversation, FileConversationStore, Message, create_conversation_store
from greentic_session.conversation.backends.file import expiry_checks, partitions
from greentic_session.errors import ConflictError, InvalidInputError, NotFoundError, UnavailableError
from greentic_session.testing import ConversationStoreContract, MakeConversationStore, conversation_store_machine
from greentic_session.testing._conversations.samples import OPS, PARTITIONS, said, texts

TIMER = Timer()
NUMBERS = itertools.count()
EXAMPLES = tempfile.TemporaryDirectory()
"""Of the state machine, which has no fixtures."""

Machine = conversation_store_machine(
    lambda **options: make(Path(EXAMPLES.name) / str(next(NUMBERS)), timer=TIMER, **options), TIMER.advance
)
TestMachine, TestMachineAtLength = machine_tests(Machine, 30, 250, steps=30)


class TestContract(OnATimer, ConversationStoreContract):
    @pytest.fixture
    def make_store(self, tmp_path: Path, timer: Timer) -> MakeConversationStore:
        return lambda **options: FileConversationStore(tmp_path / str(next(NUMBERS)), timer=timer, **options)


@each_test_of(TestContract)
def test_contract_on_trio(name: str, tmp_path: Path) -> None:
    run_on_trio(TestContract(), name, lambda **options: make(tmp_path / str(next(NUMBERS)), **options))


# -- the directory


@pytest.mark.asyncio
async def test_the_constructor_and_reading_write_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "above" / "store"
    async with make(directory) as store:
        await store.health()
        assert await store.list(OPS) == []
        assert await store.purge(OPS) == 0
        for call in (
            store.load(OPS, "c"),
            store.delete(OPS, "c"),
            store.append(OPS, "c", *said("x")),
            store.update_state(OPS, "c"),
            store.messages(OPS, "c"),
        ):
            with pytest.raises(NotFoundError):
                await call
        held = await store.create(OPS, id="c")
        await store.delete(OPS, "c")
        assert [path for path in directory.rglob("*") if not path.is_dir()] == []
        await store.purge(OPS)
        with pytest.raises(ConflictError):
            await store.save(OPS, held)
        assert list(directory.iterdir()) == []


@pytest.mark.asyncio
async def test_only_the_owner_may_look(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        async with make(tmp_path / "a" / "b") as store:
            await store.create(OPS, id="c")
            await store.append(OPS, "c", *said("x"))
            await store.save(OPS, await store.load(OPS, "c"))
    finally:
        os.umask(before)
    for path in tmp_path.rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.asyncio
async def test_what_is_left_of_the_dead_is_nothing(tmp_path: Path) -> None:
    async with make(tmp_path) as store:
        for partition in PARTITIONS:
            await store.create(partition, id="c")
        log_of(tmp_path / next(name for name in os.listdir(tmp_path) if name.startswith("prod"))).with_suffix(".tmp").touch()
        for partition in PARTITIONS:
            assert await store.purge(partition) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.asyncio
async def test_stores_share_a_directory(tmp_path: Path) -> None:
    async with make(tmp_path) as one, make(tmp_path) as two, make(tmp_path, namespace="n") as other:
        held = await one.create(OPS, id="c")
        assert await two.append(OPS, "c", *said("a")) == 1
        assert await one.append(OPS, "c", *said("b")) == 2
        assert await texts(two) == ["a", "b"]
        assert await other.list(OPS) == []
        await two.delete(OPS, "c")
        with pytest.raises(NotFoundError):
            await one.append(OPS, "c", *said("x"))
        with pytest.raises(ConflictError):
            await one.save(OPS, held)
        await two.create(OPS, id="c", model="second")
        assert (await one.load(OPS, "c")).model == "second"
        await one.append(OPS, "c", *said("a", "b"))
        conversation = await two.load(OPS, "c")
        conversation.messages.pop()
        await two.save(OPS, conversation)
        assert await one.append(OPS, "c", *said("d")) == 2
        assert await texts(two, last=1) == ["d"]
    async with make(tmp_path) as later:
        assert await texts(later) == ["a", "d"]


@pytest.mark.asyncio
async def test_a_lifetime_that_another_store_changes(tmp_path: Path) -> None:
    timer = Timer()
    async with make(tmp_path, timer=timer) as forever, make(tmp_path, timer=timer, ttl=10, sliding=True) as sliding:
        await forever.create(OPS, id="c")
        await forever.append(OPS, "c", *said("a"))
        await sliding.messages(OPS, "c")
        timer.advance(9)
        assert await forever.append(OPS, "c", *said("b")) == 2
        timer.advance(0.5)
        await sliding.append(OPS, "c")
        timer.advance(9)
        assert await texts(forever) == ["a", "b"]
        timer.advance(1)
        with pytest.raises(NotFoundError):
            await forever.append(OPS, "c", *said("c"))
        assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == []


@pytest.mark.asyncio
async def test_the_expired_are_freed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def files() -> int:
        return sum(not path.is_dir() for path in tmp_path.rglob("*"))

    timer = Timer()
    async with make(tmp_path, timer=timer, ttl=10) as store:
        for index in range(30):
            await store.create(OPS, id=f"c{index}")
        timer.advance(11)
        assert files() == 60
        for index in range(12):  # nobody names one of them, nobody lists
            await store.create(OPS, id=f"d{index}")
        assert files() <= 2 * 14
        timer.advance(11)
        assert await store.list(OPS) == []
        assert files() == 0
        monkeypatch.setattr(os, "listdir", lambda _: (_ for _ in ()).throw(OSError))
        await store.create(PARTITIONS[2], id="c")  # looking after others fails, and that is all
        monkeypatch.undo()
        monkeypatch.setattr(expiry_checks, "_MAX_PARTITIONS", 1)
        await store.create(PARTITIONS[1], id="c")
        await store.create(OPS, id="d")


@pytest.mark.asyncio
async def test_old_headers_do_not_pile_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "_MAX_WASTE_BYTES", 4000)
    async with make(tmp_path) as store:
        created = await store.create(OPS, id="c")
        await store.append(OPS, "c", *said("a", "b"))
        sizes = []
        for index in range(60):
            await store.update_state(OPS, "c", add_events=1, custom={"x": "y" * 100})
            if index % 20 == 0:
                await store.append(OPS, "c", *said(str(index)))
            sizes.append(log_of(tmp_path).stat().st_size)
        assert max(sizes) < 12_000
        assert sum(after < before for before, after in itertools.pairwise(sizes)) >= 3
        loaded = await store.load(OPS, "c")
        assert (loaded.state.event_count, loaded.created_at) == (60, created.created_at)
        assert [message.text for message in loaded.messages] == ["a", "b", "0", "20", "40"]
        assert await texts(store, last=1) == ["40"]
        held = loaded
        await store.save(OPS, held)
        # If it cannot be written anew it stays as it is, and the update is done nevertheless.
        monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        for _ in range(60):
            await store.update_state(OPS, "c", add_events=1, custom={"x": "y" * 100})
        assert (await store.load(OPS, "c")).state.event_count == 120
        assert await store.append(OPS, "c", *said("z")) == 6


# -- options and URLs


def test_options(tmp_path: Path) -> None:
    wrong: list[tuple[dict[str, Any], type[Exception]]] = [
        ({"namespace": 7}, TypeError),
        ({"fsync": 1}, TypeError),
        ({"lock_timeout": 0}, InvalidInputError),
        ({"lock_timeout": math.nan}, InvalidInputError),
        ({"lock_timeout": "1"}, TypeError),
        ({"nonsense": 1}, TypeError),
    ]
    for options, error in wrong:
        with pytest.raises(error):
            FileConversationStore(tmp_path, **options)
    directories: list[tuple[Any, type[Exception]]] = [
        (7, TypeError),
        (None, TypeError),
        (b"/tmp", TypeError),
        ("", InvalidInputError),
        ("a\0", InvalidInputError),
    ]
    for directory, error in directories:
        with pytest.raises(error):
            FileConversationStore(directory)


@pytest.mark.asyncio
async def test_a_relative_directory_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    store = make(Path("store"))
    monkeypatch.chdir("elsewhere")
    await store.create(OPS, id="c")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "store"]
    await store.aclose()


@pytest.mark.asyncio
async def test_the_url(tmp_path: Path) -> None:
    for path, encoded in (("plain", "plain"), ("a b%?#ä", "a%20b%25%3F%23%C3%A4"), ("ö", "ö"), ("deep/er", "deep/er/")):
        async with create_conversation_store(f"file://{tmp_path}/{encoded}", fsync=False, ttl=60) as store:
            assert isinstance(store, FileConversationStore)
            await store.create(OPS, id="c")
        assert len(list((tmp_path / path).iterdir())) == 1
    async with create_conversation_store(f"FILE://{tmp_path}/plain", namespace="n", fsync=False) as store:
        assert await store.list(OPS) == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("file://", "absolute path"),
        ("file:", "absolute path"),
        ("file:///", "absolute path"),
        ("file:relative", "absolute path"),
        ("file:/one/slash", "absolute path"),
        ("file://host/secret", "no host"),
        ("file://localhost/secret", "no host"),
        ("file://secret", "no host"),
        ("file://./secret", "no host"),
        ("file://user:secret@host/x", "no host"),
        ("file:///secret?x=1", "%3F"),
        ("file:///secret#x", "%23"),
        ("file:///secret%", "%25"),
        ("file:///secret%2", "%25"),
        ("file:///secret%zz", "%25"),
        ("file:///secret%00", "control"),
        ("file:///secret\n", "control"),
        ("file:///sec ret", "%20"),
        ("file:///secret%ff", "Unicode"),
        ("file:///secret\ud800", "Unicode"),
    ],
)
def test_urls_that_are_refused(url: str, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words) as caught:
        create_conversation_store(url)
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


# -- threads, loops, cancelling


@pytest.mark.asyncio
async def test_the_event_loop_does_no_file_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop_thread = threading.get_ident()
    seen: set[str] = set()

    def watched(name: str, call: Any) -> Any:
        def watch(*args: Any, **options: Any) -> Any:
            assert threading.get_ident() != loop_thread, name
            seen.add(name)
            return call(*args, **options)

        return watch

    async with FileConversationStore(tmp_path / "x", ttl=60, sliding=True) as store:
        with monkeypatch.context() as patch:
            for name in ("open", "close", "pread", "pwrite", "fsync", "ftruncate", "lstat", "fstat", "listdir"):
                patch.setattr(os, name, watched(name, getattr(os, name)))
            for name in ("mkdir", "rmdir", "unlink", "replace", "access", "stat"):
                patch.setattr(os, name, watched(name, getattr(os, name)))
            await store.health()
            await store.create(OPS, id="c")
            await store.append(OPS, "c", *said("a", "b"))
            await store.messages(OPS, "c", last=1)
            conversation = await store.load(OPS, "c")
            await store.save(OPS, conversation)
            await store.update_state(OPS, "c", cwd="/")
            await store.list(OPS)
            await store.delete(OPS, "c")
            await store.create(OPS, id="c")
            await store.append(OPS, "c", *said("a"))
            await store.purge(OPS)
            await store.create(OPS, id="c")
            await store.append(OPS, "c", *said("a"))
            await store.aclose()
    assert {"open", "close", "pread", "pwrite", "fsync", "lstat", "listdir", "unlink", "replace"} <= seen


def test_threads_and_loops_share_a_store(tmp_path: Path) -> None:
    store = make(tmp_path)
    problems: list[BaseException] = []

    async def write(writer: int) -> None:
        for index in range(20):
            await store.append(OPS, "c", *said(f"{writer} {index}"))

    def run(writer: int) -> None:
        try:
            anyio.run(write, writer, backend="trio" if writer % 2 else "asyncio")
        except BaseException as problem:
            problems.append(problem)
            raise

    async def create() -> None:
        await store.create(OPS, id="c")

    async def read() -> list[str]:
        found = await texts(store)
        await store.aclose()
        return found

    anyio.run(create)
    threads = [threading.Thread(target=run, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    found = [text.split() for text in anyio.run(read)]
    for writer in range(4):
        assert [int(index) for who, index in found if int(who) == writer] == list(range(20))


@pytest.mark.asyncio
async def test_many_conversations_keep_few_files_open(tmp_path: Path) -> None:
    async with make(tmp_path) as store:
        for index in range(200):
            await store.create(OPS, id=f"c{index}")
            await store.append(OPS, f"c{index}", *said("a"))
        assert len(os.listdir("/proc/self/fd")) < 330
        for index in range(200):
            assert await texts(store, id=f"c{index}") == ["a"]
    assert len(os.listdir("/proc/self/fd")) < 60


@pytest.mark.asyncio
async def test_nothing_is_written_by_a_call_that_was_closed_over(tmp_path: Path) -> None:
    store = make(tmp_path)
    await store.create(OPS, id="c")

    async def write() -> None:
        with pytest.raises(UnavailableError, match="closed"):  # noqa: PT012  # one of many calls
            for _ in range(10_000):
                await store.append(OPS, "c", *said("x"))

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(write)
        await anyio.sleep(0.02)
        await store.aclose()
    assert not [link for link in os.listdir("/proc/self/fd") if _leads_to(link, tmp_path)]


def _leads_to(link: str, directory: Path) -> bool:
    try:
        return str(Path(f"/proc/self/fd/{link}").readlink()).startswith(str(directory))
    except OSError:
        return False


@pytest.mark.asyncio
async def test_the_store_is_typed(tmp_path: Path) -> None:
    async with FileConversationStore(tmp_path, message_type=dict[str, int]) as store:
        conversation = Conversation[dict[str, int]].new("c")
        conversation.messages.append({"a": 1})
        await store.save(OPS, conversation)
        assert await store.messages(OPS, "c") == [{"a": 1}]
    assert Message.user("x").text == "x"
