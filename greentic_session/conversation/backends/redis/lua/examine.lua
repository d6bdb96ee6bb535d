-- Look at some keys of conversations, and tell what does not agree. Changes nothing.
-- KEYS[1]  the front of all keys of conversations
-- ARGV     that front, keys without it
-- Returns  for each finding: its name, the key; inspection.py says what the names mean
local front, found = ARGV[1], {}
local SLACK = 1000 -- ms; what ends so soon is not looked at

local function tell(name, key)
  found[#found + 1] = name
  found[#found + 1] = key
end

local check = {}

function check.head(name, partition, id)
  local head = front .. name
  redis.call('HLEN', head)
  local ttl, listed = redis.call('PTTL', head), redis.call('ZSCORE', front .. 'recent:' .. partition, id)
  if ttl == -2 or (ttl ~= -1 and ttl <= SLACK) then return end
  if not listed then tell('conversation_unlisted', 'conv:' .. name) end
  local messages = redis.call('PTTL', front .. 'messages:' .. partition .. ':' .. id)
  if messages ~= -2 and ((messages == -1) ~= (ttl == -1) or math.abs(messages - ttl) > SLACK) then
    tell('conversation_lifetimes', 'conv:' .. name)
  end
end

function check.messages(name, partition, id)
  redis.call('LLEN', front .. name)
  local ttl = redis.call('PTTL', front .. name)
  if ttl == -2 or (ttl ~= -1 and ttl <= SLACK) then return end
  if redis.call('EXISTS', front .. 'head:' .. partition .. ':' .. id) == 0 then tell('conversation_headless', 'conv:' .. name) end
end

for number = 2, #ARGV do
  local name = ARGV[number]
  local kind, partition, id = name:match('^(%a+):([^:]*:[^:]*:[^:]*):(.*)$')
  if check[kind] then
    if not pcall(check[kind], name, partition, id) then tell('type', 'conv:' .. name) end
  elseif name:find('^recent:') or name:find('^ends:') then
    if redis.call('TYPE', front .. name).ok ~= 'zset' then tell('type', 'conv:' .. name) end
  else
    tell('unknown', 'conv:' .. name)
  end
end
return found
