"""Pairs of contestants: an adapter of ours, and a store that its framework brings."""

from dataclasses import dataclass

from benchmarks.peers.catalogue import Peer

__all__ = ["PAIRS", "Pair"]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """An adapter of ours and a store of its framework, on the same backend.

    Attributes:
        framework: Name of the framework.
        backend: ``Redis`` or ``SQLite``.
        ours: Our adapter, as a contestant in the environment of the framework.
        theirs: The framework's store.
        store: Its name.
    """

    framework: str
    backend: str
    ours: Peer
    theirs: Peer
    store: str


def _pair(
    framework: str, backend: str, module: str, requirements: tuple[str, ...], ours: str, theirs: str, **operations: str
) -> Pair:
    needed = (*requirements, "redis[hiredis]", "msgspec", "anyio")

    def side(name: str) -> Peer:
        calls = {operation: f"{name}: {what}" for operation, what in operations.items()}
        return Peer(name=f"adapters-{framework}", module=module, requirements=needed, calls=calls)

    return Pair(framework=framework, backend=backend, ours=side(ours), theirs=side(theirs), store=theirs)


_LANGGRAPH = (
    "langgraph>=1,<2",
    "langgraph-checkpoint-sqlite>=3,<4",
    "langgraph-checkpoint-aws[valkey]>=1,<2",
    "valkey[libvalkey]",
)
_STEP = {"write": "aput + aput_writes", "read": "aget_tuple"}
_OPENAI = ("openai-agents[redis]>=0.8,<1",)
_ITEMS = {"write": "add_items", "read": "get_items(10)"}
_ADK = ("google-adk>=2,<3", "sqlalchemy[asyncio]>=2,<3", "aiosqlite>=0.21")
_EVENTS = {"write": "append_event", "read": "get_session"}
_STATE = {"write": "set_state + set_data", "read": "get_state + get_data", "lock": "events_isolation.lock"}

PAIRS = (
    _pair("langgraph", "Redis", "adapters_langgraph", _LANGGRAPH, "SessionSaver", "AsyncValkeySaver", **_STEP),
    _pair("langgraph", "SQLite", "adapters_langgraph", _LANGGRAPH, "SessionSaver", "AsyncSqliteSaver", **_STEP),
    _pair("openai-agents", "Redis", "adapters_openai", _OPENAI, "AgentSession", "RedisSession", **_ITEMS),
    _pair("openai-agents", "SQLite", "adapters_openai", _OPENAI, "AgentSession", "SQLiteSession", **_ITEMS),
    _pair("google-adk", "SQLite", "adapters_adk", _ADK, "ConversationSessionService", "SqliteSessionService", **_EVENTS),
    _pair("google-adk", "SQLite", "adapters_adk", _ADK, "ConversationSessionService", "DatabaseSessionService", **_EVENTS),
    _pair("aiogram", "Redis", "adapters_aiogram", ("aiogram>=3.13,<4",), "SessionStorage", "RedisStorage", **_STATE),
)
