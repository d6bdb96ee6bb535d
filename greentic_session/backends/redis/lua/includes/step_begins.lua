-- What stands before a step in the slot of a user on a cluster, and lets it be undone. The last of
-- ARGV, with spaces between and "-" for none: nonce of the user's entry in the index of what is
-- ready, in how many ms it is due at most, for how many it lives at least; nonce of a reservation of
-- a session key, and for how many ms its owner pointer lives; the nonce of an entry by which a
-- looker came here; "late" where the caller was cut off, and the step cannot be taken again: then it
-- is not refused while any entry is there. See ready_entries.py.
local server, slot = redis, ARGV[1]
local allowed = {}
for word in table.remove(ARGV):gmatch('%S+') do allowed[#allowed + 1] = word ~= '-' and word end
local begun = allowed[1] and server.call('TIME')
begun = begun and begun[1] * 1000 + begun[2] / 1000
local notes, noted, refused = nil, {}, nil

-- Commands that write nothing. What is not here is a write to its first key, or to all of them.
local READS = {}
for name in ([[EXISTS GET GETRANGE HEXISTS HGET HGETALL HLEN HMGET INFO KEYS MGET PTTL SCARD SISMEMBER SMEMBERS SMISMEMBER
  SORT SRANDMEMBER SSCAN STRLEN TIME TYPE ZCARD ZCOUNT ZRANGE ZRANGEBYSCORE ZSCAN ZSCORE]]):gmatch('%u+') do READS[name] = true end
local KEYS_OF = {DEL = math.huge, UNLINK = math.huge, RENAME = 2, RENAMENX = 2, COPY = 2}

-- Note how a key is before it is first written. (What is staged goes, with the step that is undone:
-- the next one has another text staged.)
local function note(key)
  if noted[key] then return end
  noted[key] = true
  local is_staged = key:find(slot .. ':staged:', 1, true) == 1
  notes[#notes + 1] = {key, not is_staged and server.call('DUMP', key), server.call('PTTL', key)}
end

local function note_keys(name, ...)
  if not notes or READS[name] then return end
  local words = {...}
  for number = 1, math.min(KEYS_OF[name] or 1, #words) do note(words[number]) end
end

local redis = setmetatable({}, {__index = server})

function redis.call(...)
  note_keys(...)
  return server.call(...)
end

function redis.pcall(...)
  note_keys(...)
  return server.pcall(...)
end

-- From now on this step may be refused: all that it writes can be undone.
function redis.may_be_refused() notes = notes or {} end

-- The nonce of a reservation that this step may use, and the reach of that.
function redis.reservation() return allowed[4], tonumber(allowed[5] or 0) end

-- Refuse this step: once it has ended, all is as it was, and this is its answer.
function redis.refuse(answer) refused = refused or answer end

local function undo()
  for _, one in ipairs(notes) do
    local key, value, ttl = one[1], one[2], one[3]
    if not value then
      server.call('DEL', key)
    else
      server.call('RESTORE', key, ttl == -1 and 0 or math.max(ttl, 1), value, 'REPLACE') -- 0 is for ever
    end
  end
end
