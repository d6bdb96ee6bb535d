-- @include keys

-- What belongs to a session, and what to a user: removal, lifetime and administration follow these.
-- The kinds of keys, as they are named without the namespace and the colon after it.
local KINDS = {}
for _, kind in ipairs({SESSION, RECORD, CLAIM, COPIED, SCOPE, WAITS, INDEX, POINTER, MENDING, BARRED, STAGED, LASTING}) do
  KINDS[#KINDS + 1] = kind:sub(2)
end

-- The keys of a session that go with the session. (What tells of its copy stays: then the copy is
-- not made again.)
local function keys_of_session(key) return session_key(key), record_key(key), claim_key(key) end

-- The keys of a user that only we keep: they go with the user's set of waits.
local function our_keys_of_user(owner) return index_key(owner), mending_key(owner) end

-- What a kind of key is, and what follows it in a name without the namespace; nil for none that we
-- know.
local function kind_of(name)
  for _, kind in ipairs(KINDS) do
    if name:sub(1, #kind) == kind then return ':' .. kind, name:sub(#kind + 1) end
  end
  return nil
end
