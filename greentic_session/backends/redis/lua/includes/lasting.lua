-- Lasting sessions: those without a lifetime, or with one of more than a day. Their records live as
-- long, and whoever removes such a session by plain commands, as the reference does, leaves its
-- record behind. So {ns}:lasting:sessions, a sorted set, names these sessions, each with the time of
-- the next check (ms since the epoch), a day later. Every write of a lasting session checks a few
-- that are due. The set lives as long as the longest. On a cluster there is none: only we write
-- there.
-- @include record
-- @include wait_index
local CHECK_AFTER_MS, CHECKED_AT_MOST = 86400000, '2'

local function is_lasting(ttl) return ttl == -1 or ttl > CHECK_AFTER_MS end

-- Note a lasting session, or that it lives today.
local function note_lasting(key, ttl)
  if in_slot() then return end
  local set = ns .. LASTING
  local left = redis.call('PTTL', set) -- -2 where there is none
  if type(redis.pcall('ZADD', set, now() + CHECK_AFTER_MS, key)) == 'table' then return end -- not ours
  if ttl == -1 then
    if left ~= -1 then redis.call('PERSIST', set) end
  elseif left ~= -1 and left < ttl then
    redis.call('PEXPIRE', set, string.format('%.0f', ttl))
  end
end

-- Take a session out: its life ends within a day, or it is removed.
local function unnote_lasting(key)
  if not in_slot() then redis.pcall('ZREM', ns .. LASTING, key) end
end

-- Up to two sessions that are due for a check.
local function due_lasting()
  local due = redis.pcall('ZRANGEBYSCORE', ns .. LASTING, '-inf', now(), 'LIMIT', '0', CHECKED_AT_MOST)
  return due.err and {} or due
end
