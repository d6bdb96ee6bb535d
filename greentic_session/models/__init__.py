"""The wire schema: what a session is, written byte for byte as the Rust reference writes it.

Every struct is frozen, all the way down, so a store may keep and hand out the very object it was
given: nobody can change what is stored by changing what they hold. Field order is wire order; an
optional field that is None is left out; unknown fields are ignored when read. A struct that exists
is valid: ids and ranges (InvalidInputError) and types (TypeError) are checked when it is built or
copied with a change, or decoded. (Whether its texts are valid Unicode is checked when it is
written.)
"""

from greentic_session.ids import EnvId, FlowId, PackId, SessionKey, TeamId, TenantId, UserId
from greentic_session.scope import ReplyScope

from .session_data import SessionCursor, SessionData, version_of
from .tenant_ctx import Impersonation, InvocationDeadline, TenantCtx

__all__ = [
    "EnvId",
    "FlowId",
    "Impersonation",
    "InvocationDeadline",
    "PackId",
    "ReplyScope",
    "SessionCursor",
    "SessionData",
    "SessionKey",
    "TeamId",
    "TenantCtx",
    "TenantId",
    "UserId",
    "version_of",
]
