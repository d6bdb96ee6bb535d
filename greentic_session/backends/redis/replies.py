"""Replies and deadlines on one Redis: each operation is one script."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from functools import partial
from typing import Any

import msgspec

from greentic_session import tenancy
from greentic_session._concurrency.shield import shielded
from greentic_session._redis.answers import foreign, number, reading_answers
from greentic_session._redis.client import RedisClient
from greentic_session._redis.executor import Arg, Executor
from greentic_session._redis.scanning import glob_of, walk
from greentic_session.backend import Claimed, SessionBackend, replies
from greentic_session.backends.unreadable import put_off_unreadable
from greentic_session.errors import CorruptSessionError, GreenticError
from greentic_session.models import ReplyScope, TenantCtx
from greentic_session.reply import DeliveryOutcome, Reply, inbox_full, owner_full
from greentic_session.tenancy import Owner
from greentic_session.wait import Wait, wait_of

from .keys import REPLIES_KIND, Keys, key_of, owner_of, owner_text, payload_prefix, scope_of
from .reply_answers import beside, claimed_of, deadline_of, delivery_name, limits_of, own_reply, replies_of, reply_of
from .scripts import GIVE_BACK, Answer, ms, script, step, text_of
from .slot import BarredError, ShortError, Slot
from .staging import Storing

__all__ = ["MAX_COUNTING_STEPS", "PASS_TIME", "STEP", "RedisReplies", "administered", "lying_of"]

_CLAIM_READY = script("claim_ready")
_COUNT_READY = script("count_ready", repeatable=True)
_DELIVER = step("deliver")
_DELIVER_OR_BEGIN = Storing(_DELIVER, text=-6, size=-1)
_DROP = step("drop")
_INBOX = step("inbox", repeatable=True)
_LYING = step("lying", repeatable=True)
PASS_TIME = script("pass_time", int)
"""Lets time pass for tests."""
_PUT_OFF = step("put_off")
_RETRY = step("retry")
_REWRITE = step("rewrite", int)
_STAY = step("stay")
_STAY_WITH = Storing(_STAY, text=4, size=7)
_TAKE = step("take")

_TEXT_AT = {b"claimed": 4, b"at once": 3}
"""Where in an answer of `deliver.lua` the text of the wait is."""
MAX_COUNTING_STEPS = 50
"""Limit of the steps in which is counted what is ready: each is a hundred teams."""
STEP = 40
"""Limit of the inboxes that a walk reads in one step."""


@reading_answers
class RedisReplies(SessionBackend):
    """The operations on replies and deadlines, in one namespace of one Redis.

    For how long something is kept say the options of the store that accepted it, or that set the
    deadline, whichever store of the namespace works on it later.
    """

    _client: RedisClient
    _keys: Keys
    _slot: Slot

    async def deliver(self, delivering: replies.Delivering) -> replies.Delivered:
        answer = await self._deliver(delivering)
        if answer[0] == b"count":
            # Some of many waits may have expired: listing them tells, and takes those away.
            beginning = delivering.beginning
            most = None if beginning is None else beginning.max_waits
            if most is not None and len(await self.list_waits(delivering.owner)) < most:
                answer = await self._deliver(delivering)
        outcome, *more = answer
        match outcome:
            case b"duplicate" | b"unmatched":
                return replies.Delivered(DeliveryOutcome(outcome.decode()))
            case b"queued" | b"kept":
                return replies.Delivered(DeliveryOutcome(outcome.decode()), reply_of(more[0], delivering))
            case b"at once":
                return await self._claimed_at_once(delivering, *more)
            case b"claimed":
                return await self._delivered_claim(delivering, reply_of(more[0], delivering), more[1:])
            case b"inbox full":
                raise inbox_full()
            case b"owner full":
                raise owner_full()
            case b"short" if delivering.beginning is not None:  # on a cluster, as the next one
                raise ShortError(delivering.beginning.key)
            case b"barred":
                raise BarredError
            case _:
                raise _not_begun(outcome, delivering.beginning)

    async def _deliver(self, delivering: replies.Delivering) -> Answer:
        owner, scopes, beginning = delivering.owner, delivering.scopes, delivering.beginning
        places, name = tuple([self._keys.wait(owner, scope) for scope in scopes]), delivery_name(delivering)
        namespace, whose, known = self._keys.namespace, owner_text(owner), self._slot.known
        remembered = None
        if known is not None and beginning is None and delivering.claims:
            remembered = known.remembered(places[0])
        scope_texts = [msgspec.json.encode(scope) for scope in scopes]
        words: tuple[Arg, ...] = (
            *places,
            namespace,
            whose,
            delivering.reply_id,
            delivering.text.encode("utf-8", "surrogatepass"),
            delivering.size,
            beside(delivering, scope_texts[0]),
            delivering.token,
            delivering.turn_key,
            delivering.lease_ms,
            name,
            b"1" + (remembered or b"") if delivering.claims else "",
            "" if delivering.keep_ms is None else delivering.keep_ms,
            limits_of(self.reply_limits),
            payload_prefix(owner),
            *scope_texts,
        )
        undo = GIVE_BACK.command(self._client, len(places), (*places, namespace, delivering.token, name, whose))
        answer: Answer
        if beginning is not None:
            json, version, _ = text_of(beginning.data, beginning.text)
            at_deadline = "resume" if beginning.resume else "forget"
            begun = (beginning.key, json, version, ms(beginning.ttl_ms), at_deadline, beginning.max_waits or "", "")
            answer = await _DELIVER_OR_BEGIN.run(self._client, self._keys, len(places), (*words, *begun), undo)
        elif remembered is None:
            answer = await _DELIVER.run(self._client, len(places), words, undo)
        else:
            behind = ("GET", self._keys.session("").encode() + remembered)
            answer, text = await _DELIVER.run(self._client, len(places), words, undo, behind=behind)
            at = _TEXT_AT.get(answer[0])
            if at is not None and answer[at] is None:
                answer[at] = text
                if text is None:  # somebody has removed it in between, and the reply with it
                    self._note_place(places[0], remembered, None)
                    return await self._deliver(delivering)
        if answer[0] == b"at once":
            self._note_place(places[0], remembered, answer[2])
        elif answer[0] == b"claimed":
            self._note_place(places[0], remembered, answer[3] if answer[2] == scope_texts[0] else None)
        return answer

    def _note_place(self, place: str, remembered: bytes | None, key: bytes | None) -> None:
        """Note which session waits at a place by now; another one was remembered, or none."""
        known = self._slot.known
        if known is None or key == remembered:
            return
        if remembered is not None:
            known.missed(place)
        if key is not None:
            known.remember(place, key)

    async def _claimed_at_once(
        self, delivering: replies.Delivering, accepted: bytes, key: bytes, text: bytes | None, deadline: bytes
    ) -> replies.Delivered:
        reply = own_reply(delivering, accepted)
        try:
            wait = self.read_wait(delivering.owner, key, text, delivering.scopes[0])
        except CorruptSessionError as error:
            return await self._queued_unreadable(delivering, key, reply, error)
        claimed = Claimed(wait, delivering.turn_key, 1, (reply,), deadline_of(deadline))
        return replies.Delivered(DeliveryOutcome.CLAIMED, reply, claimed)

    async def _delivered_claim(self, delivering: replies.Delivering, reply: Reply, told: list[Any]) -> replies.Delivered:
        scope_read, key, text, *more = told
        asked = delivering.scopes[0]
        scope = asked if scope_read == msgspec.json.encode(asked) else scope_of(scope_read)
        try:
            if text is None and delivering.beginning is not None:
                wait = Wait(key_of(key), delivering.beginning.data, scope, delivering.beginning.text)
            else:
                wait = self.read_wait(delivering.owner, key, text, scope)
        except CorruptSessionError as error:
            return await self._queued_unreadable(delivering, key, reply, error)
        return replies.Delivered(DeliveryOutcome.CLAIMED, reply, claimed_of(wait, more, reply))

    async def _queued_unreadable(
        self, delivering: replies.Delivering, key: bytes, reply: Reply, error: CorruptSessionError
    ) -> replies.Delivered:
        await self.put_off_unreadable(delivering.owner, key_of(key), delivering.token, error)
        return replies.Delivered(DeliveryOutcome.QUEUED, reply)

    def read_wait(self, owner: Owner | None, key: bytes, text: bytes | None, scope: ReplyScope | None) -> Wait:
        """Return a wait that was claimed.

        Raises:
            CorruptSessionError: Its text is none, or somebody else's.
        """
        if text is None:
            raise foreign()
        wait = wait_of(key_of(key), text, scope or ReplyScope(""))
        read = tenancy.owner_of(wait.data)
        if read is None or (owner is not None and read != owner):
            raise CorruptSessionError("the stored text is somebody else's than its beginning says", session_key=wait.key)
        return wait

    async def put_off_unreadable(self, owner: Owner, key: str, token: str, error: CorruptSessionError) -> None:
        """Give back the claim on such a wait, which rests then."""
        await shielded(partial(put_off_unreadable, self, owner, key, token, error))

    async def claim_ready(self, readying: replies.Readying) -> replies.Readiness:
        tenant, team = administered(readying.ctx)
        prefix, namespace, token = self._keys.ready(""), self._keys.namespace, readying.token
        words = (prefix, namespace, tenant, team, token, readying.turn_key, readying.lease_ms)
        undo = GIVE_BACK.command(self._client, 0, (namespace, token))
        while True:
            outcome, *more = await _CLAIM_READY.run(self._client, 1, words, undo)
            match outcome:
                case b"idle":
                    return replies.Readiness(next_ms=number(more[0]) if more else None)
                case b"again":
                    continue
                case b"claimed":
                    owner, scope, key, text, *rest = more
                    whose = owner_of(owner)
                    try:
                        return replies.Readiness(claimed_of(self.read_wait(whose, key, text, scope_of(scope)), rest))
                    except CorruptSessionError as error:
                        await self.put_off_unreadable(whose, key_of(key), token, error)
                case _:
                    raise foreign()

    async def readiness(self, ctx: TenantCtx | None) -> replies.Backlog:
        return await self._count_ready(*administered(ctx))

    async def readiness_of(self, path: str) -> replies.Backlog:
        """Return the backlog of one user, in the user's slot on a cluster."""
        env, tenant, team, _ = path.split(":")
        return await self._count_ready(f"{env}:{tenant}", team)

    async def _count_ready(self, tenant: str, team: str) -> replies.Backlog:
        total, oldest_ms, at = 0, None, [0, 0]
        for _ in range(MAX_COUNTING_STEPS):
            words: tuple[Arg, ...] = (self._keys.ready(""), self._keys.namespace, tenant, team, *at)
            count, age_ms, *at = await _COUNT_READY.run(self._client, 1, words)
            if number(count):
                total, oldest_ms = total + count, max(number(age_ms), oldest_ms or 0)
            if not at:
                break
        return replies.Backlog(total, oldest_ms, is_capped=bool(at))

    async def take(self, taking: replies.Taking) -> tuple[Reply, ...] | None:
        words = (self._keys.claim(taking.key), self._keys.namespace, taking.key, taking.token, taking.turn_key, taking.limit)
        outcome, *taken = await _TAKE.run(self._client, 1, words)
        if outcome == b"over":
            return None
        if outcome != b"taken":
            raise foreign()
        return replies_of(taken)

    async def stay(self, staying: replies.Staying) -> bool:
        words: tuple[Arg, ...] = (self._keys.claim(staying.key), self._keys.namespace, staying.key, staying.token)
        if staying.data is None:
            return _is_done(await _STAY.run(self._client, 1, words), b"stayed")
        words = (*words, *text_of(staying.data, staying.text), "")
        return _is_done(await _STAY_WITH.run(self._client, self._keys, 1, words), b"stayed")

    async def put_off(self, putting_off: replies.PuttingOff) -> bool:
        key, delay = putting_off.key, putting_off.delay_ms
        words = (self._keys.claim(key), self._keys.namespace, key, putting_off.token, delay)
        return _is_done(await _PUT_OFF.run(self._client, 1, words), b"put off")

    async def pass_time(self, passed_ms: int) -> None:
        """Let so much time pass, in milliseconds: for tests, it looks at every key there is."""
        prefix = f"{self._keys.namespace}:"
        await PASS_TIME.run(self._client, 1, (prefix, prefix, passed_ms))

    async def inbox(self, owner: Owner, scope: ReplyScope) -> tuple[Reply, ...]:
        words = (self._keys.wait(owner, scope), self._keys.namespace, owner_text(owner))
        return replies_of(await _INBOX.run(self._client, 1, words))

    async def retry(self, key: str) -> bool:
        outcome, *_ = await _RETRY.run(self._client, 1, (self._keys.session(key), self._keys.namespace, key))
        if outcome == b"absent":
            raise tenancy.absent(key)
        if outcome not in (b"retried", b"not put off"):
            raise foreign()
        return bool(outcome == b"retried")

    async def drop(self, key: str) -> Reply | None:
        outcome, *dropped = await _DROP.run(self._client, 1, (self._keys.session(key), self._keys.namespace, key))
        if outcome == b"dropped":
            return reply_of(dropped[0])
        if outcome == b"empty":
            return None
        if outcome == b"claimed":
            raise tenancy.claimed(key)
        raise tenancy.absent(key) if outcome == b"absent" else foreign()

    async def lying(self, ctx: TenantCtx) -> AsyncGenerator[replies.Lying, None]:
        async with aclosing(self._inboxes()) as steps:
            async for names in steps:
                for lying in await lying_of(self._client, self._keys, names, ctx):
                    yield lying

    async def _inboxes(self) -> AsyncGenerator[list[bytes], None]:
        """Yield the places where something lies, a few at a time, each once or more."""
        prefix = f"{self._keys.namespace}:{REPLIES_KIND}"
        seen: set[bytes] = set()  # SCAN may name a key twice
        found: AsyncIterator[list[bytes]] = walk(self._client, glob_of(prefix), "TYPE", "hash")
        async for keys in found:
            self.check_open()
            names = [key[len(prefix.encode()) :] for key in dict.fromkeys(keys) if key not in seen]
            seen.update(keys)
            for start in range(0, len(names), STEP):
                yield names[start : start + STEP]

    async def rewrite(self, rewriting: replies.Rewriting) -> bool:
        lying = rewriting.lying
        texts = (lying.reply.id, lying.reply.text, rewriting.text)
        words = (self._keys.wait(lying.owner, lying.scope), self._keys.namespace, owner_text(lying.owner), *texts)
        return bool(number(await _REWRITE.run(self._client, 1, words)))


async def lying_of(client: Executor, keys: Keys, names: list[bytes], ctx: TenantCtx) -> list[replies.Lying]:
    """Return what lies at some places, of what a caller administers."""
    lying, at = list[replies.Lying](), 0
    while at < len(names):
        words: tuple[Arg, ...] = (f"{keys.namespace}:", keys.namespace, *names[at:])
        looked, found = await _LYING.run(client, 1, words)
        at += number(looked)
        for owner_read, scope_read, *lies in found:
            owner, scope = owner_of(owner_read), scope_of(scope_read)
            if scope is not None and tenancy.owns(ctx, None, owner):
                lying += [replies.Lying(owner, scope, reply) for reply in replies_of(lies)]
    return lying


def _not_begun(outcome: bytes, beginning: replies.Beginning | None) -> GreenticError:
    """Return the error for a beginning that was refused."""
    if beginning is None:
        return foreign()
    match outcome:
        case b"exists":
            return tenancy.taken(beginning.key)
        case b"elsewhere":
            return tenancy.taken_elsewhere(beginning.key)
        case b"many" | b"count":
            return tenancy.too_many_waits(beginning.key)
        case _:
            return foreign()


def administered(ctx: TenantCtx | None) -> tuple[str, str]:
    """Return the tenant and the team that are meant, as scripts read them; "" for all."""
    if ctx is None:
        return "", ""
    team = ctx.effective_team
    return f"{ctx.env}:{ctx.tenant_id}", "" if team is None else team


def _is_done(answer: Answer, done: bytes) -> bool:
    if answer[0] not in (done, b"over"):
        raise foreign()
    return bool(answer[0] == done)
