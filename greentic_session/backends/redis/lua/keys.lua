-- List the waits of a user.
-- KEYS[1]  the user's set
-- ARGV     namespace, owner
-- Returns  session keys, in no order
local owner = ARGV[2]
local waits = {}
for _, key in ipairs(redis.call('SMEMBERS', set_key(owner))) do
  local session = look(key)
  if session and is_wait(session, owner) then
    waits[#waits + 1] = key
  else
    redis.pcall('SREM', set_key(owner), key)
    if not session then forget(key) end
  end
end
return waits
