-- Find inconsistencies at some keys of conversations. Writes nothing.
-- KEYS[1]  the prefix of all keys of conversations
-- ARGV     that prefix, keys without it
-- Returns  for each finding: its name, the key; inspector.py explains the names
local prefix, found = ARGV[1], {}
local SLACK = 1000 -- ms; keys that expire so soon are left out

local function tell(name, key)
  found[#found + 1] = name
  found[#found + 1] = key
end

local check = {}

function check.head(name, partition, id)
  local head = prefix .. name
  redis.call('HLEN', head)
  local ttl, listed = redis.call('PTTL', head), redis.call('ZSCORE', prefix .. 'recent:' .. partition, id)
  if ttl == -2 or (ttl ~= -1 and ttl <= SLACK) then return end
  if not listed then tell('conversation_unlisted', 'conv:' .. name) end
  local messages = redis.call('PTTL', prefix .. 'messages:' .. partition .. ':' .. id)
  if messages ~= -2 and ((messages == -1) ~= (ttl == -1) or math.abs(messages - ttl) > SLACK) then
    tell('conversation_lifetimes', 'conv:' .. name)
  end
end

function check.messages(name, partition, id)
  redis.call('LLEN', prefix .. name)
  local ttl = redis.call('PTTL', prefix .. name)
  if ttl == -2 or (ttl ~= -1 and ttl <= SLACK) then return end
  if redis.call('EXISTS', prefix .. 'head:' .. partition .. ':' .. id) == 0 then tell('conversation_headless', 'conv:' .. name) end
end

for number = 2, #ARGV do
  local name = ARGV[number]
  local kind, partition, id = name:match('^(%a+):([^:]*:[^:]*:[^:]*):(.*)$')
  if check[kind] then
    if not pcall(check[kind], name, partition, id) then tell('type', 'conv:' .. name) end
  elseif name:find('^recent:') or name:find('^ends:') then
    if redis.call('TYPE', prefix .. name).ok ~= 'zset' then tell('type', 'conv:' .. name) end
  else
    tell('unknown', 'conv:' .. name)
  end
end
return found
