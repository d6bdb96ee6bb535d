-- Remove the session of a live claim.
-- KEYS[1]  the claim
-- ARGV     namespace, session key, token, owner as in keys, how the owner's payloads begin
-- Returns  {"removed", on a cluster the nonce of its reservation}, and behind that, or false, the
--          replies that are left over; {"over"} if the claim is
-- @include claims
-- @include record
local key, token, path, prefix = ARGV[2], ARGV[3], ARGV[4], ARGV[5]

-- Where all is as usual: our record says that it waits where it was claimed, it is the owner's, and
-- it is on no cluster. Returns whether it is removed, and whether the user's set is in order.
local function remove()
  local call, hash = redis.call, claimed_at(KEYS[1], token)
  if not hash then return false end
  local session, own = session_key(key), record_key(key)
  local known = call('HMGET', own, SCOPE_HASH, LATEST_OF, NONCE, NOTED, PLACE, HELD)
  if known[1] ~= hash or known[2] or known[3] then return false end
  local scope, pointer = scope_at(path, hash), pointer_at(path)
  local led = call('MGET', scope, pointer) -- of another type it is nil
  if led[1] ~= key or call('GETRANGE', session, '0', last_of(prefix)) ~= prefix then return false end
  local is_latest, inbox = led[2] == key, scope
  -- It takes part in replies: the usual one holds all that lies at its place, and nothing
  -- elsewhere; or nothing lies there, and it is there for its deadline.
  if known[5] == hash and known[6] == '' then
    inbox = replies_at(path, hash)
    if call('EXISTS', inbox) == 1 then return false end
    call('ZREM', places_at(path), place_name(path, hash))
  elseif known[5] then
    if known[5] ~= hash or known[6] ~= hash then return false end
    -- @include held_inbox
    if not head then return false end
    -- @include settle_held
  end
  local set, index = set_at(path), index_at(path)
  local members = redis.pcall('SCARD', set)

  -- With the only wait goes an index, too: one is left where the reference has cleared the others.
  -- (Its keys by name: to make the lists of belongings.lua takes as long as all the commands here.)
  call('UNLINK', session, scope, is_latest and pointer or scope, members == 1 and index or scope, inbox, own,
    KEYS[1])
  if known[4] == '1' then
    -- @include lasting
    unnote_lasting(key)
  end
  local gone = redis.pcall('SREM', set, key) == 1
  if gone and members == 1 then return true, true end
  -- @include wait_index
  redis.pcall('ZREM', index, hash)
  local known_types, settled = pcall(sync_lifetimes, set, index, gone and members - 1 or nil)
  return true, known_types and settled
end

local removed, settled = remove()
if settled then return {'removed'} end
-- @include session
if removed then
  repair_index(owner_of_path(path))
  return {'removed'}
end
local session = load(key)
local hash, owner = session and claimed_at(KEYS[1], token), owner_of_path(path)
if session then verify_owner(session) end
if not hash or (session.owner or owner) ~= owner then return {'over'} end -- the reference has given the key to somebody else
if session.place then
  -- @include places
  local wait = open_session(session, hash)
  settle(wait)
  local leftovers, nonce = remove_wait(wait, LEFT_OVER)
  unlink_scope(owner, hash, key)
  return {'removed', nonce, unpack(leftovers)}
end
unlink_scope(owner, hash, key)
return {'removed', remove_session(session)}
