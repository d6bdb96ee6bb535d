-- The wait at a scope where all is as usual, in as few commands as it takes: the payload begins with `front`, the JSON that
-- names the owner; our record says that the session waits there; and the user's set outlives it. That is what `find` in
-- _rules.lua would find out, too.
-- Returns session key, text, lifetime in ms; false if nothing is there; nil if it is for the rules to say.
local function usual(ns, scope, set, owner, front, hash)
  local key = redis.call('GET', scope)
  if not key then return false end
  local text = redis.call('GET', ns .. ':session:' .. key)
  if not text or text:sub(1, #front) ~= front then return nil end
  local own = redis.call('HMGET', ns .. ':own:' .. key, 'o', 's')
  if own[1] ~= owner or own[2] ~= hash then return nil end
  local ttl, kept = redis.call('PTTL', ns .. ':session:' .. key), redis.call('PTTL', set)
  if kept == -1 or (ttl ~= -1 and kept >= ttl - 5) then return key, text, ttl end
  return nil
end
