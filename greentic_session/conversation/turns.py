"""Calls of tools and their answers in messages, whatever program's form the messages have.

Known forms: `Message` and Anthropic (``tool_use``, ``tool_result``), OpenAI chat (``tool_calls``,
role ``tool``) and Responses (``function_call``, ``function_call_output`` and its relatives), Gemini
(``functionCall``, ``functionResponse``), LangChain and pydantic-ai. Other messages have neither.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

__all__ = ["Turns"]

_CALLS: Final = frozenset(["tool_use", "server_tool_use", "mcp_tool_use", "mcp_approval_request"])
"""Types that call a tool, or ask for it, by ``id``."""
_NESTED: Final = ("content", "parts", "data", "kwargs")
"""Fields in which the parts of a message lie, one below the other."""
_MAX_DEPTH: Final = 3


class Turns:
    """Search for the first message from which on every answer has its call before it.

    Attributes:
        start: How many of the messages so far have to be left out.

    >>> turns = Turns()
    >>> turns.see(b'{"role": "tool", "tool_call_id": "1", "content": "12 degrees"}')
    >>> turns.see(b'{"role": "assistant", "content": "It is cold."}')
    >>> turns.start
    1
    """

    def __init__(self) -> None:
        self.start: int = 0
        self._seen = 0
        self._calls: set[str] = set()

    def see(self, text: bytes) -> None:
        """Look at the next message, a JSON text; an unreadable one calls and answers nothing."""
        try:
            message = msgspec.json.decode(text)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            message = None
        self._seen += 1
        calls: set[str] = set()
        for part in _parts(message, _MAX_DEPTH):
            calls.update(_called(part))
        known = self._calls | calls  # a model's server may answer in the same message
        if all(answer in known for part in _parts(message, _MAX_DEPTH) for answer in _answered(part)):
            self._calls = known
        else:
            self.start, self._calls = self._seen, set()


def _parts(value: Any, depth: int) -> Iterator[dict[str, Any]]:
    """Yield a message and the parts in which it may call or answer, not what tools have said."""
    if isinstance(value, list):
        for part in value:
            yield from _parts(part, depth)
    elif isinstance(value, dict):
        yield value
        if depth and not any(_answered(value)):
            for name in _NESTED:
                if isinstance(value.get(name), list | dict):
                    yield from _parts(value[name], depth - 1)


def _called(part: dict[str, Any]) -> Iterator[str]:
    kind = part.get("type")
    if kind in _CALLS:
        yield from _ids(part, "id")
    elif isinstance(kind, str) and kind.endswith("_call"):
        yield from _ids(part, "call_id", "id")
    elif part.get("part_kind") in ("tool-call", "builtin-tool-call"):
        yield from _ids(part, "tool_call_id")
    elif isinstance(calls := part.get("tool_calls"), list):
        for call in calls:
            if isinstance(call, dict):
                yield from _ids(call, "id")
    yield from _by_name(part, "functionCall", "function_call")


def _answered(part: dict[str, Any]) -> Iterator[str]:
    kind, part_kind = part.get("type"), part.get("part_kind")
    returned = part_kind in ("tool-return", "builtin-tool-return")
    retried = part_kind == "retry-prompt" and part.get("tool_name") is not None
    if part.get("role") == "tool" or kind == "tool" or returned or retried:
        yield from _ids(part, "tool_call_id")
    elif kind == "mcp_approval_response":
        yield from _ids(part, "approval_request_id")
    elif isinstance(kind, str) and kind.endswith("_output"):
        yield from _ids(part, "call_id")
    elif isinstance(kind, str) and kind.endswith("tool_result"):
        yield from _ids(part, "tool_use_id")
    if part.get("role") == "function":  # of OpenAI's older models: answers have a name only
        yield from _ids(part, "name")
    yield from _by_name(part, "functionResponse", "function_response")


def _by_name(part: dict[str, Any], *fields: str) -> Iterator[str]:
    """Yield how a call or an answer without a type of its own is known: by its id, or its name."""
    for field in fields:
        called = part.get(field)
        if isinstance(called, dict):
            yield from list(_ids(called, "id"))[:1] or _ids(called, "name")


def _ids(part: dict[str, Any], *fields: str) -> Iterator[str]:
    for field in fields:
        found = part.get(field)
        if isinstance(found, str):
            yield found
