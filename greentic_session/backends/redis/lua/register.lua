-- Store a session and make it the one wait of a scope.
-- KEYS[1]  the scope
-- ARGV     namespace, session key, text, its SHA-1, owner, SHA-256 of the scope, the scope as JSON, lifetime in ms or -1,
--          "fail" or "replace", claim token or ""
-- Returns  {"ok", key of the displaced session or ""}, {"over"} (the claim), {"corrupt"}, {"mismatch", part}, {"held"}
local key, text, sha, owner, hash, scope, ttl = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8])
local on_conflict, token = ARGV[9], ARGV[10]
check_types(owner, hash, key)
local session = look(key)
local parked_at = token ~= '' and session and claimed_at(key, token)
if token ~= '' and not parked_at then return {'over'} end
if session then
  if not session.owner then return {'corrupt'} end
  local part = difference(session.owner, owner)
  if part then return {'mismatch', part} end
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
redis.call('HSET', own_key(key), 'o', owner, 's', hash, 'w', scope, 'h', sha, 'f', '', 'c', '')
redis.call('SET', scope_key(owner, hash), key)
redis.call('SADD', set_key(owner), key)
set_lifetime({key = key, o = owner, s = hash, p = session and session.p, owner = owner}, ttl)
return {'ok', displaced and displaced.key or ''}
