-- Count some sessions for administration. Changes nothing.
-- KEYS[1]  the prefix of all session keys
-- ARGV     namespace, env, tenant, team, user (each "" for all), how many ms are soon, session keys
-- Returns  {how many were looked at: at least one, and no more once it has cost enough}, and for
--          each "env:tenant:team:flow" among them: that, sessions, waits, those that end soon,
--          bytes of their texts, waits that are claimed, waits that are due soon, ready, for how
--          many ms the first of those has been, overdue, put off, and the replies at their places.
--          A session of which nobody can tell whose it is counts for ""
-- @include session
local tallies, places, soon, looked = {}, {}, tonumber(ARGV[6]), 0
local HEAD = '2047' -- of a text, in which its flow is looked for
local FLOW = '},"flow_id":"([%w._-]+)"'

-- The flow in a text; '' where nobody can tell. Nothing before it reads alike: within a string the
-- quotes are escaped.
local function flow_of(session)
  return session.head:match(FLOW) or redis.call('GETRANGE', session_key(session.key), '0', HEAD):match(FLOW) or ''
end

-- Made once, where a session needs it: to make its functions takes as long as to look at a session.
local look
local function make_look()
  -- @include operators
  return look_at
end

-- What takes part in replies and deadlines.
local function count_part(tally, session)
  look = look or make_look()
  local told, replies = look(session)
  if told.deadline and told.deadline > 0 and told.deadline <= soon then tally[7] = tally[7] + 1 end
  if told.ready then tally[8], tally[9] = tally[8] + 1, math.max(tally[9], told.ready) end
  if told.is_overdue then tally[10] = tally[10] + 1 end
  if told.put_off > 0 then tally[11] = tally[11] + 1 end
  tally[12] = tally[12] + replies
end

local function count(session)
  local owner = session.owner or ':::'
  local env, tenant, team, user = owner:match('^([^:]*):([^:]*):([^:]*):([^:]*)$')
  if ARGV[2] ~= '' and (env ~= ARGV[2] or tenant ~= ARGV[3]) then return end
  if (ARGV[4] ~= '' and team ~= ARGV[4]) or (ARGV[5] ~= '' and user ~= ARGV[5]) then return end
  local name = session.owner and env .. ':' .. tenant .. ':' .. team .. ':' .. flow_of(session) or ''
  local tally = tallies[name]
  if not tally then
    tally = {name, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
    tallies[name], places[#places + 1] = tally, tally
  end
  tally[2] = tally[2] + 1
  local ends_soon = session.ttl ~= -1 and session.ttl <= soon
  if session.owner and user ~= '' and redis.pcall('SISMEMBER', set_key(owner), session.key) == 1
    and is_wait(session, owner) then
    tally[3] = tally[3] + 1
    if redis.call('EXISTS', claim_key(session.key)) == 1 then tally[6] = tally[6] + 1 end
    if session.place then count_part(tally, session)
    elseif ends_soon then tally[7] = tally[7] + 1 end
  end
  if ends_soon then tally[4] = tally[4] + 1 end
  tally[5] = tally[5] + redis.call('STRLEN', session_key(session.key))
end

for number = 7, #ARGV do
  if is_enough() then break end
  looked = looked + 1
  local read, session = pcall(load, ARGV[number])
  if read and session then count(session) end
end
return {looked, places}
