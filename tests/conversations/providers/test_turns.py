"""Calls of tools and their answers, form by form."""

import json
from typing import Any

import pytest

from greentic_session.conversation.turns import Turns

Pair = tuple[dict[str, Any], dict[str, Any]]
PAIRS: dict[str, Pair] = {
    "Anthropic": (
        {"content": [{"type": "tool_use", "id": "1"}]},
        {"content": [{"type": "tool_result", "tool_use_id": "1"}]},
    ),
    "Anthropic's MCP": (
        {"content": [{"type": "mcp_tool_use", "id": "1"}]},
        {"content": [{"type": "mcp_tool_result", "tool_use_id": "1"}]},
    ),
    "OpenAI chat": ({"role": "assistant", "tool_calls": [{"id": "1"}]}, {"role": "tool", "tool_call_id": "1"}),
    "OpenAI functions": ({"role": "assistant", "function_call": {"name": "1"}}, {"role": "function", "name": "1"}),
    "OpenAI items": ({"type": "shell_call", "call_id": "1"}, {"type": "shell_call_output", "call_id": "1"}),
    "OpenAI approvals": (
        {"type": "mcp_approval_request", "id": "1"},
        {"type": "mcp_approval_response", "approval_request_id": "1"},
    ),
    "Gemini by id": (
        {"parts": [{"functionCall": {"id": "1", "name": "f"}}]},
        {"parts": [{"functionResponse": {"id": "1", "name": "g"}}]},
    ),
    "Gemini by name": ({"parts": [{"function_call": {"name": "1"}}]}, {"parts": [{"function_response": {"name": "1"}}]}),
    "LangChain": (
        {"type": "ai", "data": {"tool_calls": [{"id": "1", "name": "f"}]}},
        {"type": "tool", "data": {"type": "tool", "tool_call_id": "1"}},
    ),
    "LangChain's own": ({"type": "ai", "tool_calls": [{"id": "1"}]}, {"type": "tool", "tool_call_id": "1"}),
    "LangChain serialized": (
        {"lc": 1, "kwargs": {"type": "ai", "tool_calls": [{"id": "1"}]}},
        {"lc": 1, "kwargs": {"type": "tool", "tool_call_id": "1"}},
    ),
    "pydantic-ai": (
        {"parts": [{"part_kind": "tool-call", "tool_call_id": "1"}]},
        {"parts": [{"part_kind": "tool-return", "tool_call_id": "1"}]},
    ),
    "pydantic-ai retried": (
        {"parts": [{"part_kind": "tool-call", "tool_call_id": "1"}]},
        {"parts": [{"part_kind": "retry-prompt", "tool_name": "f", "tool_call_id": "1"}]},
    ),
}


def start(*messages: Any) -> int:
    turns = Turns()
    for message in messages:
        turns.see(json.dumps(message).encode())
    return turns.start


@pytest.mark.parametrize("form", PAIRS)
def test_an_answer_needs_its_call(form: str) -> None:
    call, answer = PAIRS[form]
    said = {"role": "user", "content": "hello"}
    assert start(call, answer) == start(said, call, said, answer, answer) == 0
    assert start(answer) == start(answer, call, said, answer) == 1
    assert start(said, answer, said) == 2
    assert start(answer, answer, call) == 2


def test_a_call_that_is_left_out_takes_its_answers_with_it() -> None:
    call, answer = PAIRS["OpenAI chat"]
    other = {"role": "tool", "tool_call_id": "2"}
    assert start(call, answer, other, answer) == 4


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        7,
        "tool",
        {},
        {"role": "tool"},
        {"role": "tool", "tool_call_id": 7},
        {"type": "tool_result"},
        {"tool_calls": [7, None], "content": [7, None], "parts": "x"},
        {"parts": [{"part_kind": "retry-prompt", "tool_call_id": "1", "tool_name": None}]},
        {"content": [{"type": "text", "tool_use_id": "1"}]},
        {"content": [{"type": "output_text", "text": "x", "call_id": "1"}]},
    ],
)
def test_what_answers_nothing(message: Any) -> None:
    assert start(message) == 0


def test_what_a_tool_said_is_not_searched() -> None:
    """A tool may return the transcript of another agent."""
    inner = {"type": "tool_result", "tool_use_id": "inner"}
    call, _ = PAIRS["Anthropic"]
    assert start(call, {"content": [{"type": "tool_result", "tool_use_id": "1", "content": [inner]}]}) == 0


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_cannot_be_read(text: bytes) -> None:
    turns = Turns()
    turns.see(text)
    assert turns.start == 0
