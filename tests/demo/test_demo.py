"""The demo: what the shipped recording shows, what becomes of bad input, and its parts one by one."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NoReturn

import anyio
import pytest

from greentic_session import InMemorySessionStore, ReplyScope, SessionCursor, SessionData, TenantCtx
from greentic_session import __main__ as command_line
from greentic_session.cli import opening
from greentic_session.conversation import InMemoryConversationStore, linked_conversation
from greentic_session.conversation import Message as Said
from greentic_session.demo import flow, recording
from greentic_session.demo.flow import Order
from greentic_session.demo.playback import play
from greentic_session.demo.recording import RecordingError, lines
from greentic_session.demo.routing import answer_scopes, question_scope, session_key, tenant_of, tenant_partition
from greentic_session.demo.runner import Outcome, Runner, Snapshot
from greentic_session.demo.telegram import MAX_LINE_BYTES, InvalidUpdateError, Message, Update, User, decode_update

Transcripts = InMemoryConversationStore[Said]

SHIPPED = Path(recording.__file__).with_name("updates.jsonl")
TTL = 60.0  # seconds: nothing expires while a test runs
DATE = 1_767_261_600
GROUP, PRIVATE = -1_002_000_000_077, 5202


def update(
    update_id: int,
    message_id: int = 10,
    text: str | None = "hello",
    *,
    chat: int = PRIVATE,
    user: int | None = 5202,
    date: int = DATE,
    **more: object,
) -> dict[str, Any]:
    kind = "private" if chat > 0 else "supergroup"
    message: dict[str, object] = {"message_id": message_id, "chat": {"id": chat, "type": kind}, "date": date, **more}
    if user is not None:
        message["from"] = {"id": user, "is_bot": False, "first_name": "Somebody"}
    if text is not None:
        message["text"] = text
    return {"update_id": update_id, "message": message}


def reply_to(message_id: int, *, is_bot: bool = True) -> dict[str, object]:
    return {"message_id": message_id, "from": {"id": 7_000_000_001, "is_bot": is_bot, "first_name": "Order Bot"}}


def decoded(*args: Any, **kwargs: Any) -> Update:
    return decode_update(json.dumps(update(*args, **kwargs)).encode())


def message_of(*args: Any, **kwargs: Any) -> Message:
    message = decoded(1, *args, **kwargs).message
    assert message is not None
    return message


def write(path: Path, *rows: bytes | dict[str, Any]) -> str:
    path.write_bytes(b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows))
    return str(path)


def blocks(output: str) -> dict[int, str]:
    """Split the demo's output into what it tells of each line."""
    found: dict[int, str] = {}
    for block in output.split("\n\n"):
        if block.startswith("line "):
            found[int(block.removeprefix("line ").partition(":")[0])] = block
    return found


# -- the shipped recording


@pytest.fixture(scope="module")
def shipped() -> str:
    output = io.StringIO()
    with redirect_stdout(output):
        # Long enough for the slowest machine: only the pause before the late answer takes this time.
        assert command_line.main(["--ttl", "1.2"]) == 0
    return output.getvalue()


def test_a_question_is_parked_and_its_answer_resumes_the_flow(shipped: str) -> None:
    told = blocks(shipped)
    assert "parked    order at ask_item      waits on telegram:5101\n" in told[1]
    assert "message   13: 'Pizza Margherita'\n    resumed   order at ask_item\n" in told[3]
    assert "parked    order at ask_quantity  waits on telegram:5101\n" in told[3]
    assert "bot says  'How many times Pizza Margherita?'" in told[3]


def test_the_recording_has_two_tenants_and_three_users(shipped: str) -> None:
    rows = [decode_update(line).message for line in SHIPPED.read_bytes().splitlines()]
    messages = [message for message in rows if message is not None]
    assert {tenant_of(message) for message in messages} == {"trattoria", "sushi-bar"}
    assert {message.sender.id for message in messages if message.sender} == {5101, 5202, 5303}
    for name in ("trattoria  tg-5101", "sushi-bar  tg-5202", "sushi-bar  tg-5303"):
        assert name in shipped


def test_one_user_orders_in_two_chats_at_once(shipped: str) -> None:
    told = blocks(shipped)
    assert "waits on telegram:-1001000000042 thread 7 reply_to 902" in told[4]
    # The group's order was begun in between; the answer in the private chat goes to the private order.
    assert "message   15: '2'\n    resumed   order at ask_quantity" in told[6]
    assert "2 x Pizza Margherita" in told[6]
    assert "message   903 in reply to 902: 'Tiramisù'\n    resumed   order at ask_item" in told[8]
    assert "Ordered: 2 x Pizza Margherita." in told[9]
    assert "1 x Tiramisù" in told[12]
    assert "Nothing ordered." in told[15]


def test_a_redelivered_update_answers_nothing(shipped: str) -> None:
    recorded = SHIPPED.read_bytes().splitlines()
    assert recorded[5] == recorded[6]
    told = blocks(shipped)
    assert "already processed, ignored" in told[7]
    assert "resumed" not in told[7]
    assert "parked" not in told[7]


def test_an_answer_in_a_group_is_found_by_the_message_it_replies_to(shipped: str) -> None:
    told = blocks(shipped)
    assert "waits on telegram:-1002000000077 reply_to 502" in told[2]
    assert "message   503 in reply to 502: 'Salmon nigiri'\n    resumed   order at ask_item" in told[5]
    assert "finished  order" in told[14]


def test_a_private_reply_is_tried_again_without_reply_to(shipped: str) -> None:
    told = blocks(shipped)[9]
    assert "message   17 in reply to 16: 'yes'\n    resumed   order at confirm\n    finished  order" in told
    assert "nothing waits on a reply to 16: found without reply_to" in told


def test_an_answer_after_the_ttl_comes_too_late(shipped: str) -> None:
    assert "parked    order at ask_item      waits on telegram:5202\n" in blocks(shipped)[13]
    assert "--- 25 minutes pass in the recording; waiting 1.25 s" in shipped
    assert shipped.count("---") == 1
    told = blocks(shipped)[16]
    assert "message   33: 'Ramen'\n    too late  nothing waits" in told
    assert "Send /order to start again." in told


def test_what_is_unfinished_is_still_held_at_the_end(shipped: str) -> None:
    held = shipped.partition("The store still holds")[2]
    assert held.splitlines()[1:5] == [
        "  trattoria",
        "    tg-5101  order  at ask_item      waits on telegram:5101",
        "  sushi-bar",
        "    tg-5202  order  at ask_quantity  waits on telegram:5202",
    ]
    assert shipped.endswith("\n\nparked 13, resumed 10, finished 3, ignored 2, too late 1, skipped lines 0\n")


def test_the_transcript_of_a_customer_is_printed(shipped: str) -> None:
    assert "    recorded  both, as messages 3 and 4 of the conversation" in blocks(shipped)[3]
    _, _, after = shipped.partition("The transcript of the first order that was finished, at trattoria:\n")
    assert after.partition("\n\n")[0].splitlines() == [
        "  user       '/order'",
        "  assistant  'What would you like?'",
        "  user       'Pizza Margherita'",
        "  assistant  'How many times Pizza Margherita?'",
        "  user       '2'",
        "  assistant  '2 x Pizza Margherita: shall I order that? (yes/no)'",
        "  user       'yes'",
        "  assistant  'Ordered: 2 x Pizza Margherita.'",
    ]


def test_the_output_fits_a_terminal(shipped: str) -> None:
    assert max(map(len, shipped.splitlines())) <= 100


# -- the command line


def test_bad_lines_are_reported_by_number_and_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = "4711-secret"
    file = write(
        tmp_path / "updates.jsonl",
        b"\xef\xbb\xbf" + json.dumps(update(1, 10, "/order")).encode(),
        b"",
        f'{{"text": "{secret}"'.encode(),
        f'{{"unread": "{secret}"}}'.encode(),
        b'{"update_id": 2, "unread": "\xff\xfe"}',
        f'{{"update_id": 3, "message": {{"message_id": "{secret}"}}}}'.encode(),
        b'{"update_id": 4, "unread": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"update_id": 5, "unread": "' + b"x" * (2 * MAX_LINE_BYTES) + b'"}',
        f'["{secret}"]'.encode(),
        b'{"update_id": 1e999}',
        b'{"update_id": 123456789012345678901234567890}',
        update(6, 12, "Ramen", date=2**60),
        {"update_id": 7, "edited_message": {"message_id": 12}},
        update(8, 12, "Ramen"),
    )
    assert command_line.main(["--updates", file, "--ttl", "60"]) == 0
    captured = capsys.readouterr()
    told = blocks(captured.out)
    assert sorted(told) == [1, *range(3, 15)]
    assert told[3] == "line 3: skipped: not a valid update: Input data was truncated"
    assert told[4] == "line 4: skipped: not a valid update: Object missing required field `update_id`"
    assert told[5] == "line 5: skipped: not UTF-8"
    assert told[6] == "line 6: skipped: not a valid update: Expected `int`, got `str` - at `$.message.message_id`"
    assert told[7] == "line 7: skipped: nested too deeply"
    assert told[8] == f"line 8: skipped: longer than {MAX_LINE_BYTES} bytes"
    assert all(": skipped: not a valid update: " in told[number] for number in (9, 10, 11, 12))
    assert "update 7\n    note      ignored: this update has no text message" in told[13]
    assert "resumed   order at ask_item" in told[14]
    assert secret not in captured.out
    assert "parked 2, resumed 1, finished 0, ignored 1, too late 0, skipped lines 10" in captured.out
    assert captured.err == ""


def test_binary_data_is_no_recording_and_no_crash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "updates.jsonl", bytes(reversed(range(256))) * 20)
    assert command_line.main(["--updates", file]) == 0
    output = capsys.readouterr().out
    assert "line 1: skipped: not UTF-8" in output
    assert "nothing: no tenant has had a message" in output


def test_what_a_terminal_cannot_show_does_not_stop_the_demo(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "updates.jsonl", update(1, text="寿司\x1b[31m" + "x" * 60))
    raw = io.BytesIO()
    narrow = io.TextIOWrapper(raw, encoding="ascii")
    monkeypatch.setattr(sys, "stdout", narrow)
    assert command_line.main(["--updates", file]) == 0
    assert rb"10: '\u5bff\u53f8\x1b[31m" + b"x" * 40 + b"...'" in raw.getvalue()


@pytest.mark.parametrize("url", ["", "nonsense", "http://user:hunter2@example.org", "redis//x"])
def test_a_bad_url_is_one_line_and_exit_code_2(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["--store", url]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: the store's URL must begin with ")
    assert captured.err.count("\n") == 1
    assert "hunter2" not in captured.err
    assert captured.out == ""


def test_a_missing_file_is_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in (tmp_path / "missing.jsonl", tmp_path):
        assert command_line.main(["--updates", str(name)]) == 2
        captured = capsys.readouterr()
        assert captured.err.startswith(f"error: cannot open {name}: ")
        assert captured.err.count("\n") == 1
        assert captured.out == ""


def test_a_store_that_fails_is_one_line_and_exit_code_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed_store(url: str) -> InMemorySessionStore:
        assert url == "redis://elsewhere"
        store = InMemorySessionStore()
        anyio.run(store.aclose)
        return store

    def conversation_store(url: str, *, namespace: str | None, ttl: float, sliding: bool) -> Transcripts:
        assert (url, namespace) == ("redis://elsewhere", None)
        assert ttl > 3600
        return InMemoryConversationStore(ttl=ttl, sliding=sliding)

    monkeypatch.setattr(opening, "create_session_store", closed_store)
    monkeypatch.setattr(opening, "create_conversation_store", conversation_store)
    assert command_line.main(["--store", "redis://elsewhere"]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("ttl", ["0", "-1", "nan", "inf", "1e9", "soon"])
def test_a_ttl_out_of_range_is_refused(ttl: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        command_line.main([f"--ttl={ttl}"])
    assert exit_.value.code == 2
    assert "error: argument --ttl" in capsys.readouterr().err


def run_module(*args: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "greentic_session", *args]
    environment = os.environ | {"PYTHONPATH": str(SHIPPED.parents[2]), "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(command, check=False, timeout=60, stderr=subprocess.PIPE, env=environment, **options)


def test_as_a_command_it_plays_the_shipped_recording() -> None:
    done = run_module(stdout=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "Tiramisù".encode() in done.stdout
    assert b"The store still holds" in done.stdout


def test_as_a_command_it_reads_the_standard_input() -> None:
    done = run_module("--updates", "-", "--ttl", "60", input=json.dumps(update(1)).encode(), stdout=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"too late 1" in done.stdout


def test_as_a_command_it_stops_quietly_when_nobody_reads_on() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = run_module(stdout=writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


# -- the runner


@pytest.fixture
def store() -> Iterator[InMemorySessionStore]:
    store = InMemorySessionStore()
    yield store
    anyio.run(store.aclose)


@pytest.fixture
def conversations() -> Iterator[Transcripts]:
    conversations = InMemoryConversationStore()
    yield conversations
    anyio.run(conversations.aclose)


def ask_item(outcome: Outcome) -> bool:
    return outcome.parked_at == "ask_item" and outcome.resumed_at is None


@pytest.mark.asyncio
@pytest.mark.parametrize("chat", [PRIVATE, GROUP])
async def test_a_redelivered_order_command_starts_no_second_order(
    store: InMemorySessionStore, conversations: Transcripts, chat: int
) -> None:
    runner = Runner(store, conversations, TTL)
    command = decoded(100, 10, "/order", chat=chat)
    answer = decoded(101, 12, "Ramen", chat=chat, reply_to_message=reply_to(11))
    assert ask_item(await runner.handle(command))
    duplicate = await runner.handle(command)
    assert duplicate.note is not None
    assert "already processed" in duplicate.note
    assert (await runner.handle(answer)).parked_at == "ask_quantity"
    assert (await runner.handle(command)) == duplicate
    assert (await runner.handle(answer)) == duplicate
    assert (await runner.handle(decoded(102, 14, "2", chat=chat, reply_to_message=reply_to(13)))).parked_at == "confirm"


@pytest.mark.asyncio
async def test_a_new_order_command_replaces_the_unfinished_order(
    store: InMemorySessionStore, conversations: Transcripts
) -> None:
    runner = Runner(store, conversations, TTL)
    await runner.handle(decoded(100, 10, "/order", chat=GROUP))
    again = await runner.handle(decoded(101, 12, "/order", chat=GROUP))
    assert ask_item(again)
    assert again.note == "instead of the unfinished order in this chat"
    old = await runner.handle(decoded(102, 14, "Ramen", chat=GROUP, reply_to_message=reply_to(11)))
    assert old.resumed_at is None
    assert old.note is not None
    assert "waits for another answer" in old.note
    new = await runner.handle(decoded(103, 15, "Ramen", chat=GROUP, reply_to_message=reply_to(13)))
    assert new.resumed_at == "ask_item"


@pytest.mark.asyncio
@pytest.mark.parametrize("more", [{}, {"reply_to_message": reply_to(11, is_bot=False)}])
async def test_talk_in_a_group_is_no_answer(
    store: InMemorySessionStore, conversations: Transcripts, more: dict[str, object]
) -> None:
    runner = Runner(store, conversations, TTL)
    await runner.handle(decoded(100, 10, "/order", chat=GROUP))
    outcome = await runner.handle(decoded(101, 12, "Ramen", chat=GROUP, **more))
    assert outcome.note == "ignored: in a group, only a reply to the bot is an answer"
    assert outcome.says is None


@pytest.mark.asyncio
async def test_nobody_answers_a_question_to_somebody_else(store: InMemorySessionStore, conversations: Transcripts) -> None:
    runner = Runner(store, conversations, TTL)
    await runner.handle(decoded(100, 10, "/order", chat=GROUP))
    assert (await runner.handle(decoded(101, 12, "Ramen", chat=GROUP, user=5303, reply_to_message=reply_to(11)))).too_late
    assert (await runner.handle(decoded(102, 13, "Ramen", chat=GROUP, reply_to_message=reply_to(11)))).resumed_at


@pytest.mark.asyncio
@pytest.mark.parametrize("nothing", [{"text": None}, {"user": None}])
async def test_what_is_no_text_of_a_person_is_ignored(
    store: InMemorySessionStore, conversations: Transcripts, nothing: dict[str, None]
) -> None:
    outcome = await Runner(store, conversations, TTL).handle(decoded(1, **nothing))
    assert outcome.note == "ignored: this update has no text message from a person"


@pytest.mark.asyncio
async def test_a_flow_that_another_runner_resumes_is_left_to_it(
    store: InMemorySessionStore, conversations: Transcripts
) -> None:
    runner = Runner(store, conversations, TTL)
    await runner.handle(decoded(100, 10, "/order"))
    ctx = tenant_partition("sushi-bar").with_user("tg-5202")
    answer = decoded(101, 12, "Ramen")
    claim = await store.claim_wait(ctx, "tg-5202", ReplyScope("telegram:5202"))
    assert claim is not None
    async with claim:
        outcome = await runner.handle(answer)
        assert outcome.note == "another runner is resuming this flow, left to it"
    assert (await runner.handle(answer)).resumed_at == "ask_item"


@pytest.mark.asyncio
async def test_a_duplicate_leaves_the_wait_as_it_was_and_free(
    store: InMemorySessionStore, conversations: Transcripts
) -> None:
    runner = Runner(store, conversations, TTL)
    await runner.handle(decoded(100, 10, "/order"))
    await runner.handle(decoded(101, 12, "Ramen"))
    await runner.handle(decoded(101, 12, "Ramen"))
    claim = await store.claim_wait(tenant_partition("sushi-bar"), "tg-5202", ReplyScope("telegram:5202"))
    assert claim is not None
    assert claim.data.cursor.node_pointer == "ask_quantity"
    assert json.loads(claim.data.context_json) == {"last_update": 101, "order": {"item": "Ramen", "quantity": 0}}


@pytest.mark.asyncio
async def test_a_finished_flow_leaves_nothing_in_the_store(store: InMemorySessionStore, conversations: Transcripts) -> None:
    runner = Runner(store, conversations, TTL)
    outcomes = [
        await runner.handle(decoded(100 + number, 10 + 2 * number, text))
        for number, text in enumerate(["/order", "Ramen", "2", "yes"])
    ]
    assert [outcome.parked_at for outcome in outcomes] == ["ask_item", "ask_quantity", "confirm", None]
    assert [outcome.resumed_at for outcome in outcomes] == [None, "ask_item", "ask_quantity", "confirm"]
    assert [wait async for wait in store.iter_sessions(tenant_partition("sushi-bar"))] == []


async def transcript(conversations: Transcripts, outcome: Outcome) -> list[tuple[str, str]]:
    assert outcome.conversation is not None
    messages = await conversations.messages(tenant_partition("sushi-bar"), outcome.conversation)
    assert len(messages) == outcome.length
    return [(message.role, message.text) for message in messages]


@pytest.mark.asyncio
async def test_the_parked_session_names_the_transcript_that_grows_with_every_answer(
    store: InMemorySessionStore, conversations: Transcripts
) -> None:
    said: list[tuple[str, str]] = []
    for number, text in enumerate(["/order", "Ramen", "many", "2", "yes"]):
        # A runner of its own each time: it finds the transcript by what is parked.
        outcome = await Runner(store, conversations, TTL).handle(decoded(100 + number, 10 + 2 * number, text))
        assert outcome.says is not None
        said += [("user", text), ("assistant", outcome.says)]
        assert await transcript(conversations, outcome) == said
        waits = [wait async for wait in store.iter_sessions(tenant_partition("sushi-bar"))]
        assert [linked_conversation(wait.data) for wait in waits] == [outcome.conversation] * (text != "yes")
    assert said[-1] == ("assistant", "Ordered: 2 x Ramen.")
    assert len(await conversations.list(tenant_partition("sushi-bar"))) == 1
    assert await conversations.list(tenant_partition("trattoria")) == []


@pytest.mark.asyncio
async def test_every_order_has_a_transcript_of_its_own(store: InMemorySessionStore, conversations: Transcripts) -> None:
    runner = Runner(store, conversations, TTL)
    first = await runner.handle(decoded(100, 10, "/order"))
    await runner.handle(decoded(100, 10, "/order"))  # delivered again
    second = await runner.handle(decoded(101, 12, "/order"))
    assert first.conversation != second.conversation
    assert await transcript(conversations, second) == [("user", "/order"), ("assistant", "What would you like?")]
    assert len(await conversations.list(tenant_partition("sushi-bar"))) == 2


@pytest.mark.asyncio
async def test_what_is_ignored_is_not_recorded(store: InMemorySessionStore, conversations: Transcripts) -> None:
    runner = Runner(store, conversations, TTL)
    started = await runner.handle(decoded(100, 10, "/order", chat=GROUP))
    await runner.handle(decoded(101, 12, "Hello all", chat=GROUP))
    await runner.handle(decoded(102, 14, "Ramen", chat=GROUP, user=5303, reply_to_message=reply_to(11)))
    assert len(await transcript(conversations, started)) == 2


@pytest.mark.asyncio
async def test_a_flow_that_names_no_transcript_goes_on_without(
    store: InMemorySessionStore, conversations: Transcripts
) -> None:
    ctx = tenant_partition("sushi-bar").with_user("tg-5202")
    cursor = SessionCursor("ask_item")
    data = SessionData(tenant_ctx=ctx, flow_id="order", cursor=cursor, context_json="").new_context(Snapshot(1, Order()))
    await store.register_wait(ctx, "tg-5202", ReplyScope("telegram:5202"), "k", data)
    outcome = await Runner(store, conversations, TTL).handle(decoded(101, 12, "Ramen"))
    assert (outcome.parked_at, outcome.conversation, outcome.length) == ("ask_quantity", None, 0)


# -- playback


def numbered(*rows: dict[str, Any]) -> list[tuple[int, bytes]]:
    return [(number, json.dumps(row).encode()) for number, row in enumerate(rows, 1)]


def test_only_a_gap_longer_than_the_window_takes_time(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    async def note_sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(anyio, "sleep", note_sleep)
    window = 15 * 60
    rows = [
        update(1, date=DATE),
        update(2, date=DATE + window),
        update(1, date=DATE),  # delivered again, with its old date: no gap follows from that
        update(3, date=DATE + 2 * window),
        {"update_id": 4},
        update(5, text=None, date=DATE + 3 * window + 1),
    ]
    anyio.run(play, InMemorySessionStore(), InMemoryConversationStore(), numbered(*rows), TTL)
    assert slept == [pytest.approx(TTL, abs=0.1)]
    assert slept[0] > TTL
    assert capsys.readouterr().out.count("minutes pass") == 1


def test_a_claim_lets_no_question_wait_longer_than_its_ttl(capsys: pytest.CaptureFixture[str]) -> None:
    # The second line is a duplicate by its id: it claims the wait, and gives it back.
    rows = numbered(update(1, 10, "/order"), update(1, 12, "Ramen"), update(2, 12, "Ramen", date=DATE + 3600))
    anyio.run(play, InMemorySessionStore(), InMemoryConversationStore(), rows, 0.1)
    assert "too late" in blocks(capsys.readouterr().out)[3]


def test_it_plays_on_trio_too(capsys: pytest.CaptureFixture[str]) -> None:
    rows = numbered(update(1, 10, "/order", chat=77, user=77), update(2, text=None, user=None, chat=77))
    anyio.run(play, InMemorySessionStore(), InMemoryConversationStore(), rows, TTL, backend="trio")
    output = capsys.readouterr().out
    assert "walk-in  tg-77 in chat 77" in output
    assert "walk-in  nobody in chat 77" in output
    assert "    tg-77  order  at ask_item      waits on telegram:77\n" in output


def test_it_lists_what_is_held_in_a_steady_order(capsys: pytest.CaptureFixture[str]) -> None:
    users = list(range(60, 20, -1))
    rows = numbered(*(update(user, 10, "/order", chat=user, user=user) for user in users))
    anyio.run(play, InMemorySessionStore(), InMemoryConversationStore(), rows, TTL)
    held = capsys.readouterr().out.partition("The store still holds")[2]
    assert [row.split()[0] for row in held.splitlines() if row.startswith("    ")] == [f"tg-{n}" for n in sorted(users)]


def test_it_lists_what_others_left_in_the_store(capsys: pytest.CaptureFixture[str]) -> None:
    async def run() -> None:
        store = InMemorySessionStore()
        ctx = TenantCtx.new("demo", "sushi-bar", user="tg-1")
        data = SessionData(tenant_ctx=ctx, flow_id="book", cursor=SessionCursor("table"), context_json="{}")
        await store.create_session(ctx, data)
        await store.create_session(other := TenantCtx.new("demo", "trattoria"), _owned(data, other))
        await play(store, InMemoryConversationStore(), numbered(update(1)), TTL)

    anyio.run(run)
    held = capsys.readouterr().out.partition("The store still holds")[2]
    assert "    tg-1  book  at table         waits on nothing that the store knows\n" in held
    assert "trattoria" not in held


def _owned(data: SessionData, ctx: TenantCtx) -> SessionData:
    return SessionData(tenant_ctx=ctx, flow_id=data.flow_id, cursor=data.cursor, context_json=data.context_json)


# -- the flow


def test_the_flow_parks_three_times() -> None:
    first = flow.start()
    assert (first.order, first.node) == (Order(), "ask_item")
    second = flow.resume("ask_item", first.order, "  two\nwords ")
    assert (second.order, second.node) == (Order("two words"), "ask_quantity")
    third = flow.resume("ask_quantity", second.order, " 3 ")
    assert (third.order, third.node) == (Order("two words", 3), "confirm")
    last = flow.resume("confirm", third.order, " YES ")
    assert (last.order, last.node, last.says) == (Order("two words", 3), None, "Ordered: 3 x two words.")
    refused = flow.resume("confirm", third.order, "no")
    assert (refused.node, refused.says) == (None, "Nothing ordered.")


@pytest.mark.parametrize(
    ("node", "text"),
    [
        ("ask_item", "  "),
        ("ask_item", "x" * 41),
        ("ask_quantity", "two"),
        ("ask_quantity", "0"),
        ("ask_quantity", "100"),
        ("ask_quantity", "-1"),
        ("ask_quantity", "²"),
        ("ask_quantity", "9" * 5000),
        ("confirm", "perhaps"),
    ],
)
def test_an_answer_that_does_not_fit_is_asked_for_again(node: str, text: str) -> None:
    order = Order("soup", 2)
    step = flow.resume(node, order, text)
    assert (step.node, step.order) == (node, order)
    assert step.says.startswith("Please ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("/order", True), (" /order@TheBot now", True), ("/orders", False), ("order", False), ("", False), ("I /order", False)],
)
def test_what_starts_an_order(text: str, expected: bool) -> None:  # noqa: FBT001  # a table
    assert flow.is_start(text) is expected


# -- Telegram


def test_fields_of_an_update_that_nobody_reads_are_ignored() -> None:
    read = decoded(1, 10, "hi", sticker={"emoji": "x"}, entities=[], reply_to_message=reply_to(9) | {"text": "?"})
    assert read.update_id == 1
    assert read.message is not None
    assert read.message.sender == User(5202)
    assert read.message.is_private
    assert read.message.replied is not None
    assert read.message.replied.message_id == 9


def test_a_topic_is_a_place_and_a_thread_of_replies_is_not() -> None:
    assert message_of(message_thread_id=7, is_topic_message=True).topic == 7
    assert message_of(message_thread_id=7).topic is None
    opened = message_of(message_thread_id=7, is_topic_message=True, reply_to_message=reply_to(7, is_bot=False))
    assert opened.replied is None
    assert message_of(message_thread_id=7, reply_to_message=reply_to(7)).replied is not None


@pytest.mark.parametrize(
    "line",
    [b"", b"null", b"[]", b"\x00", b'{"update_id":"1"}', b'{"update_id":1,"message":{}}', b'{"update_id":4503599627370497}'],
)
def test_what_is_no_update_is_refused(line: bytes) -> None:
    with pytest.raises(InvalidUpdateError, match=r"^not a valid update: "):
        decode_update(line)


# -- routing


def test_where_a_question_waits() -> None:
    assert question_scope(message_of(10)) == ReplyScope("telegram:5202")
    assert question_scope(message_of(10, chat=GROUP)) == ReplyScope(f"telegram:{GROUP}", reply_to="11")
    topic = message_of(10, chat=GROUP, message_thread_id=7, is_topic_message=True)
    assert question_scope(topic) == ReplyScope(f"telegram:{GROUP}", thread="7", reply_to="11")


def test_where_an_answer_is_looked_for() -> None:
    replying = {"reply_to_message": reply_to(11)}
    assert answer_scopes(message_of(12)) == [ReplyScope("telegram:5202")]
    assert answer_scopes(message_of(12, **replying)) == [
        ReplyScope("telegram:5202", reply_to="11"),
        ReplyScope("telegram:5202"),
    ]
    assert answer_scopes(message_of(12, chat=GROUP, **replying)) == [ReplyScope(f"telegram:{GROUP}", reply_to="11")]


def test_every_user_chat_and_tenant_has_a_key_of_its_own() -> None:
    acme = tenant_partition("acme")
    keys = [
        session_key(ctx, message_of(chat=chat), User(user))
        for ctx in (acme, tenant_partition("other"))
        for chat in (PRIVATE, GROUP)
        for user in (1, 2)
    ]
    assert len(set(keys)) == 8
    assert session_key(acme, message_of(99), User(1)) == session_key(acme.with_user("tg-1"), message_of(12), User(1))


# -- reading a file


def test_lines_are_numbered_as_an_editor_numbers_them() -> None:
    text = b"one\r\n\n  \t\ntwo\n" + b"x" * (3 * MAX_LINE_BYTES) + b"\n" + b"y" * MAX_LINE_BYTES + b"\nlast"
    found = list(lines(io.BytesIO(text)))
    assert [number for number, _ in found] == [1, 4, 5, 6, 7]
    assert [len(line) for _, line in found] == [5, 4, MAX_LINE_BYTES + 1, MAX_LINE_BYTES + 1, 4]


def test_a_line_of_the_longest_length_is_read() -> None:
    frame = b'{"update_id":1,"unread":""}'
    row = frame[:-2] + b"x" * (MAX_LINE_BYTES - len(frame)) + frame[-2:]
    ((_, line),) = lines(io.BytesIO(row))
    assert decode_update(line).update_id == 1


def test_a_file_that_fails_while_it_is_read_is_reported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(io.BytesIO):
        def readline(self, size: int | None = -1, /) -> bytes:
            row = super().readline(size)
            return row or self.fail()

        def fail(self) -> NoReturn:
            raise OSError(5, "Input/output error")

    with pytest.raises(RecordingError, match=r"^cannot read on after line 1: Input/output error$"):
        list(lines(Failing(b"{}\n")))
    monkeypatch.setattr(recording, "_open", lambda name: Failing(b"{}\n"))
    assert command_line.main([]) == 2
    assert capsys.readouterr().err == "error: cannot read on after line 1: Input/output error\n"
