"""An agent of openai-agents whose model says what it is told to. It needs the framework."""

from typing import Any

import agents
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage

__all__ = ["Scripted", "calling", "clerk", "said"]

_KINDS: Any = {"message": ResponseOutputMessage, "function_call": ResponseFunctionToolCall}


class Scripted(agents.Model):  # type: ignore[misc]  # untyped where it is not installed
    """A model that gives these answers, or what functions return.

    It remembers what it was asked.
    """

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[Any] = []

    async def get_response(self, system_instructions: Any, input: Any, *_: Any, **__: Any) -> Any:
        self.asked.append(input)
        answer = self.answers.pop(0)
        given = answer if isinstance(answer, list) else await answer()
        items = [_KINDS[item["type"]].model_validate(item) for item in given]
        return agents.ModelResponse(output=items, usage=agents.Usage(), response_id=None)

    def stream_response(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError


def said(text: str) -> dict[str, Any]:
    """Return what a model says."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": content}


def calling(id: str, tool: str = "find_parcel", arguments: str = '{"number": 7}') -> dict[str, Any]:
    """Return a call of a tool, by default the clerk's."""
    return {"type": "function_call", "id": f"f-{id}", "call_id": id, "name": tool, "arguments": arguments}


def clerk(model: Scripted) -> Any:
    """Return an agent with one tool."""

    @agents.function_tool  # type: ignore[untyped-decorator]  # the same
    def find_parcel(number: int) -> str:
        return f"parcel {number} is on its way"

    agents.set_tracing_disabled(True)
    return agents.Agent(name="clerk", model=model, tools=[find_parcel])
