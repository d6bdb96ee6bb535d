"""A scripted model: it looks the parcel up, asks for a refund, and tells what came of it."""

from greentic_session import TenantCtx
from greentic_session.conversation import Message, TextBlock, TokenUsage, ToolResultBlock, ToolUseBlock

CTX = TenantCtx.new("prod", "acme", user="ada")
USAGE = TokenUsage(input_tokens=10, output_tokens=2)


async def scripted(transcript: list[Message]) -> tuple[Message, TokenUsage]:
    """Give always the same answer to the same transcript."""
    last = transcript[-1].content[-1]
    if isinstance(last, TextBlock):
        return Message("assistant", (TextBlock("Let me see."), ToolUseBlock("u1", "look_up", {"parcel": 7}))), USAGE
    assert isinstance(last, ToolResultBlock)
    if last.tool_use_id == "u1":
        return Message("assistant", (ToolUseBlock("u2", "refund", {"euros": 5}),)), USAGE
    return Message.assistant(f"Your refund: {last.content}."), USAGE
