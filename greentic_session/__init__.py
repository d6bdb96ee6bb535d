"""Where a paused flow waits for its answer.

Keep the snapshot, find it by the reply, let exactly one runner resume it.
"""

from typing import TYPE_CHECKING

from ._base.optional import is_installed as _is_installed
from ._base.optional import optional_names as _optional_names
from ._operations.delivery import Delivery
from .backends.memory import InMemorySessionStore
from .claim import Claim
from .errors import (
    ClaimedError,
    ConflictError,
    CorruptReplyError,
    CorruptSessionError,
    CorruptStoreError,
    DecryptionError,
    ErrorCode,
    GreenticError,
    InboxFullError,
    InternalError,
    InvalidInputError,
    MissingVerdictError,
    NotFoundError,
    OperationTimeoutError,
    PermissionDeniedError,
    SchemaVersionError,
    TenantMismatchError,
    TooManyWaitsError,
    UnauthenticatedError,
    UnavailableError,
)
from .expiry import NEVER
from .factory import (
    InMemory,
    RedisUrl,
    RedisUrlWithNamespace,
    SessionBackendConfig,
    create_session_store,
)
from .factory import (
    redis_store_class as _redis_store_class,
)
from .factory import (
    sqlite_store_class as _sqlite_store_class,
)
from .ids import EnvId, FlowId, PackId, SessionKey, TeamId, TenantId, UserId
from .models import Impersonation, InvocationDeadline, ReplyScope, SessionCursor, SessionData, TenantCtx
from .reply import DeliveryOutcome, Reply, Start
from .runner import Runner
from .store import SessionStore
from .wait import Wait

if TYPE_CHECKING:
    from .backends.redis import RedisSessionStore
    from .backends.sqlite import SQLiteSessionStore

__version__ = "0.1.0"
"""The version of this library; pyproject.toml reads it from here."""

__all__ = [
    "NEVER",
    "Claim",
    "ClaimedError",
    "ConflictError",
    "CorruptReplyError",
    "CorruptSessionError",
    "CorruptStoreError",
    "DecryptionError",
    "Delivery",
    "DeliveryOutcome",
    "EnvId",
    "ErrorCode",
    "FlowId",
    "GreenticError",
    "Impersonation",
    "InMemory",
    "InMemorySessionStore",
    "InboxFullError",
    "InternalError",
    "InvalidInputError",
    "InvocationDeadline",
    "MissingVerdictError",
    "NotFoundError",
    "OperationTimeoutError",
    "PackId",
    "PermissionDeniedError",
    "RedisSessionStore",
    "RedisUrl",
    "RedisUrlWithNamespace",
    "Reply",
    "ReplyScope",
    "Runner",
    "SQLiteSessionStore",
    "SchemaVersionError",
    "SessionBackendConfig",
    "SessionCursor",
    "SessionData",
    "SessionKey",
    "SessionStore",
    "Start",
    "TeamId",
    "TenantCtx",
    "TenantId",
    "TenantMismatchError",
    "TooManyWaitsError",
    "UnauthenticatedError",
    "UnavailableError",
    "UserId",
    "Wait",
    "create_session_store",
]


if not TYPE_CHECKING:  # pragma: no branch  # type checkers shall go on finding names that do not exist
    if not _is_installed("redis", "hiredis"):
        __all__ = [name for name in __all__ if name != "RedisSessionStore"]  # so that `import *` goes on working
    if not _is_installed("_sqlite3"):  # a Python that was built without it
        __all__ = [name for name in __all__ if name != "SQLiteSessionStore"]

    __getattr__ = _optional_names(
        __name__, {"RedisSessionStore": _redis_store_class, "SQLiteSessionStore": _sqlite_store_class}
    )
