-- @include _header
-- @include _partition
-- Functions of the scripts for one conversation.
-- KEYS   the partition's index by recency, its index by expiry, header, messages
-- ARGV   id, the newest schema version that can be read, ...
--
-- Every script reads and decides first, then writes, so that no write is partial. Commands that a
-- full server refuses are the first writes.
local head, messages, id, schema = KEYS[3], KEYS[4], ARGV[1], ARGV[2]

-- Set when a conversation expires (ms since the Unix epoch; nil: never), at the same moment for
-- header, messages and index.
local function set_expiry(expiry)
  if expiry then
    expiry = digits(expiry)
    redis.call('PEXPIREAT', head, expiry)
    redis.call('PEXPIREAT', messages, expiry)
    redis.call('ZADD', ends, expiry, id)
  else
    redis.call('PERSIST', head)
    redis.call('PERSIST', messages)
    redis.call('ZREM', ends, id)
  end
  set_index_lifetime()
end

-- Set the lifetime (ms; "": for ever), from now on.
local function set_lifetime(ttl)
  set_expiry(ttl ~= '' and now() + ttl or nil)
end

-- Set the rest of a lifetime (ms), as PTTL returned it, for header, messages and index. PTTL comes
-- before the time, so that none of them expires earlier than before.
local function keep_lifetime(ttl)
  set_expiry(ttl >= 0 and now() + ttl or nil)
end

-- Set the time of the last change in the index.
local function set_recency(updated)
  -- The id was missing, as after somebody removed the index: the index by expiry needs it, too.
  if redis.call('ZADD', recent, '-' .. updated, id) == 1 then keep_lifetime(redis.call('PTTL', head)) end
end

-- Renew the lifetime (ms) after an operation; "": the current one stays.
local function renew(ttl, updated)
  if ttl == '' then return end
  set_lifetime(ttl)
  if redis.call('ZADD', recent, '-' .. updated, id) == 1 then set_index_lifetime() end -- as in `set_recency`
end

-- Call a command on a key with the arguments ARGV[from] to ARGV[to], in batches: Lua cannot pass
-- many arguments in one call.
local function call_in_batches(command, key, from, to)
  local answer
  for start = from, to, 1000 do
    answer = redis.call(command, key, unpack(ARGV, start, math.min(start + 999, to)))
  end
  return answer
end
