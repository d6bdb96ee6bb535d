-- Accept a reply, and claim its wait if that is free.
-- KEYS     the scope where it was delivered; behind that the one that is meant where no wait is
--          there and one is here
-- ARGV     namespace, owner, id, body, its bytes of UTF-8, what stands beside it (only the client
--          reads that), token, idempotency key of a new turn, lease in ms, name of the delivery or
--          "", "1" if a free wait is claimed (and behind it the session key of which the text is
--          read behind the script, if there is one), for how many ms it is kept where nothing waits
--          or "", the terms of the store (see terms.lua) and behind them max_replies,
--          max_inbox_bytes and how many inboxes' worth an owner may have of kept replies, how the
--          owner's payloads begin; for each scope that as JSON; and where there is something to
--          begin with: session key, text or the nonce under which it is staged, its SHA-1, lifetime
--          in ms or -1, "forget" or "resume", how many waits the user may have or "", the bytes of
--          a staged text or ""
-- Returns  {"duplicate"}; {"unmatched"}; {"inbox full"}; {"owner full"}; {"queued", reply};
--          {"kept", reply}; {"claimed", reply, then what told_claim in places.lua tells: instead of
--          the number of the scope that as JSON, the text is false where the client has given it,
--          or reads it behind the script}; {"at once", when it was accepted, session key, text as
--          there, deadline} for a first attempt of this very reply where it was delivered;
--          of the beginning {"exists"} if a live session has its key, and what park.lua answers. Of
--          this very reply only the id is told, and when it was accepted
-- @include staging
-- @inline
local function fields_of(key) return call('HMGET', record_key(key), SCOPE_HASH, PLACE, LATEST_OF, DEADLINE, SINCE) end
local owner, id, body, size, beside, token, turn_key = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6], ARGV[7], ARGV[8]
local lease, name, claims, keep_for, settings = tonumber(ARGV[9]), ARGV[10], ARGV[11] ~= '', tonumber(ARGV[12]), ARGV[13]
local begins = 15 + #KEYS
local begun_key, begun_text, is_staged = ARGV[begins], ARGV[begins + 1], (ARGV[begins + 6] or '') ~= ''
local call, path, prefix = redis.call, path_of_scope(KEYS[1]), ARGV[14]

-- The usual case: a wait of ours that takes part in nothing yet, is free, and the only one of its
-- user. No function is made for it.
repeat
  if not claims or in_slot() then break end
  local scope, hash = KEYS[1], hash_of_scope(KEYS[1])
  -- @include fast_path
  if not key or known[2] or known[3] or prefix == '' then break end
  local text = '1' .. key ~= ARGV[11] and call('GET', session)
  if (text and text:sub(1, #prefix) or call('GETRANGE', session, '0', last_of(prefix))) ~= prefix then break end
  if call('SCARD', set_at(path)) ~= 1 then break end
  if kept == -1 and ttl ~= -1 then break end -- a set without an end, of waits that the reference has removed
  local inbox, claim, delivered = replies_at(path, hash), claim_key(key), name ~= '' and delivered_key(owner, name)
  if call('EXISTS', inbox, claim, delivered or inbox) ~= 0 then break end
  local own = record_key(key)
  if ttl ~= -1 and math.abs(call('PTTL', own) - ttl) > APART_MS then break end -- see is_theirs
  local terms, grace, window = settings:match('^((%d+) %d+ (%d+))')
  grace, window = tonumber(grace), tonumber(window)
  local life = ttl == -1 and math.huge or math.max(ttl, grace, lease)
  if life ~= ttl and ttl ~= -1 and is_lasting(life) then break end
  local time = call('TIME')
  local at = time[1] * 1000 + time[2] / 1000
  local deadline, ends, due, since = 'inf', at + life, at + lease, known[5] or ''
  -- @include put_ready_soon
  -- First: a full server refuses a script only before it has written.
  call('SET', claim, token .. ':' .. hash .. ':r', 'PX', ARGV[9])
  if put then
    call('ZADD', places, string.format('%.3f', due), place_name(path, hash))
    if life_of_places ~= -1 then call('PEXPIRE', places, life_of_places) end
  else
    -- @include ready_index
    precise = at
    put_ready(owner, hash, due, ends)
  end
  if ttl ~= -1 then
    local noted = tonumber(known[4]) or 0 -- more exactly than the lifetime tells it
    if math.abs(noted - at - ttl) > APART_MS then noted = at + ttl end
    deadline = string.format('%.3f', math.max(noted, due))
    if life > ttl then
      local lifetime = string.format('%.0f', math.ceil(life))
      call('PEXPIRE', session, lifetime)
      call('PEXPIRE', own, lifetime)
      since = later_by(since, life - ttl)
      call('PEXPIRE', scope, lifetime)
      if kept ~= -1 and kept < life then call('PEXPIRE', set_at(path), lifetime) end
    end
  end
  -- (It takes part in nothing, so none of the other fields is there: see save_wait in waiting.lua.)
  call('HSET', own, PLACE, hash, DEADLINE, deadline, REST_END, deadline, TURN, '0 ' .. turn_key .. ' ' .. id, TOKEN, token,
    HELD, hash, TERMS, terms, SINCE, since)
  local key_end, ids_end = ends, 0
  if delivered then
    key_end = math.max(ends, at + window)
    ids_end = key_end + window
    call('SET', delivered, hash .. ':' .. id)
    if ids_end < math.huge then call('PEXPIRE', delivered, string.format('%.0f', math.ceil(ids_end - at))) end
  end
  local told = time[1] .. string.format('%06d', time[2])
  call('HSET', inbox, ORDER, cmsgpack.pack({key, ends, token, ids_end, key_end, terms, false,
    {id, size, at, 0, token, due, name, told}}), 'b:' .. id, body, 'h:' .. id, beside, SCOPE_OF_PLACE, ARGV[15])
  if key_end < math.huge then call('PEXPIRE', inbox, string.format('%.0f', math.ceil(key_end - at))) end
  -- @include count_accepted
  if is_staged then call('UNLINK', staged_key(begun_text)) end -- nothing begins
  return {'at once', told, key, text, deadline} -- the client knows the rest
until true

-- @include places
local told_terms, most, most_bytes, factor = settings:match('^(%d+ %d+ %d+) (%d+) (%d+) (%d+)$')
local limits = {max_replies = tonumber(most), max_bytes = tonumber(most_bytes), owner_factor = tonumber(factor)}
local terms, at = read_terms(told_terms), instant()

local function receive(inbox, outcome)
  -- @include count_accepted
  local received = {
    id = id, size = size, accepted = at, keep_until = outcome == 'kept' and at + keep_for or 0, token = '', held_until = 0,
    delivered = name, told = string.format('%.0f', at * 1000),
  }
  inbox.replies[#inbox.replies + 1], inbox.terms = received, terms
  return received
end

local function store(inbox, received, scope)
  redis.call('HSET', replies_key(owner, inbox.hash), 'b:' .. id, body, 'h:' .. id, beside, SCOPE_OF_PLACE, scope)
  if name ~= '' then
    redis.call('SET', delivered_key(owner, name), inbox.hash .. ':' .. received.id)
    inbox.ids_end = 0 -- its lifetime is set with the others'
  end
end

local function find_known()
  local where = name ~= '' and known_delivery(owner, name) or nil
  if not where then return nil end
  return where, where:match('^(%x+):(.*)$')
end

local function deliver_thoroughly()
  local number, hash = 1, hash_of_scope(KEYS[1])
  local where, known_at, known_id = find_known()
  if where == '' then return {'duplicate'} end
  if known_at then
    number, hash = KEYS[1]:sub(-HASH_LENGTH) == known_at and 1 or nil, known_at
  elseif KEYS[2] and open_place(owner, hash_of_scope(KEYS[2])) and not open_place(owner, hash) then
    number, hash = 2, hash_of_scope(KEYS[2]) -- without its correlation
  end
  local wait, inbox = open_place(owner, hash)
  local received = nil
  for _, one in ipairs(known_at and inbox.replies or {}) do
    if one.id == known_id then received = one end
  end
  if known_at and not received then return {'duplicate'} end -- somebody else's work: what it names lies nowhere
  local delivery = {size = size, claims = claims, keep_for = keep_for, begins = begun_key ~= nil}
  local kept = not wait and keep_for and kept_of(owner) or {count = 0, size = 0}
  local outcome = deliver(delivery, wait, inbox.replies, received, kept, limits, at)
  if outcome ~= 'claimed' and outcome ~= 'queued' and outcome ~= 'kept' then return {outcome} end

  local scope = number and ARGV[14 + number]
  if not received then
    if not wait and begun_key then
      if redis.call('EXISTS', session_key(begun_key)) == 1 then return {'exists'} end
      -- @include parking
      local reservation, reserved, reach = in_slot() and rawget(redis, 'reservation'), nil, nil
      if reservation then reserved, reach = reservation() end
      if in_slot() then reserved = reserved or '' end
      local answer, begun = park({
        key = begun_key, text = begun_text, is_staged = is_staged, sha = ARGV[begins + 2], owner = owner, hash = hash, scope = scope,
        bytes = is_staged and ARGV[begins + 6] or #begun_text, ttl = tonumber(ARGV[begins + 3]), choice = ARGV[begins + 4],
        terms = terms.text, most = tonumber(ARGV[begins + 5]), nonce = reserved, reach = reach,
      })
      if answer[1] ~= 'parked' then return answer end
      if begun then
        wait = begun
      else
        opened = {}
        wait, inbox = open_place(owner, hash)
      end
      wait.is_new = true
    end
    received = receive(inbox, outcome)
    store(inbox, received, scope)
    inbox.is_stored = true
    inbox.key_end = -1 -- the key may be new
  end
  if wait and wait.terms.text == '' then wait.terms = terms end
  local is_own = received.id == id
  local reply = is_own and {id, false, false, received.told} or told_reply(inbox, received)
  if is_own then own_reply = id end
  if outcome == 'claimed' then
    scope = scope or redis.call('HGET', replies_key(owner, hash), SCOPE_OF_PLACE) or ''
    local text = not (wait.is_new and wait.key == begun_key) and text_of(wait.session)
    return {'claimed', reply, unpack(start_turn(wait, token, turn_key, lease, scope, text))}
  end
  if wait then refresh(wait) else prune(inbox) end
  return {outcome, reply}
end

local answer = deliver_thoroughly()
if is_staged then redis.call('UNLINK', staged_key(begun_text)) end -- where it was not needed
return answer
