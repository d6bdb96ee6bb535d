-- List the waits of a user.
-- KEYS     the user's set, its index
-- ARGV     namespace, owner, how the owner's payloads begin, how the owner's scope keys begin; "" for a thorough look
-- Returns  session keys, in no order; if one is there twice, only a thorough look tells what waits
local set, index, front, scopes = KEYS[1], KEYS[2], ARGV[3], ARGV[4]
local waits = redis.call('SCARD', set)
if scopes ~= '' and redis.call('ZCARD', index) == waits then
  -- SORT looks up where each scope leads within Redis: what is left to do in Lua is one look at each payload. (Redis counts it
  -- among the commands that write, so a replica and a full server refuse it.)
  local found, call = redis.pcall('SORT', index, 'BY', 'nosort', 'GET', scopes .. '*'), redis.call
  local session, last = ARGV[1] .. ':session:', tostring(#front - 1) -- a number would be made a string for each
  local good = not found.err
  if not good then -- on a cluster SORT looks nothing up
    found, good = {}, true
    for number, hash in ipairs(call('ZRANGE', index, '0', '-1')) do found[number] = call('GET', scopes .. hash) end
  end
  for number = 1, #found do
    local key = found[number]
    if not key or call('GETRANGE', session .. key, '0', last) ~= front then good = false break end
  end
  -- Each must be in the set, too: the reference may have taken one out, and left the scope key that leads to it.
  for start = 1, good and #found or 0, 1000 do
    for _, is_there in ipairs(call('SMISMEMBER', set, unpack(found, start, math.min(start + 999, #found)))) do
      good = good and is_there == 1
    end
  end
  if good then return found end
end
-- @include _rules
local keys = {}
for number, session in ipairs(mend(ARGV[2], true)) do keys[number] = session.key end
return keys
