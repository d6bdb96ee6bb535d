-- Tell what is known of some sessions beside their texts. Changes nothing.
-- KEYS[1]  the prefix of all session keys
-- ARGV     namespace, session keys
-- Returns  for each that was looked at (at least one, and no more once it has cost enough): {} if
--          it is not there, else {lifetime in ms or -1, bytes of its text, 1 if it waits or 0,
--          scope as JSON or "", what is left of the lease of its claim in ms or a negative number,
--          the public part of the token of that claim or "", what is left until its deadline in ms
--          or "", 1 if a runner resumes it then or 0, for how many ms it has been ready or "", for
--          how many it is put off, how many attempts its open turn has had, how many replies lie at
--          its place, for how many seconds it has waited there or ""}
-- @include session

-- For how many seconds a session has waited, by what its record says and what is left of its
-- lifetime; nil where somebody has changed that who does not keep account.
local function waited_for(since, left)
  if not since then return nil end
  if since > 0 then return redis.call('TIME')[1] - since end
  local waited = math.floor((-since - left) / 1000)
  return left ~= -1 and waited >= 0 and waited or nil
end

-- Made once, where a session needs it: to make its functions takes as long as to look at a session.
local look
local function make_look()
  -- @include operators
  return look_at
end

local found = {}
for number = 2, #ARGV do
  if is_enough() then break end
  local key = ARGV[number]
  local read, session = pcall(load, key)
  local details = {}
  if read and session then
    local owner = session.owner
    local waits = owner and owner:sub(-1) ~= ':' and redis.pcall('SISMEMBER', set_key(owner), key) == 1
      and is_wait(session, owner)
    local ours = waits and session.scope_hash ~= '' and is_known(session)
    local scope = ours and redis.call('HGET', record_key(key), SCOPE_JSON)
    local since = ours and tonumber(redis.call('HGET', record_key(key), SINCE) or nil)
    local size = redis.call('STRLEN', session_key(key))
    local token = redis.call('GET', claim_key(key))
    details = {session.ttl, size, waits and 1 or 0, scope or '', redis.call('PTTL', claim_key(key)),
      token and token:sub(1, 12) or '', waits and session.ttl ~= -1 and session.ttl or '', 0, '', 0, 0, 0,
      waited_for(since, session.ttl) or ''}
    if waits and session.place then
      look = look or make_look()
      local told, replies, resumes = look(session)
      details[7], details[8], details[9] = told.deadline or '', resumes and 1 or 0, told.ready or ''
      details[10], details[11], details[12] = told.put_off, told.attempts, replies
    end
  end
  found[#found + 1] = details
end
return found
