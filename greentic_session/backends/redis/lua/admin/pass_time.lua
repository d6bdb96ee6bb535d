-- Let time pass for tests: every lifetime gets shorter, and every moment that is written down comes
-- nearer.
-- KEYS[1]  the prefix of the keys
-- ARGV     the same, without special characters of a pattern; how many ms
-- Returns  how many keys were looked at
local passed = tonumber(ARGV[2])

local function nearer(text)
  local moment = tonumber(text)
  return moment and moment > 0 and moment < math.huge and string.format('%.3f', moment - passed) or text
end

local function each_field(key, change)
  local found = redis.call('HGETALL', key)
  for at = 1, #found, 2 do redis.call('HSET', key, found[at], change(found[at], found[at + 1])) end
end

local function sorted_set(key)
  local found = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  for at = 1, #found, 2 do
    if found[at + 1] ~= 'inf' then redis.call('ZADD', key, nearer(found[at + 1]), found[at]) end
  end
end

local function record(key)
  each_field(key, function(field, value)
    if field == 'd' or field == 't' or field == 'q' then return nearer(value) end
    if field == 'b' and (tonumber(value) or 0) > 0 then return string.format('%.0f', value - passed / 1000) end
    if field == 'i' then
      return (value:gsub('^(%d+ %S* deadline:)(.*)$', function(front, moment) return front .. nearer(moment) end))
    end
    return value
  end)
end

local function inbox(key)
  local head = cmsgpack.unpack(redis.call('HGET', key, '#'))
  local function come(list, at)
    if list[at] > 0 then list[at] = list[at] - passed end
  end
  for _, at in ipairs({2, 4, 5}) do come(head, at) end
  for number = 8, #head do
    for _, at in ipairs({3, 4, 6}) do come(head[number], at) end
  end
  redis.call('HSET', key, '#', cmsgpack.pack(head))
end

local function kept(key)
  each_field(key, function(_, value)
    local ends = cmsgpack.unpack(value)
    for at = 1, #ends, 2 do ends[at] = ends[at] - passed end
    return cmsgpack.pack(ends)
  end)
end

local keys = redis.call('KEYS', ARGV[1] .. '*')
for _, key in ipairs(keys) do
  local kind = redis.call('TYPE', key).ok
  local function is(word) return key:find(word, 1, true) ~= nil end
  if kind == 'zset' and (is(':conv:ends:') or is(':scopes:') or is(':lasting:') or is(':ready:')) then sorted_set(key) end
  if kind == 'hash' then
    if is(':own:') then record(key)
    elseif is(':replies:') then inbox(key)
    elseif is(':kept:') then kept(key)
    elseif key:find('}:named', 1, true) then
      each_field(key, function(field, value) return field == 'n' and value or nearer(value) end)
    elseif is(':ready:served') then each_field(key, function(_, value) return nearer(value) end) end
  end
  local ttl = redis.call('PTTL', key)
  if ttl >= 0 then redis.call('PEXPIRE', key, ttl - passed) end
end
return #keys
