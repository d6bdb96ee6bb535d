-- What is kept of a session that takes part in replies and deadlines, in its record: a table of
--   session, key, owner, hash (of its place; nil where it has none), ends (of its storage), token,
--   lease_end (of its claim) deadline, rest_end, resume, put_off, turn, is_new   as in
--   greentic_session/transitions/waiting.py
--   held       the places where its claim holds replies
--   terms      see terms.lua
--   inbox      that of its place
--   was_due    since when its place is ready, or was to be; nil until somebody asks
-- Moments are ms since the epoch. A session that takes part in nothing has none of it in its
-- record: its lifetime is its deadline. Of one that the reference has parked since, what stands
-- there is true no more.
-- @include instant
-- @include terms
-- @include lifetimes

local function read_claim(wait, at)
  local found = redis.pcall('GET', claim_key(wait.key))
  if type(found) ~= 'string' then return end
  wait.token, wait.claimed_at, wait.marked = found:match('^([^:]*):(%x*)(.*)$')
  wait.lease_end = at + math.max(redis.call('PTTL', claim_key(wait.key)), 1)
end

local function read_turn(text)
  local failed, key, about = (text or ''):match('^(%d+) (%S*) (.*)$')
  return failed and {failed = tonumber(failed), key = key, about = about} or nil
end

-- A session that waits at a place, or (nil) at none. Who only looks on mends nothing.
local function waiting(session, hash, looks_on)
  local at = instant()
  if session.place and not looks_on then pcall(restore_lifetime, session) end
  local ends = session.ttl == -1 and math.huge or at + session.ttl
  local wait = {
    session = session, key = session.key, owner = session.owner, hash = hash, ends = ends, deadline = ends, rest_end = ends,
    resume = false, is_new = false, put_off = 0, lease_end = 0, held = {}, terms = read_terms(), was_part = session.place,
  }
  local theirs = hash ~= nil and is_theirs(session, hash)
  if not session.place then
    local noted = tonumber(redis.call('HGET', record_key(session.key), DEADLINE) or 'inf')
    if theirs then wait.deadline = math.huge
    elseif math.abs(noted - ends) <= APART_MS then wait.deadline, wait.rest_end = noted, noted end
  else
    local own = redis.call('HMGET', record_key(session.key), DEADLINE, REST_END, RESUME, PUT_OFF, TURN, TOKEN, IS_NEW, HELD,
      TERMS)
    wait.token = own[6] and own[6] ~= '' and own[6] or nil
    wait.terms = read_terms(own[9])
    for place in (own[8] or ''):gmatch('%x+') do wait.held[#wait.held + 1] = place end
    if (theirs and not (session.scope_hash == '' and session.place == hash)) or (hash and session.place ~= hash) then
      wait.deadline = math.huge
    else
      wait.deadline, wait.rest_end = tonumber(own[1]) or ends, tonumber(own[2]) or ends
      wait.resume, wait.is_new = own[3] == '1', own[7] == '1'
      wait.put_off, wait.turn = tonumber(own[4]) or 0, read_turn(own[5])
      if not hash then wait.deadline = math.huge end
    end
  end
  read_claim(wait, at)
  return wait
end

local function takes_part(wait)
  return wait.resume or wait.is_new or wait.turn ~= nil or wait.put_off > 0 or #wait.held > 0
    or (wait.inbox ~= nil and #wait.inbox.replies > 0)
end

-- Write into the record what there is to keep, and mark the claim: so the usual, fast ways know
-- that this session takes part.
local function save_wait(wait)
  local own, turn = record_key(wait.key), wait.turn
  if not takes_part(wait) then
    if wait.was_part then -- the deadline stays, which the lifetime tells to the millisecond only
      redis.call('HDEL', own, PLACE, REST_END, RESUME, PUT_OFF, TURN, TOKEN, IS_NEW, HELD, TERMS)
    end
    return
  end
  redis.call('HSET', own, PLACE, wait.hash or '-', DEADLINE, written(wait.deadline), REST_END, written(wait.rest_end),
    RESUME, wait.resume and '1' or '', PUT_OFF, written(wait.put_off), IS_NEW, wait.is_new and '1' or '',
    TURN, turn and turn.failed .. ' ' .. turn.key .. ' ' .. turn.about or '', TOKEN, wait.token or '',
    HELD, table.concat(wait.held, ' '), TERMS, wait.terms.text)
  if not wait.was_part and not wait.session.owner_written then expire_beside(wait.key, left_of(wait.ends)) end
  wait.was_part = true
  if wait.marked == '' and wait.lease_end > instant() then
    redis.call('SET', claim_key(wait.key), wait.token .. ':' .. wait.claimed_at .. ':r', 'KEEPTTL')
    wait.marked = ':r'
  end
end
