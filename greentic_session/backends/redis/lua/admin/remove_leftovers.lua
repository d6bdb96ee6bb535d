-- Remove leftovers: what leads nowhere among what a purged tenant has left, and its replies.
-- KEYS[1]  the prefix of all keys
-- ARGV     namespace, env, tenant, team or "", user or "", keys without the namespace and the colon
--          after it
-- Returns  {how many were looked at, and no more once it has cost enough; how many were removed}.
--          It may be none that was looked at: of a large set only a part was
-- @include session
local removed, looked, left = 0, 0, false

local function is_meant(owner)
  local env, tenant, team, user = owner:match('^([^:]*):([^:]*):([^:]*):([^:]*)$')
  return env == ARGV[2] and tenant == ARGV[3] and (ARGV[4] == '' or team == ARGV[4]) and (ARGV[5] == '' or user == ARGV[5])
end

local remove = {}

function remove.own(key)
  local owner = redis.call('HGET', record_key(key), OWNER)
  if owner and is_meant(owner) and redis.call('EXISTS', session_key(key)) == 0 then discard_leftovers(key) end
end

function remove.scope(rest)
  local path, hash = rest:match('^(.*):(%x+)$')
  local owner = path and owner_of_path(path)
  if owner and is_meant(owner) then find_wait(owner, hash) end
end

function remove.set(rest)
  if is_meant(owner_of_path(rest)) then left = not repair_index(owner_of_path(rest)) end
end

function remove.mending(rest)
  if is_meant(owner_of_path(rest)) and redis.call('EXISTS', set_at(rest)) == 0 then
    redis.call('DEL', mending_at(rest))
  end
end

function remove.pointer(rest)
  local key = is_meant(owner_of_path(rest)) and redis.call('GET', pointer_at(rest))
  if key and redis.call('EXISTS', session_key(key)) == 0 then redis.call('DEL', pointer_at(rest)) end
end

-- The check that is due goes on where writes would: what it names may be gone for good.
function remove.lasting()
  check_lasting(due_lasting())
end

function remove.claim() end -- it goes with the record, or ends by itself

-- Replies and the ids of deliveries are not looked at, but forgotten: whoever is purged has none.
function remove.replies(rest)
  local path, hash = rest:match('^(.*):(%x+)$')
  local owner = path and owner_of_path(path)
  if not owner or not is_meant(owner) then return end
  -- @include places
  local wait, inbox = open_place(owner, hash)
  local gone = inbox.replies
  for _, received in ipairs(gone) do note(inbox, received, nil) end
  inbox.replies = {}
  if wait then refresh(wait) else prune(inbox) end
end

function remove.delivered(rest)
  local path, name = rest:match('^(.*):(%x+)$')
  if path and is_meant(owner_of_path(path)) then redis.call('DEL', delivered_key(owner_of_path(path), name)) end
end

function remove.kept(rest)
  if is_meant(owner_of_path(rest)) then redis.call('DEL', kept_key(owner_of_path(rest))) end
end

local REMOVE = {
  [RECORD] = remove.own, [CLAIM] = remove.claim, [SCOPE] = remove.scope, [WAITS] = remove.set, [INDEX] = remove.set,
  [POINTER] = remove.pointer, [MENDING] = remove.mending, [LASTING] = remove.lasting,
  [REPLIES] = remove.replies, [DELIVERED] = remove.delivered, [KEPT] = remove.kept,
}
require_every(REMOVE, OF_USER, OF_PLACES)
for _, one in ipairs(OF_SESSION) do
  if one.kind ~= SESSION and not one.stays then require_every(REMOVE, {one}) end
end
for number = 6, #ARGV do
  if left or is_enough() then break end
  local name = ARGV[number]
  local kind, rest = kind_of(name)
  if REMOVE[kind] then
    local full = ns .. ':' .. name
    local there = redis.call('EXISTS', full)
    pcall(REMOVE[kind], rest) -- something of a wrong type is nothing of ours
    removed = removed + there - redis.call('EXISTS', full)
  end
  if not left then looked = looked + 1 end
end
return {looked, removed}
