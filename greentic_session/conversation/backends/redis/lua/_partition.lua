-- @include index
-- The two sorted sets of a partition, by recency and by end, KEYS[1] and KEYS[2]; see keys.py.
local recent, ends = KEYS[1], KEYS[2]

-- Return up to 16 ids of expired conversations, without the one to be written. A write adds at most
-- one id, so the index does not grow. Call this before any write: it fails if a key of the index
-- has a wrong type.
local function find_expired(written)
  redis.call('ZCARD', recent)
  if redis.call('ZCARD', ends) == 0 then return {} end
  local expired = {}
  for _, id in ipairs(ended_in(ends, 16)) do
    if id ~= written then expired[#expired + 1] = id end
  end
  return expired
end

-- Let the index expire with the last one of its conversations, or never.
local function set_index_lifetime()
  local expiring = redis.call('ZCARD', ends)
  if expiring < redis.call('ZCARD', recent) then
    redis.call('PERSIST', recent)
    if expiring > 0 then redis.call('PERSIST', ends) end
  elseif expiring > 0 then
    local expiry = digits(last_end(ends))
    redis.call('PEXPIREAT', recent, expiry)
    redis.call('PEXPIREAT', ends, expiry)
  end
end

local function remove_from_index(ids)
  if #ids == 0 then return end
  redis.call('ZREM', recent, unpack(ids))
  redis.call('ZREM', ends, unpack(ids))
  set_index_lifetime()
end
