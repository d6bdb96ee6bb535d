"""Catalogue of the peers: requirements of each, and its calls that compare with ours."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["AIOGRAM", "CONVERSATIONS", "OURS_ON_SQLITE", "PEERS", "SQLITE_PEERS", "Peer"]


@dataclass(frozen=True, kw_only=True)
class Peer:
    """Library that keeps the state of users.

    Attributes:
        name: Name of the library and of its environment.
        module: Module of this package that calls it.
        requirements: Requirements for pip.
        calls: By operation of ours, the name of the contestant that is compared with it.
    """

    name: str
    module: str
    requirements: tuple[str, ...]
    calls: Mapping[str, str]


AIOGRAM = Peer(
    name="aiogram",
    module="with_aiogram",
    requirements=("aiogram[redis]>=3.13,<4", "redis[hiredis]"),
    calls={
        "find_wait": "aiogram get_state + get_data",
        "register_wait": "aiogram set_state + set_data",
        "claim_wait + complete": "aiogram lock + get_state + get_data + clear",
        "claim_wait + park": "aiogram lock + get_state + get_data + set_state + set_data",
    },
)

_OPENAI_AGENTS = ("openai-agents[redis]>=0.6,<1", "redis[hiredis]")

PEERS = (
    AIOGRAM,
    Peer(
        name="langgraph-checkpoint-aws",
        module="with_langgraph",
        requirements=("langgraph-checkpoint-aws[valkey]>=1,<2", "valkey[libvalkey]"),
        calls={
            "find_wait": "langgraph AsyncValkeySaver.aget_tuple",
            "register_wait": "langgraph AsyncValkeySaver.aput",
        },
    ),
    Peer(
        name="openai-agents",
        module="with_openai_agents",
        requirements=_OPENAI_AGENTS,
        calls={
            "get_session": "openai-agents RedisSession.get_items",
            "register_wait": "openai-agents RedisSession.add_items",
        },
    ),
    Peer(
        name="py-key-value-aio",
        module="with_key_value",
        requirements=("py-key-value-aio[redis]>=0.3,<1", "redis[hiredis]"),
        calls={
            "get_session": "py-key-value-aio RedisStore.get",
            "update_session": "py-key-value-aio RedisStore.put",
        },
    ),
)

CONVERSATIONS = Peer(
    name="openai-agents",
    module="with_openai_conversations",
    requirements=_OPENAI_AGENTS,
    calls={
        "memory": "openai-agents SQLiteSession.add_items, in memory",
        "files": "openai-agents SQLiteSession.add_items, WAL, synchronous=FULL",
        "SQLite": "openai-agents SQLiteSession.add_items, WAL, synchronous=FULL",
        "Redis": "openai-agents RedisSession.add_items",
    },
)
"""Peer of our conversations, in the same environment; its calls are appends, by our backend."""

SQLITE_PEERS = (
    Peer(
        name="langgraph-checkpoint-sqlite",
        module="with_langgraph_sqlite",
        requirements=("langgraph-checkpoint-sqlite>=3,<4",),
        calls={"register_wait": "langgraph AsyncSqliteSaver.aput", "find_wait": "langgraph AsyncSqliteSaver.aget"},
    ),
    Peer(
        name="openai-agents",
        module="with_openai_sqlite",
        requirements=_OPENAI_AGENTS,
        calls={
            "register_wait": "openai-agents SQLiteSession.add_items",
            "find_wait": "openai-agents SQLiteSession.get_items",
            "append": "openai-agents SQLiteSession.add_items",
        },
    ),
)
"""Peers of the SQLite store, all with ``PRAGMA synchronous=FULL``."""

OURS_ON_SQLITE = Peer(
    name="greentic-session",
    module="with_greentic_sqlite",
    requirements=(),
    calls={
        "register_wait": "register_wait",
        "find_wait": "find_wait",
        "append": "append",
        "insert": "bare keyed INSERT and COMMIT in a thread",
    },
)
"""Our own stores on SQLite, as a process beside the peers: it runs in this environment."""
