-- The index of a user's waits, {ns}:scopes:{env}:{tenant}:{team or -}:{user}: a sorted set of the scopes (their SHA-256)
-- where our sessions wait, each with the moment when that wait expires (ms since the epoch, or inf). It tells without a look
-- at the waits how long the user's set must live, and whether a member of it has expired. It is ours alone: where the
-- reference has changed the set, their lengths differ, and `mend` in _rules.lua looks at every member.
local moment

local function now()
  if not moment then
    local time = redis.call('TIME')
    moment = time[1] * 1000 + math.floor(time[2] / 1000)
  end
  return moment
end

local function end_of(ttl)
  return ttl == -1 and 'inf' or now() + ttl
end

local function expire(key, ttl)
  -- Beyond 2^52 ms (the reference may go there) a number is written with an exponent, which Redis does not read.
  if ttl == -1 then redis.call('PERSIST', key) else redis.call('PEXPIRE', key, math.min(math.max(ttl, 1), 2 ^ 52)) end
end

-- Give a key a lifetime, if it has another one.
local function keep(key, ttl)
  local kept = redis.call('PTTL', key)
  -- 5 ms: the clock goes on within a script
  if (kept == -1) ~= (ttl == -1) or math.abs(kept - ttl) > 5 then expire(key, ttl) end
end

-- Let set and index live as long as the longest wait. False if some wait has expired, or the set holds what we do not know.
local function settle(set, index)
  local waits = redis.call('ZCARD', index)
  if waits ~= redis.call('SCARD', set) then return false end
  if waits == 0 then return true end
  local last = redis.call('ZRANGE', index, '-1', '-1', 'WITHSCORES')
  local ttl = last[2] == 'inf' and -1 or math.max(last[2] - now(), 0) -- not -1: that one ended a millisecond ago
  if ttl == 0 or (waits > 1 and redis.call('ZCOUNT', index, '-inf', now()) > 0) then return false end
  keep(set, ttl)
  keep(index, ttl)
  return true
end
