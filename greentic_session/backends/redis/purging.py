"""Purging on Redis: whom a purge means, and many sessions in several scripts."""

from collections.abc import Awaitable, Callable
from typing import Any

from greentic_session.models import TenantCtx

__all__ = ["meant_by", "purge_all"]


async def purge_all(
    keys: list[bytes], purge: Callable[[list[bytes]], Awaitable[tuple[int, list[list[Any]]]]]
) -> list[list[Any]]:
    """Purge some sessions, one script behind the other; return the key and result of each."""
    removed, at = list[list[Any]](), 0
    while at < len(keys):
        looked, found = await purge(keys[at:])
        at += looked
        removed += found
    return removed


def meant_by(ctx: TenantCtx, user: str | None) -> tuple[str, str, str, str] | None:
    """Return env, tenant, team and user of a purge, "" for all; None if it can reach nothing."""
    own = ctx.effective_user
    if user is not None and own not in (None, user):
        return None
    return ctx.env, ctx.tenant_id, ctx.effective_team or "", user or own or ""
