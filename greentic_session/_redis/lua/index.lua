-- @include now
-- An index by end: a sorted set of names, each with the moment when it ends (ms since the epoch, or
-- inf for never). Sessions have one of a user's waits and one of what lasts, conversations one of
-- a partition.

-- A number without exponent, which Redis does not read in a large number.
local function digits(number) return string.format('%.0f', number) end

-- When it ends what lives so long (ms; -1 for ever).
local function end_of(ttl) return ttl == -1 and 'inf' or now() + ttl end

-- Up to so many names that have ended, those first that ended first. Fails where it is no index.
local function ended_in(index, most)
  return redis.call('ZRANGEBYSCORE', index, '-inf', '(' .. digits(now()), 'LIMIT', '0', most)
end

-- When the last one of them ends (infinite for never); 0 if there is none, or it is no index.
local function last_end(index)
  local last = redis.pcall('ZRANGE', index, '-1', '-1', 'WITHSCORES')
  return not last.err and tonumber(last[2]) or 0
end
