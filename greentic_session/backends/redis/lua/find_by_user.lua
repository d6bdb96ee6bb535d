-- Find the only wait of a user, else the user's latest session.
-- KEYS[1]  the user's set
-- ARGV     namespace, owner
-- Returns  {session key, text}; {} if the user has several waits; nil if there is nothing
-- @include _rules
local owner = ARGV[2]
redis.call('SCARD', set_key(owner))
local waits = mend(owner, true)
if #waits > 1 then return {} end
if #waits == 1 then return {waits[1].key, text_of(waits[1])} end
local key = redis.call('GET', pointer_key(owner))
if not key then return nil end
local session = look(key)
if session and reaches(owner, session.owner) and (session.p == owner or not session.p or not is_known(session)) then
  return {key, text_of(session)}
end
redis.pcall('DEL', pointer_key(owner))
return nil
