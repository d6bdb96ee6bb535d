-- Name a user in the index of what is ready, on a cluster, by a moment at the latest. An entry that
-- is there is shared, or takes another nonce; it is never due later by this. See ready_entries.py.
-- KEYS[1]  the prefix of the index
-- ARGV     namespace, the owner's path, a new nonce, in how many ms it is due at the latest, for
--          how many it lives at least; the nonce that is barred, or ""
-- Returns  {nonce, in how many ms it is due, for how many it lives}
-- @include ready_index
local path, nonce, replaced = ARGV[2], ARGV[3], ARGV[6]
local of_tenant, team, user = path:match('^([^:]*:[^:]*):([^:]*):(.*)$')
local due, ends = instant() + tonumber(ARGV[4]), instant() + tonumber(ARGV[5])
local holder, named = redis.call('HGET', ready_key(NONCES), path), redis.call('ZSCORE', ready_key(of_tenant .. ':' .. team), user)
if named then
  due = math.min(due, tonumber(named))
  ends = math.max(ends, tonumber(redis.call('ZSCORE', ready_key(ENDS), path) or 0))
  if holder and holder ~= replaced then nonce = holder end
end
-- What has ended leads nowhere any more: nobody has come by.
for _, ended in ipairs(redis.call('ZRANGEBYSCORE', ready_key(ENDS), '-inf', written(instant()), 'LIMIT', '0', '2')) do
  if ended ~= path then forget_entry(ended) end
end
local is_first = redis.call('EXISTS', ready_key(NONCES)) == 0
redis.call('HSET', ready_key(NONCES), path, nonce)
redis.call('ZADD', ready_key(ENDS), written(ends), path)
outlive(ready_key(NONCES), is_first, ends + SPARE_MS)
outlive(ready_key(ENDS), is_first, ends + SPARE_MS)
put_name(of_tenant, team, user, due, ends)
return {nonce, math.max(math.ceil(due - instant()), 0), math.floor(ends - instant())}
