-- Store a session and make it the one wait of a scope.
-- KEYS     the scope, the user's set, the user's pointer
-- ARGV     namespace, session key, text, its SHA-1, owner, the scope as JSON, lifetime in ms or -1,
--          "" to replace who waits there, "fail:" not to, and behind it the token of the claim that
--          this ends, if there is one; how many waits the user may have, or ""; on a cluster nonce
--          and reach of a reservation, both "" for that of the session that is there
-- Returns  {"parked"}; {"displaced", key of the session that waited there}; {"over"} (the claim);
--          {"corrupt"}; {"mismatch", part of the identity}; {"held"} (the scope); {"elsewhere"}
--          where another namespace's session has this key; {"many"} if it would be one wait too
--          many, {"count"} if it may be: not all members of the user's set need be waits; on a
--          cluster {"short"} where it takes a reservation, {"barred"} if that is over
-- @include same_head
-- @include claims
-- @include lasting
local key, text, sha, owner, scope = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local ttl, on_conflict, hash = tonumber(ARGV[7]), ARGV[8], hash_of_scope(KEYS[1])
local most = tonumber(ARGV[9]) -- nil for any number
local fails = on_conflict:sub(1, 5) == 'fail:'
local token = fails and on_conflict:sub(6) or on_conflict
if token == '' then token = nil end

-- Where all is as usual: a new session, or one that waits here already, claimed or not, and no
-- other. Returns whether the session is parked, and whether the user's set is in order.
local function park()
  if ARGV[10] then return false end -- on a cluster there is more to see to
  local call, lifetime = redis.call, ttl == -1 and {} or {'PX', ARGV[7]} -- as it came: a number would be made a string
  local session, own, claim = session_key(key), record_key(key), claim_key(key)
  local set, holder = KEYS[2], call('GET', KEYS[1])
  if holder and holder ~= key then return false end
  local members = call('SCARD', set) -- now: it fails for a wrong type
  if most and members >= most and not holder then return false end
  if token and not (holder and claimed_at(claim, token) == hash) then return false end

  if holder then
    local known = call('HMGET', own, OWNER, SCOPE_HASH, LATEST_OF, MOVED, UNSEEN)
    if known[1] ~= owner or known[2] ~= hash or known[3] then return false end
    if not begins_alike(session, text) then return false end
    call('SET', session, text, unpack(lifetime))
    if known[4] == '1' or known[5] == '1' then call('HSET', own, MOVED, '', UNSEEN, '') end
    -- The scope, too: a copy of a wait of the reference's has none yet.
    call('HSET', own, SCOPE_JSON, scope, TEXT_SHA, sha, TEXT_BYTES, #text, REPARKED, '1')
    if token then call('DEL', claim) end
  else
    if redis.pcall('GET', KEYS[3]) == key then return false end
    if call('EXISTS', own) == 1 then return false end -- somebody else has removed what it is about
    if not call('SET', session, text, 'NX', unpack(lifetime)) then return false end
    call('DEL', claim)
    call('HSET', own, OWNER, owner, SCOPE_HASH, hash, SCOPE_JSON, scope, TEXT_SHA, sha, TEXT_BYTES, #text)
  end
  call('SET', KEYS[1], key, unpack(lifetime))
  if ttl ~= -1 then
    call('PEXPIRE', own, ARGV[7])
  elseif holder then
    call('PERSIST', own) -- else it is new, and has no lifetime
  end
  if is_lasting(ttl) then note_lasting(key, ttl) elseif holder then unnote_lasting(key) end
  local index, is_new = index_at(path_of_waits(set)), nil
  members, is_new = add_wait(set, index, members, key, hash, ttl)
  if members > 1 then
    local known_types, settled = pcall(sync_lifetimes, set, index, members)
    return true, known_types and settled
  end
  if ttl ~= -1 then
    call('PEXPIRE', set, ARGV[7])
  elseif not is_new then -- the same
    call('PERSIST', set)
  end
  return true, true
end

local parked, settled = park()
local due = parked and is_lasting(ttl) and due_lasting() or {}
if settled and #due == 0 then return {'parked'} end
-- @include session
if parked then
  if not settled then repair_index(owner) end
  check_lasting(due)
  return {'parked'}
end
require_types(owner, hash, key)
local session = load(key)
local parked_at = token and session and claimed_at(claim_key(key), token)
if token and not parked_at then return {'over'} end
if session then
  if not verify_owner(session) then return {'corrupt'} end
  local part = difference(session.owner, owner)
  if part then return {'mismatch', part} end
end
if not session and redis.call('EXISTS', session_key(key)) == 1 then return {'elsewhere'} end
local nonce, left = ARGV[10], nil
if nonce then
  if nonce ~= '' and redis.call('EXISTS', barred_key(nonce)) == 1 then return {'barred'} end
  if session and not (may_live(session, ttl, nonce, ARGV[11]) or nonce ~= '') then return {'short'} end
  if not session and nonce == '' then return {'short'} end
  left = nonce == '' and session.pointer_left or tonumber(ARGV[11]) - math.max(ttl, 0)
  if nonce == '' then nonce = session.nonce end
end
local holder = find_wait(owner, hash)
local displaced = holder and holder.key ~= key and holder
if displaced and fails then return {'held'} end

-- Whether the user has as many waits as there may be; nil where only a look at more of them than a
-- script takes tells.
local function is_full()
  local members = redis.call('SCARD', set_key(owner))
  if members < most then return false end
  if members <= FEW then return #rebuild_index(owner, true) >= most end
  local known, settled = pcall(sync_lifetimes, set_key(owner), index_key(owner))
  if known and settled then return true end
  return nil
end

local function is_listed()
  return session and redis.call('SISMEMBER', set_key(owner), key) == 1 and is_wait(session, owner)
end

if most and not displaced and not is_listed() then
  local full = is_full()
  if full ~= false then return {full and 'many' or 'count'} end
end

redis.call('SET', session_key(key), text)
if displaced then end_wait(displaced, owner) end
if session then
  if session.owner_written and session.scope_hash ~= '' and session.scope_hash ~= hash then
    unlink_scope(owner, session.scope_hash, key)
  end
  if parked_at then
    redis.call('DEL', claim_key(key))
    if parked_at ~= hash then unlink_scope(owner, parked_at, key) end
  end
else
  discard_leftovers(key, owner)
end
redis.call('HSET', record_key(key), OWNER, owner, SCOPE_HASH, hash, SCOPE_JSON, scope, TEXT_SHA, sha, TEXT_BYTES, #text,
  MOVED, '', UNSEEN, '', REPARKED, session and '1' or '')
-- A pointer that the reference left, of another session under this key, leads here: our record says
-- so from now on.
if not (session and session.pointer_owner) and leads_to(pointer_key(owner), key) then
  redis.call('HSET', record_key(key), LATEST_OF, owner)
end
if nonce then redis.call('HSET', record_key(key), NONCE, nonce, POINTER_REACH, string.format('%.0f', left)) end
redis.call('SET', scope_key(owner, hash), key)
add_wait(set_key(owner), index_key(owner), redis.call('SCARD', set_key(owner)), key, hash, ttl)
local latest_of = session and session.pointer_owner
set_lifetime({key = key, owner_written = owner, scope_hash = hash, pointer_owner = latest_of, owner = owner}, ttl)
return displaced and {'displaced', displaced.key} or {'parked'}
