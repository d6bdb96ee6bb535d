"""The demo as a command: what the shipped recording shows, and what becomes of bad input."""

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import anyio
import pytest
from samples.telegram import Transcripts, blocks, update

from greentic_session import InMemorySessionStore
from greentic_session import __main__ as command_line
from greentic_session.cli import opening
from greentic_session.conversation import InMemoryConversationStore
from greentic_session.demo import recording
from greentic_session.demo.routing import tenant_of
from greentic_session.demo.telegram import MAX_LINE_BYTES, decode_update

SHIPPED = Path(recording.__file__).with_name("updates.jsonl")


def write(path: Path, *rows: bytes | dict[str, Any]) -> str:
    path.write_bytes(b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows))
    return str(path)


# -- the shipped recording


@pytest.fixture(scope="module")
def shipped() -> str:
    output = io.StringIO()
    with redirect_stdout(output):
        # Long enough for the slowest machine: only the pause before the late answer takes this
        # time.
        assert command_line.main(["--ttl", "1.2"]) == 0
    return output.getvalue()


def test_a_question_is_parked_and_its_answer_resumes_the_flow(shipped: str) -> None:
    told = blocks(shipped)
    assert "parked    order at ask_item      waits on telegram:5101\n" in told[1]
    for line in (
        "message   13: 'Pizza Margherita'\n    resumed   order at ask_item\n",
        "parked    order at ask_quantity  waits on telegram:5101\n",
        "bot says  'How many times Pizza Margherita?'",
    ):
        assert line in told[3]


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
    # The group's order was begun in between; the answer in the private chat goes to the private
    # order.
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
    done = run_module("--updates", stdout=subprocess.PIPE)
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
