"""Races between processes: what each player does, and what it tells."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from races.workers import LONG, Outcome, Player, Race, Round

from greentic_session import Claim, ClaimedError, ConflictError, NotFoundError, ReplyScope
from greentic_session.backends.redis.keys import owner_path
from greentic_session.errors import TenantMismatchError
from greentic_session.testing._sessions.samples import ctx, data

# -- sessions


class UpdateAgainstRemove(Race):
    """Two remove a session, two update it: one blindly, one the version that it has read."""

    async def prepare(self, by: Player, at: Round, role: int) -> None:
        if role == 0:
            await at.register(by.store, at.key, ttl=LONG if at.number % 2 else None)

    async def play(self, by: Player, at: Round, role: int, prepared: Any) -> Outcome:
        await at.give_way(first=role < 2)
        if role < 2:
            await by.store.remove_session(at.key, ctx=at.owner if at.number % 3 else None)
            return "removed"
        version = None
        if role == 3:
            found = await by.store.get_versioned(at.key)
            if found is None:
                return "absent"
            version = found.version
        await by.store.update_session(at.key, at.data(role), if_version=version)
        return "updated"


class VersionedUpdates(Race):
    """Everybody adds one to the number in the snapshot, until it was not changed meanwhile.

    Tells how often it was.
    """

    async def prepare(self, by: Player, at: Round, role: int) -> None:
        if role == 0 and at.number % 2:
            await at.register(by.store, at.key, 0, ttl=LONG)
        elif role == 0:
            await by.store.create_session(at.owner, at.data(0), key=at.key)

    async def play(self, by: Player, at: Round, role: int, prepared: Any) -> Outcome:
        conflicts = 0
        while True:
            found = await by.store.get_versioned(at.key)
            assert found is not None
            total = int(found.data.context_json) + 1
            try:
                await by.store.update_session(at.key, at.data(total), if_version=found.version)
            except ConflictError:
                conflicts += 1
            else:
                return conflicts


class CreateOneKey(Race):
    """Everybody creates a session with the same key."""

    async def play(self, by: Player, at: Round, role: int, prepared: Any) -> Outcome:
        await by.store.create_session(at.owner, at.data(role), key=at.key, ttl=LONG if at.number % 2 else None)
        return "created"


# -- waits


class TakeOvers(Race):
    """Everybody registers a session of their own at one scope. Tells the key that was displaced."""

    async def prepare(self, by: Player, at: Round, role: int) -> None:
        if role == 0 and at.number % 2:
            await at.register(by.store, f"{at.key}-old", "old", ttl=LONG)

    async def play(self, by: Player, at: Round, role: int, prepared: Any) -> Outcome:
        return await at.register(by.store, f"{at.key}-{role}", role, ttl=LONG * (1 + role))


class PoliteTakeOvers(Race):
    """The same, but each only if the scope is free."""

    async def play(self, by: Player, at: Round, role: int, prepared: Any) -> Outcome:
        await at.register(by.store, f"{at.key}-{role}", role, on_conflict="fail")
        return "registered"


class Moves(Race):
    """Everybody registers the same session, each at a scope of their own."""

    async def prepare(self, by: Player, at: Round, role: int) -> None:
        if role == 0 and at.number % 2:
            await at.register(by.store, at.key, "first")

    async def play(self, by: Player, at: Round, role: int, prepared: Any) -> Outcome:
        scope = ReplyScope(at.scope.conversation, thread=str(role))
        await by.store.register_wait(at.owner, at.user, scope, at.key, at.data(role), ttl=LONG if role else None)
        return "registered"


class FindOfDeadWait(Race):
    """A scope leads to what is no wait there.

    One registers a fresh one; the others look, and clean up what they see.
    """

    async def prepare(self, by: Player, at: Round, role: int) -> None:
        if role:
            return
        owner, dead = ("dev", "acme", "ops", at.user), f"{at.key}-dead"
        keys, place = by.keys(owner), owner_path(owner)
        match at.number % 4:
            case 0:  # expires about now
                await at.register(by.store, dead, ttl=0.002)
            case 1:  # the reference removed the session, and leaves its scope
                await at.register(by.store, dead, ttl=LONG)
                by.raw.delete(keys.session(dead))
            case 2:  # nothing is left but the scope and a member of the set
                by.raw.set(keys.scope(place, at.scope.scope_hash()), dead)
                by.raw.sadd(keys.waits(place), dead)
            case _:  # the session is there, but waits elsewhere
                elsewhere = at.elsewhere
                await by.store.register_wait(at.owner, at.user, elsewhere, dead, at.data("dead"), ttl=LONG)
                by.raw.set(keys.scope(place, at.scope.scope_hash()), dead)

    async def play(self, by: Player, at: Round, role: int, prepared: Any) -> Outcome:
        match role:
            case 0:
                reused = at.number % 8 in {1, 2}  # the dead one's key
                await at.register(by.store, f"{at.key}-dead" if reused else f"{at.key}-fresh", "fresh", ttl=LONG)
                return "registered"
            case 1:
                return await by.store.find_wait_by_scope(at.owner, at.user, at.scope)
            case 2:
                found = await by.store.find_wait(at.owner, at.user, at.scope)
                return None if found is None else found.key
            case _:
                return " ".join(await by.store.list_waits_for_user(at.owner, at.user))


class PurgeAgainstRegister(Race):
    """Two register waits of one user, two purge the team. Tells how many were purged."""

    batch = 10

    async def play(self, by: Player, at: Round, role: int, prepared: Any) -> Outcome:
        everybody = Round(0)
        if role > 1:
            return await by.store.purge(ctx(None), user=everybody.user if role == 2 else None)
        for turn in range(5):
            scope = ReplyScope(f"{at.number % 7}", thread=f"{turn}")
            snapshot = everybody.data(at.number)
            await by.store.register_wait(
                everybody.owner, everybody.user, scope, f"{at.key}-{role}-{turn}", snapshot, ttl=LONG
            )
        return 0


# -- claims


class OneWinner(Race):
    """Everybody claims one wait, by its scope or, with a correlation, by the fallback to it."""

    async def prepare(self, by: Player, at: Round, role: int) -> None:
        if role == 0:
            await at.register(by.store, at.key, ttl=[None, LONG * 2, LONG / 2][at.number % 3])

    async def play(self, by: Player, at: Round, role: int, prepared: Any) -> Outcome:
        scope = ReplyScope(at.scope.conversation, correlation=f"answer-{role}" if role % 2 else None)
        claim = await at.claim(by.store, scope, lease=LONG, fallback=True)
        return None if claim is None else "claimed"


class ClaimAndComplete(Race):
    """Everybody claims the same wait and completes it; two look again after a conflict."""

    async def prepare(self, by: Player, at: Round, role: int) -> None:
        if role == 0:
            await at.register(by.store, at.key)

    async def play(self, by: Player, at: Round, role: int, prepared: Any) -> Outcome:
        while True:
            try:
                claim = await at.claim(by.store)
            except ClaimedError:
                if role < 2:
                    raise
                continue
            if claim is None:
                return None
            await claim.complete()
            return "completed"


class CountUnderClaims(Race):
    """Everybody adds one to the snapshot's number, and tries until it has done so in a claim."""

    lease: float = LONG

    async def prepare(self, by: Player, at: Round, role: int) -> None:
        if role == 0:
            await at.register(by.store, at.key, 0)

    async def play(self, by: Player, at: Round, role: int, prepared: Any) -> Outcome:
        tries = 0
        while True:
            tries += 1
            try:
                claim = await at.claim(by.store, lease=self.lease)
                assert claim is not None
                await self.pause(by)
                await claim.park(at.scope, at.data(int(claim.data.context_json) + 1))
            except ConflictError:  # claimed by another, or the lease has ended
                await asyncio.sleep(0.001)
                continue
            return tries

    async def pause(self, by: Player) -> None:
        """Be about as slow as the lease is long."""


class CountUnderShortLeases(CountUnderClaims):
    """The same with leases so short that many end before their holder is ready."""

    lease = 0.01
    batch = 10

    async def pause(self, by: Player) -> None:
        await asyncio.sleep(by.dice.choice([0, 0, 0.005, 0.01, 0.015]))


class LeaseAgainstComplete(Race):
    """One completes about when its short lease ends; the others wait for the end, and complete."""

    batch = 15

    async def prepare(self, by: Player, at: Round, role: int) -> None:
        if role == 0:
            await at.register(by.store, at.key)

    async def play(self, by: Player, at: Round, role: int, prepared: Any) -> Outcome:
        if role == 0:
            claim = await at.claim(by.store, lease=0.02)
            if claim is None:
                return None
            await asyncio.sleep(0.02 + by.dice.uniform(-0.012, 0.004))
            await claim.complete()
            return "completed"
        while True:
            await asyncio.sleep(0.001 if role == 1 else 0.004)
            try:
                claim = await at.claim(by.store, lease=LONG)
            except ClaimedError:
                continue
            if claim is None:
                return None
            await claim.complete()
            return "completed"


class ParkAgainstRegister(Race):
    """One parks its claim at a scope, two register sessions there, one claims the old wait.

    One of the two registers only if the scope is free.
    """

    async def prepare(self, by: Player, at: Round, role: int) -> Claim | None:
        if role:
            return None
        await by.store.register_wait(at.owner, at.user, at.elsewhere, at.key, at.data("held"))
        return await at.claim(by.store, at.elsewhere)

    async def play(self, by: Player, at: Round, role: int, prepared: Claim | None) -> Outcome:
        match role:
            case 0:
                assert prepared is not None
                return await prepared.park(at.scope, at.data("parked"))
            case 1:
                return await at.register(by.store, f"{at.key}-1", ttl=LONG)
            case 2:
                return await at.register(by.store, f"{at.key}-2", ttl=LONG, on_conflict="fail")
            case _:
                claim = await at.claim(by.store, at.elsewhere)
                return None if claim is None else "claimed"


class CompleteAgainstPlain(Race):
    """One completes its claim, while others touch the session, update it, and let it expire."""

    async def prepare(self, by: Player, at: Round, role: int) -> Claim | None:
        if role:
            return None
        await at.register(by.store, at.key, ttl=LONG)
        return await at.claim(by.store)

    async def play(self, by: Player, at: Round, role: int, prepared: Claim | None) -> Outcome:
        short = at.number % 4 == 0
        await at.give_way(first=role == 0)
        match role:
            case 0:
                assert prepared is not None
                await prepared.complete()
                return "completed"
            case 1:
                return "touched" if await by.store.touch(at.key, 0.002 if short else None) else "absent"
            case 2:
                await by.store.update_session(at.key, at.data("updated"))
                return "updated"
            case _:
                return "touched" if await by.store.touch(at.key, 0.001 if short else LONG, ctx=at.owner) else "absent"


class ClaimAgainstClear(Race):
    """Two claim a wait and complete it, two clear it: one of them for the whole team."""

    async def prepare(self, by: Player, at: Round, role: int) -> None:
        if role == 0:
            await at.register(by.store, at.key, ttl=LONG)

    async def play(self, by: Player, at: Round, role: int, prepared: Any) -> Outcome:
        if role > 1:
            await by.store.clear_wait(at.owner if role == 2 else ctx(None), at.user, at.scope)
            return "cleared"
        claim = await at.claim(by.store)
        if claim is None:
            return None
        await claim.complete()
        return "completed"


# -- everything


class BriefLives(Race):
    """Sessions expire within milliseconds, under operations that could revive or outlive one."""

    batch = 20

    async def play(self, by: Player, at: Round, role: int, prepared: Any) -> Outcome:
        def brief() -> float:
            return by.dice.randint(1, 4) / 1000

        async def create() -> None:
            await by.store.create_session(at.owner, at.data("created"), key=at.key, ttl=brief())

        async def register() -> None:
            await at.register(by.store, f"{at.key}{by.dice.choice(['', '-1'])}", "waits", ttl=brief())

        async def resume() -> None:
            claim = await at.claim(by.store, lease=brief())
            if claim is not None:
                await asyncio.sleep(by.dice.choice([0, brief()]))
                if role % 2:
                    await claim.park(at.elsewhere, at.data("parked"), ttl=brief())
                else:
                    await claim.renew(brief())

        calls: list[Callable[[], Awaitable[Any]]] = [
            create,
            register,
            resume,
            lambda: by.store.update_session(at.key, at.data("updated")),
            lambda: by.store.touch(at.key, brief()),
            lambda: by.store.find_wait(at.owner, at.user, at.scope),
            lambda: by.store.list_waits_for_user(at.owner, at.user),
        ]
        for _ in range(8):
            try:
                await by.dice.choice(calls)()
            except (ConflictError, NotFoundError):
                pass
            await asyncio.sleep(by.dice.choice([0, 0, 0.001]))
        return "played"


STAYING = [Round(-number) for number in range(1, 31)]
"""Sessions that nobody touches while everything else happens."""
PEOPLE = [ctx("alice"), ctx("bob"), ctx("alice", team=None), ctx("alice", tenant="globex")]
SCOPES = [*(ReplyScope(f"c{number}") for number in range(3)), ReplyScope("c0", correlation="x")]


class Everything(Race):
    """Players do anything to a few keys, users and scopes; one iterates and checks sessions."""

    batch = 8

    async def play(self, by: Player, at: Round, role: int, prepared: Any) -> Outcome:
        if role == 3:
            return await self.walk(by)
        for _ in range(6):
            try:
                await self.step(by)
            except (ConflictError, NotFoundError):
                pass
        return "played"

    async def step(self, by: Player) -> None:
        store, dice = by.store, by.dice
        owner, key, scope = dice.choice(PEOPLE), f"shared{dice.randrange(6)}", dice.choice(SCOPES)
        user = owner.user_id or ""
        ttl = dice.choice([None, LONG, 0.001, 0.005])
        snapshot = data(owner, snapshot=scope.canonical())
        what = dice.randrange(12)
        try:
            if what < 3:
                await store.register_wait(
                    owner, user, scope, key, snapshot, ttl, on_conflict=dice.choice(["replace", "fail"])
                )
            elif what < 6:
                claim = await store.claim_wait(owner, user, scope, lease=dice.choice([0.001, 0.005, 0.05]), fallback=True)
                if claim is not None:
                    there = dice.choice(SCOPES)
                    parked = data(owner, snapshot=there.canonical())
                    ends: list[Callable[[], Awaitable[Any]]] = [
                        lambda: claim.park(there, parked, ttl),
                        claim.complete,
                        claim.release,
                        lambda: claim.renew(0.005),
                    ]
                    await dice.choice(ends)()
            else:
                calls: list[Callable[[], Awaitable[Any]]] = [
                    lambda: store.create_session(owner, snapshot, key=key, ttl=ttl),
                    lambda: store.remove_session(key, ctx=owner),
                    lambda: store.clear_wait(owner, user, scope),
                    lambda: store.touch(key, ttl, ctx=owner),
                    lambda: store.find_wait(owner, user, scope),
                    lambda: store.list_waits_for_user(owner, user),
                    lambda: store.purge(owner, user=user),
                ]
                await dice.choice(calls)()
                if (found := await store.get_versioned(key)) is not None and found.data.tenant_ctx == owner:
                    await store.update_session(key, found.data, if_version=found.version)
        except TenantMismatchError as error:
            assert "cannot change for an existing session" in error.message  # noqa: PT017  # the key is somebody else's

    async def walk(self, by: Player) -> Outcome:
        seen: list[str] = []
        async for wait in by.store.iter_sessions(ctx(None, team=None)):
            if wait.data.tenant_ctx.tenant_id != "acme":
                return "a session of another tenant"
            if wait.scope is not None and wait.scope.canonical() != wait.data.context_json:
                return "a scope that is not the session's"
            seen.append(wait.key)
        if len(seen) != len(set(seen)):
            return "a session twice"
        if not {at.key for at in STAYING} <= set(seen):
            return "not all that was there throughout"
        return "walked"
