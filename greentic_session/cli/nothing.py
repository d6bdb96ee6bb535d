"""Hint where nothing was found: a namespace or a tenant may be misspelt."""

import argparse
from collections.abc import Sequence
from typing import Final

from greentic_session._redis.namespace import DEFAULT_NAMESPACE
from greentic_session._redis.scheme import scheme_of
from greentic_session._sqlite.url import SQLITE_SCHEME
from greentic_session.admin import Selection

from .console import Console
from .opening import MEMORY, Opened
from .progress import Progress

__all__ = ["tell_of_nothing"]

_MOST_NAMES: Final = 10


def tell_of_nothing(desk: Opened, args: argparse.Namespace, console: Console, chosen: Selection | None = None) -> None:
    """Say so where a tenant, or all of a namespace, holds nothing at all, and name what there is.

    Args:
        desk: The store, in which nothing was found.
        args: By these.
        console: Where it is said.
        chosen: What was looked for; None: anything.
    """
    if args.store == MEMORY:
        console.remark("memory:// is this process's own memory: it is empty when it begins")
        return
    with Progress("looked at") as progress:
        there = desk.run(desk.inspector.survey(progress.advance)) if chosen else {}
        tenants = {(env, tenant) for env, tenant, *_ in there if env}
        if chosen and (chosen.env, chosen.tenant) in tenants:
            return
        named = desk.run(desk.inspector.namespaces(progress.advance)) if not there else ()
    if tenants and chosen:
        names = [f"{env}/{tenant}" for env, tenant in sorted(tenants)]
        console.remark(f"env {chosen.env}, tenant {chosen.tenant} holds nothing; env/tenant that do: {_listed(names)}")
    elif not there and scheme_of(args.store) == SQLITE_SCHEME:
        console.remark("this file holds nothing")
    elif not there:
        namespace = DEFAULT_NAMESPACE if args.namespace is None else args.namespace
        others = f"namespaces that do: {_listed(named)}" if named else "no other does, either"
        console.remark(f"namespace {namespace} holds nothing; {others}")


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more:,} more" if more > 0 else "")
