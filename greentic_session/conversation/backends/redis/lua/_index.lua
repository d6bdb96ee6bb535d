-- @include now
-- A partition's two sorted sets, KEYS[1] and KEYS[2]; see keys.py.
local recent, ends = KEYS[1], KEYS[2]

-- Lua and Redis would write a large number with an exponent, which Redis does not read.
local function digits(number)
  return string.format('%.0f', number)
end

-- Some ids of conversations that have expired, without the one that is to be written; to be asked
-- before anything is written: it fails if an index is of a wrong type. A write adds one id at most,
-- and removes up to 16.
local function find_dead(written)
  redis.call('ZCARD', recent)
  if redis.call('ZCARD', ends) == 0 then return {} end
  local dead = {}
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', '(' .. digits(now()), 'LIMIT', 0, 16)) do
    if id ~= written then dead[#dead + 1] = id end
  end
  return dead
end

-- Let the index live as long as the longest conversation in it: for ever, if one of them does.
local function settle()
  local mortal = redis.call('ZCARD', ends)
  if mortal < redis.call('ZCARD', recent) then
    redis.call('PERSIST', recent)
    if mortal > 0 then redis.call('PERSIST', ends) end
  elseif mortal > 0 then
    local last = redis.call('ZRANGE', ends, -1, -1, 'WITHSCORES')[2]
    redis.call('PEXPIREAT', recent, last)
    redis.call('PEXPIREAT', ends, last)
  end
end

local function forget(ids)
  if #ids == 0 then return end
  redis.call('ZREM', recent, unpack(ids))
  redis.call('ZREM', ends, unpack(ids))
  settle()
end
