-- Lasting sessions: those without a lifetime, or with one of more than a day. Their records live as
-- long, and whoever removes such a session by plain commands, as the reference does, leaves its
-- record behind. So {ns}:lasting:sessions, a sorted set, names these sessions, each with the time
-- of the next check (ms since the epoch), a day later. Every write that names one checks a few that
-- are due. The set lives as long as the longest. On a cluster there is none: only we write there.
-- @include record
-- @include wait_index
-- @inline
local CHECKED_AT_MOST = '2'

-- Let the schedule live as long as a session that it names; `left` is what PTTL says of it, if the
-- caller knows.
local function extend_schedule(ttl, left)
  local set = ns .. LASTING
  left = left or redis.call('PTTL', set)
  if left ~= -1 and ttl == -1 then
    redis.call('PERSIST', set)
  elseif left ~= -1 and left < ttl then
    redis.call('PEXPIRE', set, string.format('%.0f', ttl))
  end
end

-- Note a lasting session, or that it lives today. Of its record the caller may know that it is
-- "there", or that it is "noted" there already.
local function note_lasting(key, ttl, record)
  if in_slot() then return end
  local left = redis.call('PTTL', ns .. LASTING) -- -2: there is none
  if type(redis.pcall('ZADD', ns .. LASTING, now() + CHECK_AFTER_MS, key)) == 'table' then -- not ours
    if record == 'noted' then redis.call('HDEL', record_key(key), NOTED) end -- else nobody would try again
    return
  end
  if left ~= -2 then
    extend_schedule(ttl, left)
  elseif ttl ~= -1 then
    redis.call('PEXPIRE', ns .. LASTING, string.format('%.0f', ttl))
  end
  if record == 'noted' or (not record and redis.call('EXISTS', record_key(key)) == 0) then return end
  redis.pcall('HSET', record_key(key), NOTED, '1')
end

-- Take a session out: its life ends within a day, or it is removed.
local function unnote_lasting(key)
  if in_slot() then return end
  redis.pcall('ZREM', ns .. LASTING, key)
  redis.pcall('HDEL', record_key(key), NOTED)
end

-- Up to two sessions that are due for a check.
local function due_lasting()
  local known_type, due = pcall(ended_in, ns .. LASTING, CHECKED_AT_MOST)
  return known_type and due or {}
end
