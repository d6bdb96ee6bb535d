-- Let an entry of the index of what is ready be due later, or take it out, on a cluster, unless it
-- has another nonce by now. See ready_entries.py.
-- KEYS[1]  the prefix of the index
-- ARGV     namespace, the owner's path, the nonce that it has, the one that it takes, when it is
--          due (this server's time in ms); "" to take it out
-- Returns  1; 0 if it is another one
-- @include ready_index
local path = ARGV[2]
redis.call('ZREM', ready_key(LOOKED), path)
if redis.call('HGET', ready_key(NONCES), path) ~= ARGV[3] then return 0 end
if ARGV[5] == '' then
  forget_entry(path)
  return 1
end
local of_tenant, team, user = path:match('^([^:]*:[^:]*):([^:]*):(.*)$')
redis.call('HSET', ready_key(NONCES), path, ARGV[4])
put_name(of_tenant, team, user, tonumber(ARGV[5]), tonumber(redis.call('ZSCORE', ready_key(ENDS), path) or instant()))
return 1
