-- Store a new session, and make it its user's latest.
-- KEYS[1]  the session
-- ARGV     namespace, session key, text, its SHA-1, owner, pointer owner or "", lifetime in ms or
--          -1; on a cluster the nonce and the reach of its reservation
-- Returns  {"stored"}; {"exists"} if a live session has the key; {"barred"} if the reservation is
--          over
-- @include session
local key, text, sha, owner, pointer, ttl = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7])
local nonce, reach = ARGV[8], tonumber(ARGV[9])
if redis.call('EXISTS', session_key(key)) == 1 then return {'exists'} end
if nonce and redis.call('EXISTS', barred_key(nonce)) == 1 then return {'barred'} end
redis.call('HLEN', record_key(key))
if pointer ~= '' then redis.call('STRLEN', pointer_key(pointer)) end

redis.call('SET', session_key(key), text) -- first: a full server refuses a script only before it has written
discard_leftovers(key)
redis.call('HSET', record_key(key), OWNER, owner, SCOPE_HASH, '', TEXT_SHA, sha, TEXT_BYTES, #text, MOVED, '', UNSEEN, '')
if nonce then
  redis.call('HSET', record_key(key), NONCE, nonce, POINTER_REACH, string.format('%.0f', reach - math.max(ttl, 0)))
end
if pointer ~= '' then
  redis.call('HSET', record_key(key), LATEST_OF, pointer)
  redis.call('SET', pointer_key(pointer), key)
  expire(pointer_key(pointer), ttl)
end
expire(session_key(key), ttl)
expire_record(key, ttl)
if redis.pcall('SREM', set_key(owner), key) == 1 then sync_or_repair(owner) end -- of a wait that expired under this key
if is_lasting(ttl) then check_lasting(due_lasting()) end
return {'stored'}
