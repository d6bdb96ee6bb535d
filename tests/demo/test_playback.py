"""The playback of the demo: how a recording is read, and how its time passes."""

import io
import json
from typing import Any, NoReturn

import anyio
import pytest
from samples.telegram import DATE, TTL, blocks, update

from greentic_session import InMemorySessionStore, SessionCursor, SessionData, TenantCtx
from greentic_session import __main__ as command_line
from greentic_session.conversation import InMemoryConversationStore
from greentic_session.demo import recording
from greentic_session.demo.playback import play
from greentic_session.demo.recording import RecordingError, lines
from greentic_session.demo.telegram import MAX_LINE_BYTES, decode_update

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
    assert command_line.main(["--updates"]) == 2
    assert capsys.readouterr().err == "error: cannot read on after line 1: Input/output error\n"
