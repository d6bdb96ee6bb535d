"""Record transcripts as the providers' own libraries write them: the JSON files beside this one.

``python -m pip install openai anthropic google-genai langchain-core pydantic-ai-slim``, then
``python tests/conversations/providers/record.py``. Each file has the library with its version, the
messages, and the pairs of positions of a call and its answer.
"""

import base64
import importlib.metadata
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PNG = base64.b64encode(b"\x89PNG").decode()
Pairs = list[tuple[int, int]]


def anthropic() -> tuple[list[Any], Pairs]:
    from anthropic.types import (
        Message,
        RedactedThinkingBlock,
        ServerToolUseBlock,
        TextBlock,
        ThinkingBlock,
        ToolUseBlock,
        Usage,
        WebSearchToolResultBlock,
    )

    def answer(*content: Any) -> dict[str, Any]:
        message = Message(
            id="msg_1",
            content=list(content),
            model="claude",
            role="assistant",
            stop_reason="tool_use",
            stop_sequence=None,
            type="message",
            usage=Usage(input_tokens=1, output_tokens=2),
        )
        return {"role": message.role, "content": [block.model_dump(mode="json") for block in message.content]}

    cached = {"cache_control": {"type": "ephemeral"}}
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
    question = [
        {"type": "document", "source": pdf, "title": "Manual", "citations": {"enabled": True}, **cached},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Two screws."}},
        {"type": "text", "text": "Which screw?", **cached},
    ]
    found = WebSearchToolResultBlock.model_validate(
        {
            "type": "web_search_tool_result",
            "tool_use_id": "srvtoolu_1",
            "content": [
                {
                    "type": "web_search_result",
                    "url": "https://example.org",
                    "title": "Screws",
                    "encrypted_content": "xyz",
                    "page_age": None,
                }
            ],
            "caller": {"type": "direct"},
        }
    )
    called = [{"type": "text", "text": "M3"}, {"type": "image", "source": {"type": "file", "file_id": "file_1"}}]
    citation = {
        "type": "char_location",
        "cited_text": "Two screws.",
        "document_index": 1,
        "document_title": None,
        "start_char_index": 0,
        "end_char_index": 11,
        "file_id": None,
    }
    server = ServerToolUseBlock.model_validate(
        {
            "type": "server_tool_use",
            "id": "srvtoolu_1",
            "name": "web_search",
            "input": {"query": "screw"},
            "caller": {"type": "direct"},
        }
    )
    return [
        {"role": "user", "content": "Hello"},
        answer(TextBlock(type="text", text="Good day.", citations=None)),
        {"role": "user", "content": question},
        answer(
            ThinkingBlock(type="thinking", thinking="Let me look.", signature="EqQB"),
            RedactedThinkingBlock(type="redacted_thinking", data="Emwk"),
            ToolUseBlock.model_validate({"type": "tool_use", "id": "toolu_1", "name": "look_up", "input": {"page": 7}}),
            ToolUseBlock.model_validate({"type": "tool_use", "id": "toolu_2", "name": "measure", "input": {}}),
        ),
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": called},
                {"type": "tool_result", "tool_use_id": "toolu_2", "is_error": True, **cached},
            ],
        },
        answer(server, found, TextBlock.model_validate({"type": "text", "text": "An M3.", "citations": [citation]})),
        {"role": "user", "content": [{"type": "text", "text": "Thanks!"}]},
    ], [(3, 4)]


def openai_chat() -> tuple[list[Any], Pairs]:
    from openai.types.chat import ChatCompletionMessage

    def answer(**fields: Any) -> Any:
        return ChatCompletionMessage.model_validate({"role": "assistant", **fields}).model_dump(mode="json")

    call = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": '{"page": 7}'}}
    other = {"id": "call_2", "type": "custom", "custom": {"name": "measure", "input": "M3"}}
    parts = [
        {"type": "text", "text": "Which screw?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}},
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
        {"type": "file", "file": {"file_id": "file-1"}},
    ]
    return [
        {"role": "developer", "content": "Be brief."},
        {"role": "system", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": "Hello", "name": "ann"},
        answer(content="Good day."),
        {"role": "user", "content": parts},
        answer(content=None, tool_calls=[call, other]),
        {"role": "tool", "tool_call_id": "call_1", "content": "M3"},
        {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "3 mm"}]},
        answer(content=None, refusal="I cannot tell."),
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": ""},
        {"role": "assistant", "content": None, "function_call": {"name": "old", "arguments": "{}"}},
        {"role": "function", "name": "old", "content": None},
        {"role": "assistant", "audio": {"id": "audio_1"}},
    ], [(5, 6), (5, 7), (9, 10), (11, 12)]


def openai_responses() -> tuple[list[Any], Pairs]:
    from openai.types.responses import Response

    output: list[dict[str, Any]] = [
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "Hm."}],
            "encrypted_content": "gAAA",
        },
        {
            "type": "web_search_call",
            "id": "ws_1",
            "status": "completed",
            "action": {"type": "search", "query": "screw", "queries": ["screw"]},
        },
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "call_1",
            "name": "look_up",
            "arguments": "{}",
            "status": "completed",
        },
        {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_2", "name": "measure", "input": "M3"},
    ]
    more: list[dict[str, Any]] = [
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [
                {"type": "output_text", "text": "An M3.", "annotations": [], "logprobs": []},
                {"type": "refusal", "refusal": "No more."},
            ],
        },
        {
            "type": "computer_call",
            "id": "cu_1",
            "call_id": "call_3",
            "status": "completed",
            "pending_safety_checks": [],
            "action": {"type": "screenshot"},
        },
    ]
    last: list[dict[str, Any]] = [
        {
            "type": "code_interpreter_call",
            "id": "ci_1",
            "code": "1 + 1",
            "container_id": "cntr_1",
            "status": "completed",
            "outputs": [{"type": "logs", "logs": "2"}],
        },
        {"type": "file_search_call", "id": "fs_1", "queries": ["screw"], "status": "completed", "results": None},
        {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": PNG},
        {"type": "mcp_approval_request", "id": "mcpr_1", "name": "buy", "arguments": "{}", "server_label": "shop"},
    ]

    def items(*values: dict[str, Any]) -> list[Any]:
        response = Response.model_validate(
            {
                "id": "resp_1",
                "created_at": 1.0,
                "model": "gpt",
                "object": "response",
                "output": list(values),
                "parallel_tool_calls": True,
                "tool_choice": "auto",
                "tools": [],
            }
        )
        return [item.model_dump(mode="json", exclude_unset=True) for item in response.output]

    question = [
        {"type": "input_text", "text": "Which screw?"},
        {"type": "input_image", "image_url": "https://example.org/a.png", "detail": "auto"},
        {"type": "input_file", "file_id": "file-1"},
    ]
    return [
        {"role": "developer", "content": "Be brief."},
        {"type": "message", "role": "user", "content": question},
        *items(*output),
        {"type": "function_call_output", "call_id": "call_1", "output": "M3"},
        {"type": "custom_tool_call_output", "call_id": "call_2", "output": [{"type": "input_text", "text": "3 mm"}]},
        *items(*more),
        {
            "type": "computer_call_output",
            "call_id": "call_3",
            "output": {"type": "computer_screenshot", "image_url": f"data:image/png;base64,{PNG}"},
        },
        *items(*last),
        {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True},
        {"type": "item_reference", "id": "msg_1"},
        {"role": "user", "content": "Thanks!"},
    ], [(4, 6), (5, 7), (9, 10), (14, 15)]


def gemini() -> tuple[list[Any], Pairs]:
    from google.genai import types

    def content(role: str, *parts: types.Part) -> Any:
        return types.Content(role=role, parts=list(parts)).model_dump(mode="json", exclude_none=True, by_alias=True)

    thought = types.Part(text="Hm.", thought=True, thought_signature=b"sig")
    call = types.Part(function_call=types.FunctionCall(id="f1", name="look_up", args={"page": 7}), thought_signature=b"sig")
    nameless = types.Part(function_call=types.FunctionCall(name="measure", args={}))
    code = types.ExecutableCode(code="1 + 1", language=types.Language.PYTHON)
    return [
        content("user", types.Part(text="Which screw?"), types.Part.from_bytes(data=b"\x89PNG", mime_type="image/png")),
        content("model", thought, call, nameless),
        content(
            "user",
            types.Part(function_response=types.FunctionResponse(id="f1", name="look_up", response={"result": "M3"})),
            types.Part(function_response=types.FunctionResponse(name="measure", response={"result": [3, None]})),
        ),
        content(
            "model",
            types.Part(executable_code=code),
            types.Part(code_execution_result=types.CodeExecutionResult(outcome=types.Outcome.OUTCOME_OK, output="2")),
            types.Part(text="An M3."),
        ),
        content("user", types.Part.from_uri(file_uri="gs://bucket/manual.pdf", mime_type="application/pdf")),
    ], [(1, 2)]


def langchain() -> tuple[list[Any], Pairs]:
    from langchain_core.messages import (
        AIMessage,
        FunctionMessage,
        HumanMessage,
        RemoveMessage,
        SystemMessage,
        ToolMessage,
        messages_to_dict,
    )

    parts: list[Any] = [
        {"type": "text", "text": "Which screw?"},
        {"type": "image", "url": "https://example.org/a.png"},
        {"type": "image", "base64": PNG, "mime_type": "image/png"},
    ]
    usage: Any = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    call: Any = {"name": "look_up", "args": {"page": 7}, "id": "call_1", "type": "tool_call"}
    bad: Any = {"name": "measure", "args": "{", "id": "call_2", "error": "no JSON", "type": "invalid_tool_call"}
    talk = [
        SystemMessage("Be brief."),
        HumanMessage(parts, name="ann", id="h1"),
        AIMessage("", tool_calls=[call], invalid_tool_calls=[bad], usage_metadata=usage, response_metadata={"model": "m"}),
        ToolMessage("M3", tool_call_id="call_1", artifact={"size": 3}, status="success"),
        AIMessage([{"type": "reasoning", "reasoning": "Hm."}, {"type": "text", "text": "An M3."}]),
        FunctionMessage(content="old", name="old"),
        RemoveMessage("h1"),
        HumanMessage("Thanks!"),
    ]
    return messages_to_dict(talk), [(2, 3)]


def pydantic_ai() -> tuple[list[Any], Pairs]:
    from pydantic_ai.messages import (
        BinaryContent,
        ImageUrl,
        ModelMessage,
        ModelMessagesTypeAdapter,
        ModelRequest,
        ModelResponse,
        RetryPromptPart,
        SystemPromptPart,
        TextPart,
        ThinkingPart,
        ToolCallPart,
        ToolReturnPart,
        UserPromptPart,
    )
    from pydantic_ai.usage import RequestUsage

    at = datetime(2026, 1, 1, tzinfo=UTC)
    question = ["Which screw?", ImageUrl("https://example.org/a.png"), BinaryContent(b"\x89PNG", media_type="image/png")]
    talk: list[ModelMessage] = [
        ModelRequest([SystemPromptPart("Be brief.", timestamp=at), UserPromptPart(question, timestamp=at)]),
        ModelResponse(
            [ThinkingPart("Hm.", signature="EqQB"), ToolCallPart("look_up", {"page": 7}, "call_1")],
            usage=RequestUsage(input_tokens=1, output_tokens=2),
            model_name="m",
            timestamp=at,
        ),
        ModelRequest([RetryPromptPart("No such page.", tool_name="look_up", tool_call_id="call_1", timestamp=at)]),
        ModelResponse([ToolCallPart("look_up", '{"page": 8}', "call_2")], timestamp=at),
        ModelRequest([ToolReturnPart("look_up", {"screw": "M3"}, "call_2", timestamp=at)], instructions="Be kind."),
        ModelResponse([TextPart("An M3.")], timestamp=at),
        ModelRequest([RetryPromptPart("Say it in JSON.", timestamp=at)]),
        ModelResponse([TextPart('"M3"')], timestamp=at),
    ]
    dumped: list[Any] = ModelMessagesTypeAdapter.dump_python(talk, mode="json")
    return dumped, [(1, 2), (3, 4)]


RECORDERS: dict[str, tuple[str, Callable[[], tuple[list[Any], Pairs]]]] = {
    "anthropic": ("anthropic", anthropic),
    "openai_chat": ("openai", openai_chat),
    "openai_responses": ("openai", openai_responses),
    "gemini": ("google-genai", gemini),
    "langchain": ("langchain-core", langchain),
    "pydantic_ai": ("pydantic-ai-slim", pydantic_ai),
}


def main() -> None:
    """Write all files."""
    for name, (package, record) in RECORDERS.items():
        messages, pairs = record()
        fact = {"library": f"{package} {importlib.metadata.version(package)}", "pairs": pairs, "messages": messages}
        (HERE / f"{name}.json").write_text(json.dumps(fact, indent=1) + "\n")


if __name__ == "__main__":
    main()
