-- Store a new session, and make it its user's latest.
-- KEYS[1]  the session
-- ARGV     namespace, session key, text, its SHA-1, owner, pointer owner or "", lifetime in ms or -1; on a cluster the nonce
--          and the reach of its reservation
-- Returns  1; 0 if a live session has the key; "barred" if the reservation is over
-- @include _rules
local key, text, sha, owner, pointer, ttl = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7])
local nonce, reach = ARGV[8], tonumber(ARGV[9])
if redis.call('EXISTS', session_key(key)) == 1 then return 0 end
if nonce and redis.call('EXISTS', barred_key(nonce)) == 1 then return 'barred' end
redis.call('HLEN', own_key(key))
if pointer ~= '' then redis.call('STRLEN', pointer_key(pointer)) end

redis.call('SET', session_key(key), text)
redis.call('DEL', own_key(key), claim_key(key))
redis.call('HSET', own_key(key), 'o', owner, 's', '', 'h', sha, 'n', #text, 'f', '', 'c', '')
if nonce then redis.call('HSET', own_key(key), 'g', nonce, 'u', string.format('%.0f', reach - math.max(ttl, 0))) end
expire(session_key(key), ttl)
if pointer ~= '' then
  redis.call('HSET', own_key(key), 'p', pointer)
  redis.call('SET', pointer_key(pointer), key)
  expire(pointer_key(pointer), ttl)
end
expire(own_key(key), ttl)
if redis.pcall('SREM', set_key(owner), key) == 1 then settle_or_mend(owner) end -- of a wait that expired under this key
return 1
