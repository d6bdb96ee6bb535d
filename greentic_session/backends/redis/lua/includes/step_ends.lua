-- What stands behind a step in the slot of a user on a cluster. Where something is ready there, or
-- will be, the index must name this user by then: else the step is undone.
--
-- {ns}:named, a hash, says so: "n", the nonce of the user's entry; "f", by when that is due at the
-- latest, and "u", until when it lives at least (ms since the epoch, by this server's clock).
-- Returns  what the step returns; {"unnamed", in how many ms the entry must be due, for how many it
--          must live, the nonce of one that was given and is barred, or ""}; {"outlives", session
--          key, ms} where an owner pointer would end before its session. To a looker, behind the
--          answer: in how many ms there is something, below 0 where there is; or "" for never
local NEAR, SURE = 2, 1000 -- ms
local NEVER_ENDS = 5 * 365 * 86400000
local answer = step()
if not notes and not allowed[6] then return answer end
if refused then
  undo()
  return refused
end

local at = server.call('TIME')
at = at[1] * 1000 + at[2] / 1000
local named, path = slot .. ':named', slot:match('{(.*)}$')
local places = slot .. ':ready:' .. path:match('^(.*):')
local function ms(value) return string.format('%.0f', value) end
local function moment(value) return string.format('%.3f', value) end

-- When the first of all places is due, and how long the entry must live.
local first = server.call('ZRANGE', places, '0', '0', 'WITHSCORES')
local due, lives = tonumber(first[2] or 'inf'), server.call('PTTL', places)
if lives < 0 then lives = NEVER_ENDS end

local function is_barred(nonce) return server.call('EXISTS', slot .. ':barred:' .. nonce) == 1 end

local function note_entry(nonce, by, ends)
  server.call('HSET', named, 'n', nonce, 'f', moment(by), 'u', moment(ends))
  server.call('PEXPIRE', named, ms(math.max(ends - at, 1)))
end

local function bar(nonce)
  if nonce and not is_barred(nonce) then server.call('SET', slot .. ':barred:' .. nonce, '', 'PX', '120000') end
end

local note_of = server.call('HMGET', named, 'n', 'f', 'u')
local known, by, ends = note_of[1], tonumber(note_of[2] or 'inf'), tonumber(note_of[3] or 0)

if allowed[6] then -- a looker: nobody may count on what is named now any more
  bar(allowed[6])
  bar(known)
  if due == math.huge then
    server.call('DEL', named)
    answer[#answer + 1] = ''
  else
    note_entry(allowed[1], due, begun + tonumber(allowed[3]))
    answer[#answer + 1] = math.floor(due - at)
  end
  return answer
end

if due == math.huge then return answer end
local function is_enough() return known and (by <= math.max(due, at) + NEAR or allowed[7]) and ends >= at + lives - SURE end
if is_enough() then return answer end
local given = allowed[1]
local barred = given and is_barred(given)
if given and not barred then
  local given_by, given_ends = begun + tonumber(allowed[2]), begun + tonumber(allowed[3])
  if known == given then
    by, ends = math.min(by, given_by), math.max(ends, given_ends)
  else
    known, by, ends = given, given_by, given_ends
  end
  if is_enough() then
    note_entry(known, by, ends)
    return answer
  end
end
undo()
-- Twice as long as it must live now, so that the next steps find it living long enough.
return {'unnamed', math.max(math.floor(due - at), 0), math.ceil(2 * lives), barred and given or ''}
