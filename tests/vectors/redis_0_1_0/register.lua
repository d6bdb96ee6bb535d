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
  local session, own, set, index = ARGV[1] .. ':session:' .. key, ARGV[1] .. ':own:' .. key, KEYS[2], KEYS[3]
  local holder, latest = redis.call('GET', KEYS[1]), redis.pcall('GET', KEYS[4])
  local known = redis.call('HMGET', own, 'o', 's', 'p', 'f', 'c')
  if (holder and holder ~= key) or latest == key or known[3] then return false end
  local begins = redis.call('GETRANGE', session, '0', named - 1)
  local new = begins == '' and redis.call('EXISTS', session) == 0
  if new == (holder == key) then return false end
  if not new and not (begins == text:sub(1, named) and known[1] == owner and known[2] == hash) then return false end
  local waits = redis.call('ZCARD', index)

  local members = redis.call('SADD', set, key) -- first: it fails for a wrong type, and a server that is full refuses it
  if new then
    redis.call('DEL', own, ARGV[1] .. ':claim:' .. key)
    redis.call('HSET', own, 'o', owner, 's', hash, 'w', scope, 'h', sha, 'n', #text)
  elseif known[4] == '1' or known[5] == '1' then
    redis.call('HSET', own, 'w', scope, 'h', sha, 'n', #text, 'f', '', 'c', '')
  else
    redis.call('HSET', own, 'w', scope, 'h', sha, 'n', #text) -- a copy of a wait of the reference's has no `w` yet
  end
  if ttl == -1 then
    redis.call('SET', session, text)
    redis.call('SET', KEYS[1], key)
    if not new then redis.call('PERSIST', own) end
  else
    redis.call('SET', session, text, 'PX', ARGV[9])
    redis.call('SET', KEYS[1], key, 'PX', ARGV[9])
    redis.call('PEXPIRE', own, ARGV[9])
  end
  waits = waits + redis.call('ZADD', index, ending, hash)
  if waits > 1 or redis.call('SCARD', set) > 1 then return true, settle(set, index) end
  if ttl ~= -1 then
    redis.call('PEXPIRE', set, ARGV[9])
    redis.call('PEXPIRE', index, ARGV[9])
  elseif members == 0 then -- else they are new, and have no lifetime
    redis.call('PERSIST', set)
    redis.call('PERSIST', index)
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
local parked_at = token ~= '' and session and claimed_at(key, token)
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
if nonce then redis.call('HSET', own_key(key), 'g', nonce, 'u', string.format('%.0f', left)) end
redis.call('SET', scope_key(owner, hash), key)
redis.call('SADD', set_key(owner), key)
redis.call('ZADD', index_key(owner), ending, hash)
set_lifetime({key = key, o = owner, s = hash, p = session and session.p, owner = owner}, ttl)
return {'ok', displaced and displaced.key or ''}
