-- A namespace may be the prefix of another: of "app" and "app:session" the session keys "session:k"
-- and "k" name one place. Whoever looks at a session key that may be another namespace's finds out
-- whose it is by what leads there: our record, or the set of a user's waits, which the reference
-- writes, too. Only of a session that the reference created, and that never waited, nothing tells:
-- it is then the reference's default namespace's, if that is one of the two; else whoever asks has
-- it.
-- @inline
local DEFAULT = 'greentic:session'
local WORDS = {
  session = true, own = true, claim = true, copied = true, waits = true, scopes = true, user = true, conv = true,
  lasting = true, replies = true, delivered = true, kept = true, carried = true, ready = true,
}

-- How a name in this namespace reads in longer ones: {{the longer namespace, a word of the layout,
-- what follows}, ...}; nil for nearly all names.
local function readings(name, prefix)
  local found, at = nil, 1
  while at do
    local word, rest = name:match('^(%l+):(.+)$', at)
    if WORDS[word] then
      found = found or {}
      found[#found + 1] = {prefix .. (at > 1 and ':' .. name:sub(1, at - 2) or ''), word, rest}
    end
    at = name:find(':', at, true)
    at = at and at + 1
  end
  return found
end

local function has_record(namespace, key)
  return redis.pcall('HEXISTS', namespace .. RECORD .. key, TEXT_SHA) == 1
end

local function lists(namespace, owner, key)
  return redis.pcall('SISMEMBER', namespace .. WAITS .. owner_path(owner), key) == 1
end

-- Whether a session under a key of this namespace is a longer one's, or something that a longer one
-- keeps beside its own.
local function is_of_longer(namespace, session, found)
  for _, reading in ipairs(found) do
    local longer, word, key = reading[1], reading[2], reading[3]
    if word ~= 'session' then
      if not session.owner then return true end
    elseif has_record(longer, key)
      or (session.owner and lists(longer, session.owner, key) and not lists(namespace, session.owner, session.key))
    then
      local text = redis.call('GET', namespace .. SESSION .. session.key)
      return not (session.owner_written and redis.sha1hex(text) == session.text_sha) -- what we wrote here is here
    elseif longer == DEFAULT and not session.owner_written then
      return true
    end
  end
  return false
end

-- Whether a session of which this namespace has no record is a shorter one's.
local function is_of_shorter(namespace, key)
  local word = SESSION:sub(1, -2)
  local at = namespace:find(word, 1, true)
  while at do
    local behind = namespace:sub(at + #word)
    local rest = (behind == '' and '' or behind:sub(2) .. ':') .. SESSION:sub(2) .. key
    local follows = behind == '' or behind:sub(1, 1) == ':'
    if follows and has_record(namespace:sub(1, at - 1), rest) then return true end
    at = namespace:find(word, at + 1, true)
  end
  return false
end
