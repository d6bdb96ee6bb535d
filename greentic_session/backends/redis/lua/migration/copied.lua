-- @include session
-- @include places

-- What a copy from another Redis left here is remembered in {ns}:copied:{session key}, a string:
-- which source it came from, the SHA-1 of its text, and, where it has any, of its part in replies and
-- deadlines, when it ends (ms since the epoch, or inf), the
-- SHA-256 of its scope, and its claim ("-" for none). It lives as long as the copy, 30 days at
-- most, and stays where somebody removes that: then the copy is not made again. A copy that has
-- changed since is its runners'. No other script knows of this: what is there is compared with what
-- was left.
--
-- Of replies {ns}:carried:{owner's path}:{scope} tells, a hash: which have been copied to a place, by
-- their ids, from which source, and behind a space the token of the claim that held it there. It
-- lives for 30 days after the last: what became of them here since is its runners', and they are not
-- copied again.
local MONTH = 30 * 86400000
local NEAR = 1000 -- how far apart two lifetimes may be that count as one, in ms

local function near(one, other)
  if one == -1 or other == -1 then return one == other end
  return math.abs(one - other) <= NEAR
end

-- A claim without the mark that its session takes part in replies.
local function plain_claim(claim) return (claim:gsub(':r$', '')) end

local function claim_of(key)
  local found = redis.pcall('GET', claim_key(key))
  return type(found) == 'string' and plain_claim(found) or nil
end

-- What tells a session's part in replies and deadlines from another one, apart from moments.
local function sign_of(wait)
  local turn = wait.turn
  local flags = (wait.resume and '1' or '0') .. (wait.is_new and '1' or '0') .. (wait.put_off > 0 and '1' or '0')
  if not turn then return flags end
  return table.concat({flags, turn.failed, turn.key, is_heard(wait) and 'deadline' or turn.about}, ' ')
end

local function version_of(text, wait)
  local sign = wait and sign_of(wait) or '000'
  return redis.sha1hex(text) .. (sign == '000' and '' or '+' .. redis.sha1hex(sign))
end

-- The part that a stored session has; nil for none.
local function part_of(session)
  return session.place and waiting(session, session.place ~= '-' and session.place or nil, true) or nil
end

local function mark(key, source, version, ttl, hash, claim)
  local ending = ttl == -1 and 'inf' or string.format('%.0f', now() + ttl)
  local left = {source, version, ending, hash == '' and '-' or hash, claim or '-'}
  redis.call('SET', copied_key(key), table.concat(left, ' '), 'PX', string.format('%.0f', ttl == -1 and MONTH
    or math.max(math.min(ttl, MONTH), 1)))
end

-- From which source a reply was copied, and the token of the claim that held it there, "" for none;
-- nil where it was not.
local function carried_from(owner, hash, id)
  local found = redis.pcall('HGET', carried_key(owner, hash), id)
  if type(found) ~= 'string' then return nil end
  return found:match('^(%S+) ?(%S*)$')
end

-- What lies at a place that a copy leaves stays for now: where it comes from another may wait there,
-- which comes next; or it is kept there.
local function keep_inbox(owner, hash)
  local inbox = inbox_at(owner, hash)
  opened[owner .. ' ' .. hash] = nil
  put_ready(owner, hash, math.huge)
  if not inbox.is_stored then return end
  for _, received in ipairs(inbox.replies) do
    received.keep_until = math.max(received.keep_until, instant() + inbox.terms.reply_grace)
  end
  prune(inbox)
end

-- Whether all that lies at the place of a session was copied from this source.
local function lies_as_left(session, source)
  if not session.place or session.place == '-' or not session.owner then return true end
  for _, received in ipairs(inbox_at(session.owner, session.place).replies) do
    if carried_from(session.owner, session.place, received.id) ~= source then return false end
  end
  return true
end

-- Whether a live session is as the copy from this source left it. A copied claim may have ended.
local function as_left(session, source)
  local found = redis.pcall('GET', copied_key(session.key))
  if type(found) ~= 'string' then return false end
  local from, version, ending, hash, claim = found:match('^(%S+) (%S+) (%S+) (%S+) (.*)$')
  if from ~= source or session.scope_hash ~= (hash == '-' and '' or hash) then return false end
  if not near(session.ttl, ending == 'inf' and -1 or ending - now()) then return false end
  local held = claim_of(session.key)
  if held and held ~= claim or version_of(text_of(session), part_of(session)) ~= version then return false end
  return lies_as_left(session, source)
end
