-- List the waits of a user.
-- KEYS[1]  the user's set
-- ARGV     namespace, owner
-- Returns  session keys, in no order
redis.call('SCARD', set_key(ARGV[2]))
local keys = {}
for number, session in ipairs(mend(ARGV[2], true)) do keys[number] = session.key end
return keys
