-- Store a session and make it the one wait of a scope.
-- KEYS     the scope, the user's set, the user's pointer
-- ARGV     namespace, session key, text or the nonce under which it is staged, its SHA-1, owner, how
--          the owner's payloads begin, the scope as JSON, lifetime in ms or -1, "" to replace who
--          waits there, "fail:" not to, and behind it the token of the claim that this ends, if
--          there is one; how many waits the user may have, or ""; the bytes of a staged text, or "";
--          on a cluster nonce and reach of a reservation, both "" for that of the session that is
--          there
-- Returns  {"parked"}; {"displaced", key of the session that waited there}; {"over"} (the claim);
--          {"corrupt"}; {"mismatch", part of the identity}; {"held"} (the scope); {"elsewhere"}
--          where another namespace's session has this key; {"many"} if it would be one wait too
--          many, {"count"} if it may be: not all members of the user's set need be waits;
--          {"unstaged"} where the text is staged no more; on a cluster {"short"} where it takes a
--          reservation, {"barred"} if that is over
-- @include staging
local key, text, sha, owner, prefix, scope = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local lifetime, on_conflict, most = ARGV[8], ARGV[9], tonumber(ARGV[10]) -- most: nil for any number
local is_staged, nonce, reach = ARGV[11] ~= '', ARGV[12], ARGV[13]
local bytes, hash, ttl = is_staged and ARGV[11] or #text, hash_of_scope(KEYS[1]), tonumber(lifetime)
local fails = on_conflict:sub(1, 5) == 'fail:'
local token = fails and on_conflict:sub(6) or on_conflict
if token == '' then token = nil end

local call, set, target, own = redis.call, KEYS[2], session_key(key), record_key(key)
local parked, settled, due = false, true, {}

-- The usual case: a new session, or one that waits here already, claimed or not, and no other. No
-- function is made for it.
repeat
  if nonce and ttl == -1 then break end
  local holder = call('GET', KEYS[1])
  if holder and holder ~= key then break end
  local is_new = not holder
  local listed = call('SRANDMEMBER', set, '2') -- now: it fails for a wrong type
  local members = #listed < 2 and #listed or call('SCARD', set)
  if most and members >= most and is_new then break end

  local known, left, is_latest = nil, nil, false
  if holder then
    known = call('HMGET', own, OWNER, SCOPE_HASH, LATEST_OF, NOTED, REPARKED, MOVED, UNSEEN)
    if known[1] ~= owner or known[2] ~= hash or (known[3] and known[3] ~= owner) then break end
    if token and redis.pcall('GET', claim_key(key)) ~= token .. ':' .. hash then break end
    if call('GETRANGE', target, '0', tostring(#prefix - 1)) ~= prefix then break end
    is_latest = known[3] and redis.pcall('GET', KEYS[3]) == key
    if nonce then
      -- @include owner_pointer
      local reserved = call('HMGET', own, NONCE, POINTER_REACH)
      if not (reserved[1] and reserved[2]) or (nonce ~= '' and nonce ~= reserved[1]) then break end
      left = math.max(pointer_left(call('PTTL', target), reserved[2]), tonumber(reach) or 0)
      if left < ttl then break end
    end
  else
    if token or nonce == '' or redis.pcall('GET', KEYS[3]) == key then break end
    -- A record: somebody else has removed what it is about.
    if call('EXISTS', own, claim_key(key), nonce and barred_key(nonce) or own) ~= 0 then break end
    left = nonce and tonumber(reach)
  end

  -- @include store_text
  if stored == nil then return {'unstaged'} end
  if not stored then break end
  parked = true

  if is_new then
    call('HSET', own, OWNER, owner, SCOPE_HASH, hash, SCOPE_JSON, scope, TEXT_SHA, sha, TEXT_BYTES, bytes)
    if nonce then call('HSET', own, NONCE, nonce) end
  elseif known[5] == '1' then
    call('HSET', own, TEXT_SHA, sha, TEXT_BYTES, bytes)
  else
    -- The scope, too: a copy of a wait of the reference's has none yet.
    call('HSET', own, TEXT_SHA, sha, TEXT_BYTES, bytes, SCOPE_JSON, scope, REPARKED, '1')
  end
  if known and (known[6] == '1' or known[7] == '1') then call('HSET', own, MOVED, '', UNSEEN, '') end
  if left then call('HSET', own, POINTER_REACH, string.format('%.0f', left - ttl)) end
  if token then call('DEL', claim_key(key)) end

  local had_lifetime = true
  if ttl ~= -1 then
    call('PEXPIRE', own, lifetime)
    if is_new then call('SET', KEYS[1], key, 'PX', lifetime) else call('PEXPIRE', KEYS[1], lifetime) end
    if is_latest then call('PEXPIRE', KEYS[3], lifetime) end
  else
    had_lifetime = call('PERSIST', own) == 1
    if is_new then call('SET', KEYS[1], key) else call('PERSIST', KEYS[1]) end
    if is_latest then call('PERSIST', KEYS[3]) end
  end
  local is_noted = known and known[4] == '1'
  if is_lasting(ttl) and not (is_noted and not had_lifetime) and not nonce then
    -- @include lasting
    if is_noted and ttl ~= -1 then
      extend_schedule(ttl)
    else
      note_lasting(key, ttl)
      due = due_lasting()
    end
  elseif is_noted and not is_lasting(ttl) then
    -- @include lasting
    unnote_lasting(key)
  end

  if members == 0 then
    call('SADD', set, key)
    call('UNLINK', index_at(path_of_waits(set))) -- of waits that the reference has cleared
  elseif members > 1 or listed[1] ~= key then
    -- @include wait_index
    members = add_wait(set, index_at(path_of_waits(set)), members, key, hash, ttl)
    local known_types, is_settled = pcall(sync_lifetimes, set, index_at(path_of_waits(set)), members)
    settled = known_types and is_settled
    break
  end
  if ttl ~= -1 then call('PEXPIRE', set, lifetime) elseif members > 0 then call('PERSIST', set) end
until true

if parked and settled and #due == 0 then return {'parked'} end
-- @include session
if parked then
  if not settled then repair_index(owner) end
  check_lasting(due)
  return {'parked'}
end
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

local function is_listed(session)
  return session and redis.call('SISMEMBER', set_key(owner), key) == 1 and is_wait(session, owner)
end

local function park_thoroughly()
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
  local left = nil
  if nonce then
    if nonce ~= '' and redis.call('EXISTS', barred_key(nonce)) == 1 then return {'barred'} end
    if session and not (may_live(session, ttl, nonce, reach) or nonce ~= '') then return {'short'} end
    if not session and nonce == '' then return {'short'} end
    left = nonce == '' and session.pointer_left or tonumber(reach) - math.max(ttl, 0)
    if nonce == '' then nonce = session.nonce end
  end
  local holder = find_wait(owner, hash)
  local displaced = holder and holder.key ~= key and holder
  if displaced and fails then return {'held'} end

  if most and not displaced and not is_listed(session) then
    local full = is_full()
    if full ~= false then return {full and 'many' or 'count'} end
  end

  local is_new = false
  -- @include store_text
  if not stored then return {'unstaged'} end
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
  redis.call('HSET', record_key(key), OWNER, owner, SCOPE_HASH, hash, SCOPE_JSON, scope, TEXT_SHA, sha, TEXT_BYTES, bytes,
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
end

local answer = park_thoroughly()
if is_staged then redis.call('UNLINK', staged_key(text)) end -- where it was refused
return answer
