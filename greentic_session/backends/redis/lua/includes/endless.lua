-- Sessions without a lifetime. Their records have none either, and whoever removes such a session
-- by plain commands, as the reference does, leaves its record behind. So {ns}:endless:sessions, a
-- sorted set, names these sessions, each with the time of the next check (ms since the epoch), a
-- day later. Every write of a session without a lifetime checks a few that are due. On a cluster
-- there is none: only we write there.
-- @include record
-- @include wait_index
local CHECK_AFTER_MS, CHECKED_AT_MOST = 86400000, '2'

-- Note a session without a lifetime, or that it lives today.
local function note_endless(key)
  if not in_slot() then redis.pcall('ZADD', ns .. ENDLESS, now() + CHECK_AFTER_MS, key) end
end

-- Take a session out: it has a lifetime now, or it is removed.
local function unnote_endless(key)
  if not in_slot() then redis.pcall('ZREM', ns .. ENDLESS, key) end
end

-- Up to two sessions that are due for a check.
local function due_endless()
  local due = redis.pcall('ZRANGEBYSCORE', ns .. ENDLESS, '-inf', now(), 'LIMIT', '0', CHECKED_AT_MOST)
  return due.err and {} or due
end
