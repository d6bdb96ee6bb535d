-- Store a session and make it the one wait of a scope.
-- KEYS     the scope, the user's set, its index, the user's pointer
-- ARGV     namespace, session key, text, its SHA-1, owner, how many bytes at its front name the owner, SHA-256 of
--          the scope, the scope as JSON, lifetime in ms or -1, "fail" or "replace", claim token or ""; on a cluster nonce and
--          reach of a reservation, both "" for that of the session that is there
-- Returns  {"ok", key of the displaced session or ""}, {"over"} (the claim), {"corrupt"}, {"mismatch", part}, {"held"};
--          {"short"} where it takes a reservation, {"barred"} if that is over
-- @include _index
local key, text, sha, owner, named, hash, scope = ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6]), ARGV[7], ARGV[8]
local ttl, on_conflict, token = tonumber(ARGV[9]), ARGV[10], ARGV[11]
local ending = end_of(ttl)

-- Where all is as usual: a new session, or one that waits here already, and no other.
-- Returns whether the session is parked, and whether the user's set is in order.
local function park()
  if token ~= '' or ARGV[12] then return false end -- on a cluster there is more to see to
  local call, lifetime = redis.call, ttl == -1 and {} or {'PX', ARGV[9]} -- as it came: a number would be made a string
  local session, own, set, index = ARGV[1] .. ':session:' .. key, ARGV[1] .. ':own:' .. key, KEYS[2], KEYS[3]
  local holder = call('GET', KEYS[1])
  if holder and holder ~= key then return false end
  local members, waits = call('SCARD', set), call('ZCARD', index) -- now: they fail for a wrong type

  if holder then
    local known = call('HMGET', own, 'o', 's', 'p', 'f', 'c')
    if known[1] ~= owner or known[2] ~= hash or known[3] then return false end
    if call('GETRANGE', session, '0', ARGV[6]) ~= text:sub(1, named + 1) then return false end -- and the byte behind it
    call('SET', session, text, unpack(lifetime))
    if known[4] == '1' or known[5] == '1' then call('HSET', own, 'f', '', 'c', '') end
    call('HSET', own, 'w', scope, 'h', sha, 'n', #text) -- a copy of a wait of the reference's has no `w` yet
  else
    if redis.pcall('GET', KEYS[4]) == key then return false end
    if not call('SET', session, text, 'NX', unpack(lifetime)) then return false end
    call('DEL', own, ARGV[1] .. ':claim:' .. key)
    call('HSET', own, 'o', owner, 's', hash, 'w', scope, 'h', sha, 'n', #text)
  end
  call('SET', KEYS[1], key, unpack(lifetime))
  if ttl ~= -1 then
    call('PEXPIRE', own, ARGV[9])
  elseif holder then -- else it is new, and has no lifetime
    call('PERSIST', own)
  end
  local joined = call('SADD', set, key)
  waits, members = waits + call('ZADD', index, ending, hash), members + joined
  if waits > 1 or members > 1 then return true, settle(set, index) end
  if ttl ~= -1 then
    call('PEXPIRE', set, ARGV[9])
    call('PEXPIRE', index, ARGV[9])
  elseif joined == 0 then -- the same
    call('PERSIST', set)
    call('PERSIST', index)
  end
  return true, true
end

local parked, settled = park()
if settled then return {'ok', ''} end
-- @include _rules
if parked then
  mend(owner)
  return {'ok', ''}
end
check_types(owner, hash, key)
local session = look(key)
local parked_at = token ~= '' and session and claimed_at(claim_key(key), token)
if token ~= '' and not parked_at then return {'over'} end
if session then
  if not session.owner then return {'corrupt'} end
  local part = difference(session.owner, owner)
  if part then return {'mismatch', part} end
end
local nonce, left = ARGV[12], nil
if nonce then
  if nonce ~= '' and redis.call('EXISTS', barred_key(nonce)) == 1 then return {'barred'} end
  if session and not (may_live(session, ttl, nonce, ARGV[13]) or nonce ~= '') then return {'short'} end
  if not session and nonce == '' then return {'short'} end
  left = nonce == '' and session.left or tonumber(ARGV[13]) - math.max(ttl, 0)
  if nonce == '' then nonce = session.g end
end
local holder = find(owner, hash)
local displaced = holder and holder.key ~= key and holder
if displaced and on_conflict == 'fail' then return {'held'} end

redis.call('SET', session_key(key), text)
expire(session_key(key), ttl)
if displaced then unpark(displaced, owner) end
if session then
  if session.o and session.s ~= '' and session.s ~= hash then cut(owner, session.s, key) end
  if parked_at then
    redis.call('DEL', claim_key(key))
    if parked_at ~= hash then cut(owner, parked_at, key) end
  end
else
  redis.call('DEL', own_key(key), claim_key(key))
end
redis.call('HSET', own_key(key), 'o', owner, 's', hash, 'w', scope, 'h', sha, 'n', #text, 'f', '', 'c', '')
-- A pointer that the reference left, of another session under this key, leads here: our record says so from now on.
if not (session and session.p) and holds(pointer_key(owner), key) then redis.call('HSET', own_key(key), 'p', owner) end
if nonce then redis.call('HSET', own_key(key), 'g', nonce, 'u', string.format('%.0f', left)) end
redis.call('SET', scope_key(owner, hash), key)
redis.call('SADD', set_key(owner), key)
redis.call('ZADD', index_key(owner), ending, hash)
set_lifetime({key = key, o = owner, s = hash, p = session and session.p, owner = owner}, ttl)
return {'ok', displaced and displaced.key or ''}
