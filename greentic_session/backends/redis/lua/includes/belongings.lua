-- @include keys

-- What belongs to a session, and what to a user: one list of each. Removal, lifetimes, purging,
-- tidying, examining, export and import follow these lists: a new kind of key is a new line here.
-- (Tidying and examining look at each kind in a way of its own, and fail where they lack one.)

-- Of a session: the kind of a key, behind which the session key stands, and whether it
--   lives    as long as the session (else it has an end of its own),
--   stays    where the session is removed,
--   travels  with a copy of the session, as a string with an end of its own.
local OF_SESSION = {
  {kind = SESSION, lives = true},
  {kind = RECORD, lives = true},
  {kind = CLAIM, travels = true},
  {kind = COPIED, stays = true}, -- then the copy is not made again
}

-- Of a user: the kind of a key, behind which the owner's path stands, and
--   leading  for what leads to one session: its key for that session, if it has one,
--   ours     whether it is about the set of waits, and only we keep it: it goes with the set.
local OF_USER = {
  {kind = SCOPE, leading = function(session)
    return session.owner_written and session.scope_hash ~= '' and scope_key(session.owner_written, session.scope_hash)
  end},
  {kind = POINTER, leading = function(session)
    local latest_of = session.pointer_owner or session.owner
    return latest_of and pointer_key(latest_of)
  end},
  {kind = WAITS},
  {kind = INDEX, ours = true},
  {kind = MENDING, ours = true},
}

-- Of a user's places, see inboxes.lua: they may outlive the waits there, and a purge forgets them.
local OF_PLACES = {{kind = REPLIES}, {kind = DELIVERED}, {kind = KEPT}}

-- Of none.
local OF_NONE = {{kind = BARRED}, {kind = STAGED}, {kind = LASTING}, {kind = READY}, {kind = MADE}, {kind = ACCEPTED}, {kind = NAMED},
  {kind = CARRIED}}

local function key_of_kind(one, rest) return ns .. one.kind .. rest end

-- The keys that go with a session, without that of its text.
local function keys_beside(key)
  local found = {}
  for _, one in ipairs(OF_SESSION) do
    if not one.stays and one.kind ~= SESSION then found[#found + 1] = key_of_kind(one, key) end
  end
  return found
end

-- The keys of a user that go with the set of waits.
local function our_keys_of_user(owner)
  local found = {}
  for _, one in ipairs(OF_USER) do
    if one.ours then found[#found + 1] = key_of_kind(one, owner_path(owner)) end
  end
  return found
end

-- What travels with a session, in the order of the list.
local function travelling()
  local found = {}
  for _, one in ipairs(OF_SESSION) do
    if one.travels then found[#found + 1] = one end
  end
  return found
end

-- What a kind of key is, and what follows it in a name without the namespace; nil for none that we
-- know.
local function kind_of(name)
  for _, list in ipairs({OF_SESSION, OF_USER, OF_PLACES, OF_NONE}) do
    for _, one in ipairs(list) do
      local word = one.kind:sub(2)
      if name:sub(1, #word) == word then return one.kind, name:sub(#word + 1) end
    end
  end
  return nil
end

-- Fail if a table by kind says nothing of one in these lists.
local function require_every(by_kind, ...)
  for _, list in ipairs({...}) do
    for _, one in ipairs(list) do
      if not by_kind[one.kind] then error('nothing is said of ' .. one.kind) end
    end
  end
end
