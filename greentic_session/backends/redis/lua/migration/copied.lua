-- @include session

-- What a copy from another Redis left here is remembered in {ns}:copied:{session key}, a string:
-- which source it came from, the SHA-1 of its text, when it ends (ms since the epoch, or inf), the
-- SHA-256 of its scope, and its claim ("-" for none). It lives as long as the copy, 30 days at
-- most, and stays where somebody removes that: then the copy is not made again. A copy that has
-- changed since is its runners'. No other script knows of this: what is there is compared with what
-- was left.
local MONTH = 30 * 86400000
local NEAR = 1000 -- how far apart two lifetimes may be that count as one, in ms

local function near(one, other)
  if one == -1 or other == -1 then return one == other end
  return math.abs(one - other) <= NEAR
end

local function claim_of(key)
  local found = redis.pcall('GET', claim_key(key))
  return type(found) == 'string' and found or nil
end

local function mark(key, source, sha, ttl, hash, claim)
  local ending = ttl == -1 and 'inf' or string.format('%.0f', now() + ttl)
  local left = {source, sha, ending, hash == '' and '-' or hash, claim or '-'}
  redis.call('SET', copied_key(key), table.concat(left, ' '), 'PX', string.format('%.0f', ttl == -1 and MONTH
    or math.max(math.min(ttl, MONTH), 1)))
end

-- Whether a live session is as the copy from this source left it. A copied claim may have ended.
local function as_left(session, source)
  local found = redis.pcall('GET', copied_key(session.key))
  if type(found) ~= 'string' then return false end
  local from, sha, ending, hash, claim = found:match('^(%S+) (%S+) (%S+) (%S+) (.*)$')
  if from ~= source or session.scope_hash ~= (hash == '-' and '' or hash) then return false end
  if not near(session.ttl, ending == 'inf' and -1 or ending - now()) then return false end
  local held = claim_of(session.key)
  return (not held or held == claim) and redis.sha1hex(text_of(session)) == sha
end
