"""Conversation message that the benchmarks store, and the partition that they store it in."""

from greentic_session import TenantCtx
from greentic_session.conversation import Message
from greentic_session.conversation.message import write_message

__all__ = ["MESSAGE_BYTES", "PARTITION", "make_message", "text_of"]

PARTITION = TenantCtx.new("production", "tenant-42", team="support")
MESSAGE_BYTES = 1024
_SENTENCES = (
    'The order "A-{n}" left our warehouse on Monday, and the carrier has confirmed that it will be there by Thursday.',
    "You asked whether part {n} can be exchanged: it can, within thirty days, if it is in its original packaging.",
    "I have looked into invoice {n}.\n\n- The amount is right.\n- The address is the one that you gave us in March.",
)


def make_message() -> Message:
    """Return an assistant's answer that has 1 KiB as JSON."""
    sentences: list[str] = []
    while len(write_message(Message.assistant(" ".join(sentences)))) < MESSAGE_BYTES:
        sentences.append(_SENTENCES[len(sentences) % len(_SENTENCES)].format(n=len(sentences)))
    sentences.pop()
    text = " ".join(sentences)
    missing = MESSAGE_BYTES - len(write_message(Message.assistant(text)))
    return Message.assistant(text + "." * missing)


def text_of(message: Message) -> str:
    """Return the JSON text of a message, as it is stored; a peer's item is read from it."""
    return write_message(message).decode()
