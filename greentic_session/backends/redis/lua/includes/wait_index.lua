-- @include index
-- The index of a user with several waits, {ns}:scopes:{env}:{tenant}:{team or -}:{user}: a sorted
-- set of the scopes (their SHA-256) where our sessions wait, each with the moment when that wait
-- expires (ms since the epoch, or inf). It tells without reading the waits how long the user's set
-- must live, and whether a member of it has expired. It is ours alone: where the reference has
-- changed the set, their lengths differ, and `repair_index` in user_waits.lua reads the members. Of
-- a user with one wait, as nearly all are, reading that one tells as much, and there is no index to
-- keep.

local function expire(key, ttl)
  -- Beyond 2^52 ms (the reference may go there) a number is written with an exponent, which Redis
  -- does not read.
  if ttl == -1 then redis.call('PERSIST', key) else redis.call('PEXPIRE', key, math.min(math.max(ttl, 1), 2 ^ 52)) end
end

-- Give a key a lifetime, if it has another one.
local function ensure_lifetime(key, ttl)
  local kept = redis.call('PTTL', key)
  -- 5 ms: the clock goes on within a script
  if (kept == -1) ~= (ttl == -1) or math.abs(kept - ttl) > 5 then expire(key, ttl) end
end

-- Put a wait into the set of which so many are members, and say in the index when it ends, unless
-- it is the only one. What the reference may have left there, by clearing waits of ours, goes with
-- the first one; the second begins the index, and `repair_index` adds the first. (If it is no
-- index, `sync_lifetimes` fails.) Returns how many are members now, and whether it is new.
local function add_wait(set, index, members, key, hash, ttl)
  local joined = redis.call('SADD', set, key)
  members = members + joined
  if members < 3 and joined == 1 then redis.call('UNLINK', index) end -- it may be long
  if members > 1 then redis.pcall('ZADD', index, end_of(ttl), hash) end
  return members, joined == 1
end

-- Let set and index live as long as the longest wait. False if some wait has expired, the set holds
-- what we do not know, or only one wait is left: then somebody must look at it. `members` is how
-- many are in the set, if the caller knows.
local function sync_lifetimes(set, index, members)
  local waits = redis.call('ZCARD', index)
  if waits ~= (members or redis.call('SCARD', set)) or waits == 1 then return false end
  if waits == 0 then return true end
  local last = last_end(index)
  local ttl = last == math.huge and -1 or math.max(last - now(), 0) -- not -1: that one ended a millisecond ago
  if ttl == 0 or redis.call('ZCOUNT', index, '-inf', now()) > 0 then return false end
  ensure_lifetime(set, ttl)
  ensure_lifetime(index, ttl)
  return true
end
