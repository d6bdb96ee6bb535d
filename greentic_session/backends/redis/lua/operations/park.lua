-- Store a session and make it the one wait of a scope.
-- KEYS[1]  the scope
-- ARGV     namespace, session key, text or the nonce under which it is staged, its SHA-1, owner,
--          how the owner's payloads begin, the scope as JSON, lifetime in ms or -1, "" to replace
--          who waits there, "fail:" not to, and behind it the token of the claim that this ends, if
--          there is one; how many waits the user may have, or ""; the bytes of a staged text, or
--          ""; what becomes of it at its deadline: "forget", "keep" what was, or "resume", and with
--          that the terms of the store behind a space (see terms.lua); on a cluster nonce and reach
--          of a reservation, both "" for that of the session that is there
-- Returns  "parked", as such or {"parked"}; {"displaced", key of the session that waited there}, and
--          behind each of them the replies that are left over where it waited before ({"parked", "",
--          replies}); {"over"} (the claim); {"corrupt"}; {"mismatch", part of the identity}; {"held"}
--          (the scope); {"elsewhere"} where another namespace's session has this key; {"many"} if it
--          would be one wait too many, {"count"} if it may be: not all members of the user's set
--          need be waits; {"unstaged"} where the text is staged no more; on a cluster {"short"}
--          where it takes a reservation, {"barred"} if that is over
-- @include staging
local _, key, text, sha, owner, prefix, scope, lifetime, on_conflict, most, bytes, choice, nonce, reach = unpack(ARGV)
local is_staged, terms = bytes ~= '', ''
most = tonumber(most) -- nil for any number
if choice ~= 'forget' and choice ~= 'keep' then choice, terms = choice:match('^(%l+) ?(.*)$') end
local hash, ttl = hash_of_scope(KEYS[1]), tonumber(lifetime)
if not is_staged then bytes = #text end
local fails = on_conflict:byte(5) == 58 -- the colon: no token has one
local token = fails and on_conflict:sub(6) or on_conflict
if token == '' then token = nil end

local call, path, target, own = redis.call, path_of_scope(KEYS[1]), session_key(key), record_key(key)
local set = set_at(path)
local parked, settled, due = false, true, {}

-- The usual case: a new session, or one that waits here already, claimed or not, and no other. No
-- function is made for it.
repeat
  if (nonce and ttl == -1) or choice == 'resume' then break end
  local holder, held = nil, nil
  if token then
    local led = call('MGET', KEYS[1], claim_key(key)) -- of another type it is nil: then the rules say so
    holder, held = led[1], led[2]
  else
    holder = call('GET', KEYS[1])
  end
  if holder and holder ~= key then break end
  local is_new = not holder
  -- (Now: these fail for a wrong type. To draw members from a large set takes longer than to count.)
  local listed = holder and call('SRANDMEMBER', set, '2')
  local members = listed and #listed < 2 and #listed or call('SCARD', set)
  if most and members >= most and is_new then break end

  local known, left, is_latest, inbox, settles = nil, nil, false, nil, nil
  if holder then
    known = call('HMGET', own, OWNER, SCOPE_HASH, LATEST_OF, NOTED, REPARKED, MOVED, UNSEEN, PLACE)
    if known[1] ~= owner or known[2] ~= hash or (known[3] and known[3] ~= owner) then break end
    if known[8] then
      -- It takes part in replies: the usual claim is one of `deliver`, and of no deadline.
      if not token or nonce or held ~= token .. ':' .. hash .. ':r' or known[8] ~= hash then break end
      local holds = call('HMGET', own, HELD, RESUME)
      if holds[1] ~= hash or holds[2] == '1' then break end
      -- @include held_inbox
      if not head then break end
      settles = head
    elseif (token and held ~= token .. ':' .. hash) or call('EXISTS', replies_at(path, hash)) == 1 then
      break -- the claim is over, or somebody else has parked it where something lies
    end
    if call('GETRANGE', target, '0', last_of(prefix)) ~= prefix then break end
    is_latest = known[3] and redis.pcall('GET', pointer_at(path)) == key
    if nonce then
      -- @include owner_pointer
      local reserved = call('HMGET', own, NONCE, POINTER_REACH)
      if not (reserved[1] and reserved[2]) or (nonce ~= '' and nonce ~= reserved[1]) then break end
      left = math.max(pointer_left(call('PTTL', target), reserved[2]), tonumber(reach) or 0)
      if left < ttl then break end
    end
  else
    if token or nonce == '' or redis.pcall('GET', pointer_at(path)) == key then break end
    -- A record: somebody else has removed what it is about. An inbox: of somebody who waited here,
    -- or will.
    local inbox = replies_at(path, hash)
    if call('EXISTS', own, claim_key(key), nonce and barred_key(nonce) or inbox, inbox) ~= 0 then break end
    left = nonce and tonumber(reach)
  end

  -- @include store_text
  if stored == nil then return {'unstaged'} end
  if not stored then break end
  parked = true

  local since = ttl == -1 and call('TIME')[1] or '-' .. lifetime -- what is left tells the rest
  local is_noted, lasts = known and known[4] == '1', is_lasting(ttl) and not nonce
  if is_new and lasts then
    call('HSET', own, OWNER, owner, SCOPE_HASH, hash, SCOPE_JSON, scope, TEXT_SHA, sha, TEXT_BYTES, bytes, SINCE, since, NOTED, '1')
  elseif is_new then
    call('HSET', own, OWNER, owner, SCOPE_HASH, hash, SCOPE_JSON, scope, TEXT_SHA, sha, TEXT_BYTES, bytes, SINCE, since)
    if nonce then call('HSET', own, NONCE, nonce) end
  elseif known[5] == '1' then
    call('HSET', own, TEXT_SHA, sha, TEXT_BYTES, bytes, SINCE, since)
  else
    -- The scope, too: a copy of a wait of the reference's has none yet.
    call('HSET', own, TEXT_SHA, sha, TEXT_BYTES, bytes, SCOPE_JSON, scope, SINCE, since, REPARKED, '1')
  end
  if known and (known[6] == '1' or known[7] == '1') then call('HSET', own, MOVED, '', UNSEEN, '') end
  if settles then
    local head = settles
    -- @include settle_held
    call('HDEL', own, PLACE, DEADLINE, REST_END, RESUME, PUT_OFF, TURN, TOKEN, IS_NEW, HELD, TERMS)
  end
  if left then call('HSET', own, POINTER_REACH, string.format('%.0f', left - ttl)) end

  local had_lifetime = true
  if ttl ~= -1 then
    call('PEXPIRE', own, lifetime)
    if is_new then call('SET', KEYS[1], key, 'PX', lifetime) else call('PEXPIRE', KEYS[1], lifetime) end
    if is_latest then call('PEXPIRE', pointer_at(path), lifetime) end
  else
    had_lifetime = not is_new and call('PERSIST', own) == 1
    if is_new then call('SET', KEYS[1], key) else call('PERSIST', KEYS[1]) end
    if is_latest then call('PERSIST', pointer_at(path)) end
  end
  if is_noted and not is_lasting(ttl) then
    -- @include lasting
    unnote_lasting(key)
  end

  local index, notes = index_at(path), lasts and not (is_noted and not had_lifetime)
  local has_others = members > 1
  if members == 1 then has_others = listed and listed[1] ~= key or not listed and call('SISMEMBER', set, key) == 0 end
  if notes or has_others then
    -- @include lasting
    if notes and is_noted and ttl ~= -1 then
      extend_schedule(ttl)
    elseif notes then
      note_lasting(key, ttl, is_new and 'noted' or 'there')
      due = due_lasting()
    end
    if has_others then
      if settles then call('UNLINK', claim_key(key), inbox) elseif token then call('UNLINK', claim_key(key)) end
      members = add_wait(set, index, members, key, hash, ttl)
      local known_types, is_settled = pcall(sync_lifetimes, set, index, members)
      settled = known_types and is_settled
      break
    end
  end
  if members == 0 then call('SADD', set, key) end
  -- The only wait has no index: one may be left of waits that the reference has cleared, or be
  -- 0.1.0's.
  if settles then call('UNLINK', index, claim_key(key), inbox)
  elseif token then call('UNLINK', index, claim_key(key))
  else call('UNLINK', index) end
  if ttl ~= -1 then call('PEXPIRE', set, lifetime) elseif members > 0 then call('PERSIST', set) end
until true

if parked and settled and #due == 0 then return 'parked' end -- a list of one costs as much as a command
-- @include session
if parked then
  if not settled then repair_index(owner) end
  check_lasting(due)
  return {'parked'}
end
-- @include parking
local answer = park({
  key = key, text = text, is_staged = is_staged, sha = sha, bytes = bytes, owner = owner, hash = hash, scope = scope, ttl = ttl,
  token = token, fails = fails, most = most, nonce = nonce, reach = reach, choice = choice, terms = terms,
})
if is_staged then redis.call('UNLINK', staged_key(text)) end -- where it was refused
return answer
