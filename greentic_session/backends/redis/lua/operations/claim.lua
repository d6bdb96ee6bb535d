-- Claim the wait of the first scope that has one, and let the session live at least as long as the
-- lease.
-- KEYS     the scopes, best first
-- ARGV     namespace, how the owner's payloads begin, token, lease in ms, the session key of which
--          the text is read behind the script, or ""; on a cluster nonce and reach of a reservation
-- Returns  {"found", number of the scope that matched, session key, text, or false where it is read
--          behind the script, or is staged under the token: of another session; the deadline as ms
--          since the epoch or "inf"}, or in its place three: what is left until then in ms, and the
--          seconds and microseconds of TIME, which the client adds up for less; of a session that
--          takes part in replies what told_claim in places.lua tells behind the deadline;
--          {"claimed", session key}; {"absent"} if nothing waits; on a cluster {"short", session
--          key} if the session's owner pointer would not live as long as the lease
-- @include staging
-- @inline
local function fields_of(key) return call('HMGET', record_key(key), SCOPE_HASH, PLACE, MOVED) end
local prefix, token, lease = ARGV[2], ARGV[3], tonumber(ARGV[4])
local call, path, nonce = redis.call, path_of_scope(KEYS[1]), token
for number = 1, #KEYS do
  local scope = KEYS[number]
  -- @include fast_path
  if key == nil then break end
  if key then
    if known[2] or known[3] == '1' then break end
    if call('GETRANGE', session, '0', last_of(prefix)) ~= prefix then break end
    -- What only we have parked ends with its record, and so does its scope key. Where the reference
    -- has since, it has no deadline: see is_theirs.
    if ttl == -1 then
      local led = call('PTTL', scope)
      if led ~= -1 and led < lease then break end
    elseif ttl < lease or math.abs(call('PTTL', record_key(key)) - ttl) > APART_MS then
      break
    end
    if call('EXISTS', replies_at(path, known[1])) == 1 then break end -- somebody else has parked it where something lies
    local held = token .. ':' .. known[1] -- the hash of the scope
    if not call('SET', claim_key(key), held, 'PX', ARGV[4], 'NX') then return {'claimed', key} end
    local deadline, seconds, micros = 'inf', nil, nil
    if ttl ~= -1 then
      local time = call('TIME')
      deadline, seconds, micros = ttl, time[1], time[2]
    end
    if key == ARGV[5] then return {'found', number - 1, key, false, deadline, seconds, micros} end
    -- @include answer_text
    return {'found', number - 1, key, text, deadline, seconds, micros}
  end
  if number == #KEYS then return {'absent'} end
end
-- @include session
local owner = owner_of_path(path)
for number = 1, #KEYS do
  local hash = hash_of_scope(KEYS[number])
  local session = find_wait(owner, hash)
  if session then
    if redis.call('EXISTS', claim_key(session.key)) == 1 then return {'claimed', session.key} end
    local found = text_of(session) -- now: a server that is held up deletes what is given a millisecond to live
    local lengthened = session.ttl ~= -1 and session.ttl < lease
    if lengthened and not may_live(session, lease, ARGV[6], ARGV[7]) then return {'short', session.key} end
    if session.place ~= hash and redis.call('EXISTS', replies_key(owner, hash)) == 1 then
      session.place = hash -- the reference has parked it where something lies
    end
    if session.place then
      -- @include places
      local wait = open_place(owner, hash)
      local joined = join(wait, wait.inbox.replies, instant())
      wait.held, wait.turn = {}, joined or wait.turn
      lease_wait(wait, token, hash, lease)
      extend_key(scope_key(owner, hash), lease)
      if joined then return {'found', unpack(told_claim(wait, number - 1, found, {}, is_heard(wait)))} end
      return {'found', number - 1, session.key, found, written(wait.deadline), '', 1, 0, wait.is_new and 1 or 0}
    end
    local theirs = is_theirs(session, hash) -- now: it compares lifetimes, which change
    redis.call('SET', claim_key(session.key), token .. ':' .. hash, 'PX', lease)
    if lengthened then set_lifetime(session, lease) end
    extend_key(scope_key(owner, hash), lease)
    local ttl = theirs and -1 or lengthened and lease or session.ttl
    return {'found', number - 1, session.key, found, ttl == -1 and 'inf' or string.format('%.3f', now() + ttl)}
  end
end
return {'absent'}
