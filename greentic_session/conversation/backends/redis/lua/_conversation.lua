-- @include _header
-- @include _index
-- What the scripts for one conversation share.
-- KEYS   the partition's index by recency, its index by end, header, messages
-- ARGV   id, the newest schema version that we read, ...
--
-- Every script reads and decides first, then writes: nothing is ever half written. What a full
-- server refuses comes first among the writes.
local head, messages, id, schema = KEYS[3], KEYS[4], ARGV[1], ARGV[2]

-- Let a conversation live until a moment (ms); nil: for ever. Header, messages and index all know
-- the same moment.
local function live_until(last)
  if last then
    last = digits(last)
    redis.call('PEXPIREAT', head, last)
    redis.call('PEXPIREAT', messages, last)
    redis.call('ZADD', ends, last, id)
  else
    redis.call('PERSIST', head)
    redis.call('PERSIST', messages)
    redis.call('ZREM', ends, id)
  end
  settle()
end

-- Begin a lifetime of so many ms; "": for ever.
local function begin(ttl)
  live_until(ttl ~= '' and now() + ttl or nil)
end

-- What is left of a lifetime goes on. It was looked up before the clock, so what lives with it
-- never ends before it.
local function go_on(ttl)
  live_until(ttl >= 0 and now() + ttl or nil)
end

-- File a conversation that was there by its last change.
local function move(updated)
  -- New in the index, as it may be where somebody else has removed that: its end must be filed too.
  if redis.call('ZADD', recent, '-' .. updated, id) == 1 then go_on(redis.call('PTTL', head)) end
end

-- Let a use begin a lifetime of so many ms; "": it does not.
local function use(ttl, updated)
  if ttl == '' then return end
  begin(ttl)
  if redis.call('ZADD', recent, '-' .. updated, id) == 1 then settle() end -- as in `move`
end

-- Call a command on a key with the arguments from a number to another. Lua cannot hand on all of
-- many at once.
local function each(command, key, from, to)
  local answer
  for start = from, to, 1000 do
    answer = redis.call(command, key, unpack(ARGV, start, math.min(start + 999, to)))
  end
  return answer
end
