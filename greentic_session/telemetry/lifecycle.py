"""What both instrumented backends share: they are as open, closed and well as what they wrap."""

from greentic_session._closing import Closable
from greentic_session.backend import SessionBackend
from greentic_session.conversation.backend import ConversationBackend

from .recorder import Recorder

__all__ = ["Instrumented"]


class Instrumented(Closable):
    """The lifecycle of a wrapped backend.

    Args:
        backend: What is wrapped.
        recorder: Whom to tell.
    """

    def __init__(self, backend: SessionBackend | ConversationBackend, recorder: Recorder) -> None:
        self._wrapped = backend
        self._recorder = recorder
        self.system: str = backend.system

    @property
    def closed(self) -> bool:  # type: ignore[override]  # pyright: ignore[reportIncompatibleVariableOverride]  # only what is wrapped is ever closed
        """Whether the wrapped backend is closed."""
        return self._wrapped.closed

    def check_open(self) -> None:
        """Refuse work after `aclose`."""
        self._wrapped.check_open()

    async def health(self) -> None:
        """Return if the backend answers, raise UnavailableError if not."""
        with self._recorder.operation("health"):
            await self._wrapped.health()

    async def aclose(self) -> None:
        """Let go of everything; idempotent."""
        await self._wrapped.aclose()
