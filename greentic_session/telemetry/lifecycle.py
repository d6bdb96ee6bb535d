"""Base of both instrumented backends: their lifecycle.

Whom they tell, and that they tell how well what they wrap is.
"""

from typing import TypeVar

from greentic_session._base.lifecycle import Wrapping
from greentic_session.backend import SessionBackend
from greentic_session.conversation.backend import ConversationBackend

from .recorder import Recorder

__all__ = ["Instrumented"]

B = TypeVar("B", bound=SessionBackend | ConversationBackend)


class Instrumented(Wrapping[B]):
    """The lifecycle of a wrapped backend, recorded.

    Args:
        backend: What is wrapped.
        recorder: Whom to tell.
    """

    def __init__(self, backend: B, recorder: Recorder) -> None:
        super().__init__(backend)
        self._recorder = recorder

    async def health(self) -> None:
        """Return if the backend answers, raise UnavailableError if not."""
        with self._recorder.operation("health"):
            await super().health()
