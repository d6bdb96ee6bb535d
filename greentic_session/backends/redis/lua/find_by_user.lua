-- Find the only wait of a user, else the user's latest session.
-- KEYS[1]  the user's set
-- ARGV     namespace, owner
-- Returns  {session key, text}; {} if the user has several waits; nil if there is nothing
local owner = ARGV[2]
local only
for _, key in ipairs(redis.call('SMEMBERS', set_key(owner))) do
  local session = look(key)
  if session and is_wait(session, owner) then
    if only then return {} end
    only = session
  end
end
if only then return {only.key, text_of(only)} end
local key = redis.call('GET', pointer_key(owner))
if not key then return nil end
local session = look(key)
if session and aligned(owner, session.owner) and (session.p == owner or not is_known(session)) then
  return {key, text_of(session)}
end
redis.pcall('DEL', pointer_key(owner))
return nil
