-- Read some sessions with all that belongs to them, for a copy in another Redis.
-- KEYS[1]  the prefix of all session keys
-- ARGV     namespace, "keys" and session keys, or "scopes" and scopes: owner's path, colon, SHA-256
-- Returns  {how many were looked at: at least one, and no more once it has cost enough, for each
--          that is there:
--           {session key}, if nothing tells whose it is; else {session key, text, lifetime in ms or
--           -1, owner, SHA-256 of the scope where it waits, "" for none, that scope as
--            JSON or "", the owner whose latest session it is or "", "1" if nobody has seen that it
--            is a session, and of all that travels with a session (belongings.lua) the value or "",
--           and how long it lives in ms: claim, its lease; and its part in replies and deadlines:
--           {} for none, else {what is left until its deadline in ms or "", the same of its end once
--           nothing lies at its place, 1 if it is resumed or 0, for how many ms it is put off or "",
--           1 if its first verdict is due or 0, what its open turn is about ("deadline" for that),
--           how many attempts of that failed, its key, the places where its claim holds replies,
--           terms (see terms.lua)}}}
-- Of a session whose record does not know where it waits (the reference wrote since, or it alone),
-- the scope is "?". "scopes" are for those, and for what waits nowhere as far as its record knows.
-- @include session
-- @include waiting
-- @include turns

-- Where a session waits, as far as it tells itself.
local function waits_where(session)
  if not is_known(session) and (not session.owner_written or session.scope_hash ~= '') then return '?' end
  if session.scope_hash == '' then
    return redis.pcall('SISMEMBER', set_key(session.owner), session.key) == 1 and '?' or '' -- see waits_at
  end
  return leads_to(scope_key(session.owner_written, session.scope_hash), session.key) and session.scope_hash or ''
end

local function told_part(session)
  if not session.place then return {} end
  local at = instant()
  local wait = waiting(session, session.place ~= '-' and session.place or nil, true)
  local is_claimed, turn, about = wait.token and wait.lease_end > at, wait.turn, ''
  if turn then about = is_heard(wait) and 'deadline' or turn.about end
  if wait.token and not is_claimed then turn = fail(turn) end
  local function left(moment) return moment == math.huge and '' or string.format('%.0f', moment - at) end
  return {left(wait.deadline), left(wait.rest_end), wait.resume and 1 or 0, wait.put_off > 0 and left(wait.put_off) or '',
    wait.is_new and 1 or 0, about, turn and turn.failed or 0, turn and turn.key or '',
    is_claimed and table.concat(wait.held, ' ') or '', wait.terms.text}
end

local function told(session, hash)
  local key = session.key
  local noted = session.owner_written and hash ~= '' and session.scope_hash == hash
  local scope = noted and redis.call('HGET', record_key(key), SCOPE_JSON) or ''
  local latest = session.pointer_owner or session.owner
  if not leads_to(pointer_key(latest), key) then latest = '' end
  local unseen = is_session(session) and '' or '1'
  local answer = {key, text_of(session), session.ttl, session.owner, hash, scope, latest, unseen}
  for _, one in ipairs(travelling()) do
    local name = key_of_kind(one, key)
    local value, left = redis.pcall('GET', name), redis.call('PTTL', name)
    if type(value) ~= 'string' or left <= 0 then value, left = '', 0 end
    answer[#answer + 1], answer[#answer + 2] = value, left
  end
  answer[#answer + 1] = told_part(session)
  return answer
end

local function of_key(key)
  local session = load(key)
  if not session then return nil end
  if not session.owner then return {key} end
  return told(session, waits_where(session))
end

local function of_scope(name)
  local at, hash = name:match('^(.*):(%x+)$')
  local key = at and redis.call('GET', ns .. SCOPE .. name)
  local session = key and load(key)
  if not session or not session.owner or owner_path(session.owner) ~= at or not waits_at(session, session.owner, hash) then
    return nil
  end
  local where = waits_where(session)
  return (where == '?' or where == '') and told(session, hash) or nil
end

local read_one = ARGV[2] == 'keys' and of_key or of_scope
local found, looked = {}, 0
for number = 3, #ARGV do
  if is_enough() then break end
  looked = looked + 1
  local read, answer = pcall(read_one, ARGV[number]) -- something else than a text is no session
  if read and answer then found[#found + 1] = answer end
end
return {looked, found}
