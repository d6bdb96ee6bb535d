"""Session operations under one key prefix: a namespace, or one slot of a cluster.

Each is one command or one script.

The scripts decide all that needs stored state, in one atomic step; here is only what they cannot
do: reading JSON, and saying in words what an outcome means. `keys.lua` and `record.lua`, in
`lua/includes`, tell how the keys hang together.
"""

from collections.abc import AsyncIterator, Awaitable
from functools import partial
from typing import Any, Final

import msgspec

from greentic_session import tenancy
from greentic_session._concurrency.shield import shielded
from greentic_session._redis.answers import UNREADABLE, foreign, number, refuse
from greentic_session._redis.executor import Executor
from greentic_session.backend import NOTHING_ELSE, Claimed, Claiming, Creation, Parking, Settled, Update
from greentic_session.errors import CorruptSessionError, GreenticError
from greentic_session.expiry import NEVER, Never
from greentic_session.ids import SessionKey
from greentic_session.limits import ReplyLimits
from greentic_session.models import ReplyScope, TenantCtx
from greentic_session.tenancy import Owner
from greentic_session.wait import Wait, wait_of

from .keys import Keys, identity_text, key_of, payload_prefix, scope_of
from .plain_find import PlainFind
from .reply_answers import claimed_of, replies_of, terms_of
from .scripts import FOR_EVER, THOROUGH, Answer, Scripts, text_of

__all__ = ["BarredError", "Removal", "ShortError", "Slot", "wait_of"]


_DEFAULT_LIMITS = ReplyLimits()


_MAX_BESIDE_BYTES: Final = 16 * 1024
"""How long the text of an update may be that goes with another session: it passes through Lua."""


class BarredError(Exception):
    """The reservation is over; nothing was done. On a cluster only, where it is caught."""


class ShortError(Exception):
    """The owner pointer would not outlive the session; nothing was done.

    On a cluster only, where it is caught.

    Attributes:
        key: The session key.
    """

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key


class Removal(Settled, frozen=True, gc=False):
    """What the removal of a session did.

    Attributes:
        displaced: None: nothing takes its place.
        leftovers: The unsettled replies of the place that its wait left.
        nonce: On a cluster, that of the reservation under which the session was stored; None else.
    """

    nonce: bytes | None = None


_NOTHING_LEFT: Final = Removal()
"""What most removals do."""


class Slot:
    """Session operations under one key prefix: a namespace, or one slot of a cluster.

    Args:
        executor: The way there.
        keys: How they are named.
        hold: On a cluster, what may store a session or lengthen its life: see `owner_pointers`.
        reading: The way for reads that may be stale; the same by default.
        limits: What there may be of replies, and for how long.
    """

    def __init__(
        self,
        executor: Executor,
        keys: Keys,
        hold: tuple[str | int, ...] = (),
        *,
        reading: Executor | None = None,
        limits: ReplyLimits = _DEFAULT_LIMITS,
    ) -> None:
        self._reading = reading or executor
        self._keys = keys
        self._scripts = Scripts(executor, keys, hold)
        self._reads = self._scripts if self._reading is executor else Scripts(self._reading, keys)
        self._limits = limits

    @property
    def known(self) -> PlainFind | None:
        """Which sessions wait where, as far as this client has seen; None on a cluster."""
        return self._scripts.plain

    # -- sessions, by key

    async def create(self, creation: Creation) -> bool:
        """As `SessionBackend.create`.

        Raises:
            BarredError: The reservation is over.
        """
        outcome, *_ = await self._scripts.create(creation, text_of(creation.data, creation.text))
        match outcome:
            case b"stored":
                return True
            case b"exists":
                return False
            case b"barred":
                raise BarredError
            case _:
                raise foreign()

    async def get(self, key: str) -> Wait | None:
        """As `SessionBackend.get`."""
        try:
            if self._keys.is_shared(key):
                _, found = await self._reads.get_many([key.encode()])
                return wait_of(key, found[0][1]) if found else None
            text: bytes | None = await self._reading.call(("GET", self._keys.session(key)), repeatable=True)
            return None if text is None else wait_of(key, text)
        except UNREADABLE as error:
            refuse(error)

    async def update(self, update: Update) -> str:
        """As `SessionBackend.update`."""
        try:
            key, ctx, if_version = update.key, update.ctx, update.if_version
            written = _, version, _ = text_of(update.data, update.text)
            terms: tuple[str, ...] = ()
            if ctx is not None or if_version is not None:
                # An empty version matches nothing.
                terms = (identity_text(ctx), "" if if_version is None else if_version or "none")
            owner = tenancy.owner_of(update.data)
            prefix = "" if owner is None else payload_prefix(owner)
            unstaged = False
            while True:
                answer = await self._scripts.update(key, prefix, written, terms, again=unstaged)
                if answer == b"updated":
                    return version
                outcome, *more = answer
                match outcome:
                    case b"updated":
                        return version
                    case b"unstaged":
                        unstaged = True
                    case b"check":  # the reference wrote it, or somebody else: is it a session at all?
                        stored = wait_of(key, more[0])
                        if ctx is not None and not tenancy.reaches(ctx, stored.data):
                            raise tenancy.absent(key)
                        tenancy.check_preservation(stored.data, update.data, key)
                        terms = (*(terms[:2] or ("", "")), stored.version)
                    case b"absent":
                        raise tenancy.absent(key)
                    case b"mismatch":
                        raise tenancy.cannot_change(more[0].decode(), update.data, key)
                    case b"changed":
                        raise tenancy.changed(key)
                    case _:
                        raise foreign()
        except UNREADABLE as error:
            refuse(error)

    async def update_with(self, update: Update, other: Creation | Parking) -> str | None:
        """As `SessionBackend.update_with`."""
        try:
            written = text, version, owner = text_of(update.data, update.text)
            if not update.if_version or len(text) > _MAX_BESIDE_BYTES:
                return None
            if update.ctx is not update.data.tenant_ctx and identity_text(update.ctx) != owner:
                return None
            if isinstance(other, Parking) and (other.resume or other.token is not None):
                return None
            beside = text_of(other.data, other.text)
            answer = await self._scripts.update_with(update.key, written, update.if_version, other, beside)
            if answer != b"updated" and answer[0] == b"unstaged":
                answer = await self._scripts.update_with(update.key, written, update.if_version, other, beside, again=True)
        except UNREADABLE as error:
            refuse(error)
        if answer == b"updated":
            return version
        if answer[0] != b"apart":
            raise foreign()
        return None

    async def remove(self, key: str, ctx: TenantCtx | None) -> Removal | None:
        """As `SessionBackend.remove`; None if it is absent."""
        return _removal(await self._scripts.remove(key, identity_text(ctx)), b"absent")

    async def touch(self, key: str, ttl_ms: int | None, ctx: TenantCtx | None) -> bool:
        """As `SessionBackend.touch`.

        Raises:
            ShortError: Its owner pointer would not live as long.
        """
        return _is_done(await self._scripts.touch(key, ttl_ms, identity_text(ctx)), key, b"touched", b"absent")

    async def remaining_ms(self, key: str, ctx: TenantCtx | None) -> int | Never | None:
        """As `SessionBackend.remaining_ms`."""
        outcome, *left = await self._reads.remaining(key, identity_text(ctx))
        if outcome == b"absent":
            return None
        if outcome != b"found":
            raise foreign()
        return NEVER if left[0] == FOR_EVER else number(left[0])

    # -- waits, by scope

    async def park(self, parking: Parking) -> Settled:
        """As `SessionBackend.park`.

        Raises:
            BarredError: The reservation is over.
            ShortError: It takes a reservation.
        """
        try:
            key, place = parking.key, self._keys.wait(parking.owner, parking.scope)
            scope, text = msgspec.json.encode(parking.scope), text_of(parking.data, parking.text)
            terms = terms_of(self._limits) if parking.resume else ""
            outcome, *more = await self._scripts.park(parking, place, scope, text, terms)
            if outcome == b"count":
                # Some of many waits may have expired: listing them tells, and takes those away.
                if parking.max_waits is not None and len(await self.list_waits(parking.owner)) < parking.max_waits:
                    outcome, *more = await self._scripts.park(parking, place, scope, text, terms)
                if outcome == b"count":
                    raise tenancy.too_many_waits(key)
            match outcome:
                case b"parked":
                    self._scripts.note(place, key, lasting=parking.ttl_ms is None)
                    return Settled(None, replies_of(more[1:])) if more else NOTHING_ELSE
                case b"displaced":
                    self._scripts.note(place, key, lasting=parking.ttl_ms is None)
                    return Settled(key_of(more[0]), replies_of(more[1:]))
                case b"over":
                    raise tenancy.claim_over(key)
                case b"short":
                    raise ShortError(key)
                case b"barred":
                    raise BarredError
                case b"corrupt":
                    raise CorruptSessionError("the stored text under this key is not a session", session_key=key)
                case b"mismatch":
                    raise tenancy.cannot_change(more[0].decode(), parking.data, key)
                case b"elsewhere":
                    raise tenancy.taken_elsewhere(key)
                case b"many":
                    raise tenancy.too_many_waits(key)
                case b"held":
                    raise tenancy.scope_held(key)
                case _:
                    raise foreign()
        except UNREADABLE as error:
            refuse(error)

    async def find(self, owner: Owner, scopes: tuple[ReplyScope, ...]) -> Wait | None:
        """As `SessionBackend.find`."""
        try:
            answer, plain = None, self._reads.plain
            if plain is not None and len(scopes) == 1:
                place = self._keys.wait(owner, scopes[0])
                if (expected := plain.key_to_ask(place)) is not None:
                    try:
                        answer = plain.read(place, expected, await plain.ask(place, expected))
                    except GreenticError as error:
                        plain.refused(error)
            if answer is None:
                answer = await self._reads.find(owner, scopes)
            if answer[0] == b"absent":
                return None
            _, position, key, text = answer
            try:
                wait = wait_of(key_of(key), text, scopes[position])
                if tenancy.owner_of(wait.data) == owner:
                    return wait
            except CorruptSessionError:
                pass
            # Somebody else has overwritten it, or nobody can tell whose it is: that is for the
            # rules to say.
            outcome, *found = await self._reads.find(owner, scopes, THOROUGH)
            if outcome == b"absent":
                return None
            wait = wait_of(key_of(found[1]), found[2], scopes[found[0]])
            return wait if tenancy.owner_of(wait.data) == owner else None
        except UNREADABLE as error:
            refuse(error)

    async def find_key(self, owner: Owner, scope: ReplyScope) -> SessionKey | None:
        """As `SessionBackend.find_key`."""
        outcome, *found = await self._reads.find_key(owner, scope)
        if outcome not in (b"found", b"absent"):
            raise foreign()
        return None if outcome == b"absent" else key_of(found[0])

    async def list_waits(self, owner: Owner) -> list[SessionKey]:
        """As `SessionBackend.list_waits`."""
        return sorted(await self._scripts.list_waits(owner))

    async def clear(self, owner: Owner, scope: ReplyScope) -> tuple[SessionKey, Removal] | None:
        """As `SessionBackend.clear`; the key of the removed session, None if nothing was there."""
        outcome, *removed = await self._scripts.clear(owner, scope)
        return None if outcome == b"absent" else (key_of(removed[0]), Removal(nonce=removed[1]))

    async def find_by_user(self, owner: Owner) -> Wait | None:
        """As `SessionBackend.find_by_user`."""
        outcome, *found = await self._scripts.find_by_user(owner)
        if outcome == b"absent":
            return None
        if outcome == b"several":
            raise tenancy.several_waits()
        wait = wait_of(key_of(found[0]), found[1])
        return wait if tenancy.sees(owner, wait.data) else None

    # -- claims

    async def claim(self, claiming: Claiming) -> Claimed | None:
        """As `SessionBackend.claim`.

        Raises:
            ShortError: The session's owner pointer would not live as long as the lease.
        """
        try:
            outcome, *found = await self._scripts.claim(claiming)
            if outcome == b"absent":
                return None
            if outcome == b"claimed":
                raise tenancy.claimed(key_of(found[0]))
            if outcome == b"short":
                raise ShortError(key_of(found[0]))
            position, key, text, *more = found
            try:
                wait = wait_of(key_of(key), text, claiming.scopes[position])
                if tenancy.owner_of(wait.data) == claiming.owner:
                    return claimed_of(wait, more)
            except CorruptSessionError:
                await shielded(partial(self._scripts.release, key_of(key), claiming.token))
                raise
            # The prefix of the text names the caller, and what is behind it somebody else.
            await shielded(partial(self._scripts.release, key_of(key), claiming.token))
        except UNREADABLE as error:
            refuse(error)
        return None

    async def complete(self, owner: Owner, key: str, token: str) -> Removal | None:
        """As `SessionBackend.complete`; None if the claim is over."""
        try:
            return _removal(await self._scripts.complete(owner, key, token), b"over")
        except UNREADABLE as error:
            refuse(error)

    async def release(self, key: str, token: str) -> bool:
        """As `SessionBackend.release`."""
        return _is_done(await self._scripts.release(key, token), key, b"released", b"over")

    async def renew(self, key: str, token: str, lease_ms: int) -> bool:
        """As `SessionBackend.renew`.

        Raises:
            ShortError: The session's owner pointer would not live as long.
        """
        return _is_done(await self._scripts.renew(key, token, lease_ms), key, b"renewed", b"over")

    async def vacate(self, key: str, nonce: str, owner: str) -> list[bytes]:
        """Bar a reservation on a cluster, if no session lives here under its key.

        Returns:
            ``free``; or ``live``, and the part of its identity in which it differs from `owner`,
            empty if nothing tells.
        """
        return await self._scripts.vacate(key, nonce, owner)

    # -- many

    async def get_many(self, keys: list[bytes]) -> AsyncIterator[Wait]:
        """Yield those of some sessions that are there, without those that are corrupt."""
        at = 0
        while at < len(keys):
            looked, found = await self._scripts.get_many(keys[at:])
            at += looked
            for key, text, scope in found:
                try:
                    yield wait_of(key_of(key), text, scope_of(scope))
                except CorruptSessionError:
                    continue  # whose it is cannot be said; reading it by its key tells

    def purge(self, meant: tuple[str, str, str, str], keys: list[bytes]) -> Awaitable[tuple[int, list[list[Any]]]]:
        """Remove the sessions that are `meant_by` a caller, as many as one script looks at.

        Return how many those are, and of each that was removed its key and the result.
        """
        return self._scripts.purge(*meant, keys)

    async def remove_leftovers(self, meant: tuple[str, str, str, str], names: list[bytes]) -> None:
        """Remove what leads nowhere among some keys of a purged tenant."""
        await self._scripts.remove_leftovers(*meant, names)


def _is_done(answer: Answer, key: str, done: bytes, not_done: bytes) -> bool:
    outcome = answer[0]
    if outcome == b"short":
        raise ShortError(key)
    if outcome not in (done, not_done):
        raise foreign()
    return bool(outcome == done)


def _removal(answer: Answer, not_done: bytes) -> Removal | None:
    outcome, *nonce = answer
    if outcome == not_done:
        return None
    if outcome != b"removed":
        raise foreign()
    return Removal(None, replies_of(nonce[1:]), nonce[0]) if nonce else _NOTHING_LEFT
